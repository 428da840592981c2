import type { PlantedFault } from './planted-fault.js';

/* Faults in what is sent to the store, and in what is kept without it: only PostgreSQL itself shows them. */

const RESERVATIONS = 'server/dist/service/batch-reservations.js';
const COUNT_LATER = 'server/dist/service/store-away/count-later.js';
const RECONCILER = 'server/dist/service/store-away/reconciler.js';
const LOT_STATEMENTS = 'server/dist/store/lot-statements.js';
const WRITES = 'server/dist/store/account-writes.js';
const JOINT = 'server/dist/store/joint-transaction.js';
const STATEMENTS = 'server/dist/store/account-statements.js';
const TRANSACTION = 'server/dist/store/account-transaction.js';
const ACCOUNTS = 'server/dist/store/accounts.js';

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: the words stand so in the built files.
export const STORE_FAULTS: readonly PlantedFault[] = [
  {
    name: 'customer-not-locked',
    file: STATEMENTS,
    edits: [['where c.id = n.id for no key update${LOCKED[locking]}', 'where c.id = n.id']],
    caughtBy: 'interleavings',
    firstSeed: 6,
  },
  {
    name: 'accounts-not-locked',
    file: STATEMENTS,
    edits: [['for update${LOCKED[locking]} offset 0) a`', 'offset 0) a`']],
    caughtBy: 'interleavings',
  },
  {
    name: 'earlier-answers-read-before-the-lock',
    file: TRANSACTION,
    edits: [
      [
        'const [, customers, locked, frames, earlier, ...named] =',
        'const [, earlier, customers, locked, frames, ...named] =',
      ],
      [
        "...lockStatements(request, [request], 'wait'),",
        "...((one) => [one[3], one[0], one[1], one[2]])(lockStatements(request, [request], 'wait')),",
      ],
    ],
    caughtBy: 'interleavings',
    firstSeed: 3,
  },
  {
    name: 'clock-read-before-the-lock',
    file: STATEMENTS,
    edits: [
      [
        "export const READ_FRAME = `\nselect ${MILLISECONDS('clock_timestamp()')}",
        "export const READ_FRAME = `\nselect ${MILLISECONDS('now()')}",
      ],
    ],
    caughtBy: 'interleavings',
    firstSeed: 3,
  },
  {
    name: 'waits-for-locks-of-many',
    file: STATEMENTS,
    edits: [["skip: ' skip locked'", "skip: ''"]],
    caughtBy: 'interleavings',
  },
  {
    name: 'decides-on-customers-that-others-hold',
    file: JOINT,
    edits: [['if (version === undefined)', 'if (version === null)']],
    caughtBy: 'interleavings',
  },
  {
    name: 'written-over-what-changed',
    file: STATEMENTS,
    edits: [['and a.used = n.used_before and a.reserved = n.reserved_before', '']],
    caughtBy: 'interleavings',
    firstSeed: 6,
  },
  {
    name: 'closed-period-not-written',
    file: WRITES,
    edits: [['if (closed.length > 0)', 'if (closed.length > 99)']],
    caughtBy: 'interleavings',
    firstSeed: 15,
  },
  {
    name: 'locks-waited-for-without-end',
    file: ACCOUNTS,
    edits: [['set lock_timeout = 800', 'set lock_timeout = 0']],
    caughtBy: 'interleavings',
    firstSeed: 20,
  },
  {
    name: 'locks-held-without-end',
    file: ACCOUNTS,
    edits: [['set idle_in_transaction_session_timeout = 800', 'set idle_in_transaction_session_timeout = 0']],
    caughtBy: 'interleavings',
    firstSeed: 10,
  },
  {
    name: 'journal-counted-twice',
    file: COUNT_LATER,
    edits: [['Math.max(0, decision.consumed - counted)', 'decision.consumed']],
    caughtBy: 'servers',
  },
  {
    name: 'journal-forgotten',
    file: RECONCILER,
    edits: [['await options.count(one.entry);', '']],
    caughtBy: 'servers',
  },
  {
    name: 'voided-lot-spent',
    file: LOT_STATEMENTS,
    edits: [
      ['    and l.closed_at is null)\nfrom unnest', ')\nfrom unnest'],
      ['and l.remaining = n.before and l.closed_at is null', 'and l.remaining = n.before'],
    ],
    caughtBy: 'servers',
    firstSeed: 5,
  },
  {
    name: 'rollover-counted-and-not-stored',
    file: LOT_STATEMENTS,
    edits: [['if (made.length > 0)', 'if (made.length > 99)']],
    caughtBy: 'servers',
  },
  {
    name: 'settled-a-second-time-on-servers',
    file: RESERVATIONS,
    edits: [["if (state === 'settled' || state === 'released')", 'if (state === null)']],
    caughtBy: 'servers',
    firstSeed: 4,
  },
];
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: as above.
