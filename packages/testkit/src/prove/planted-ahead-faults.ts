import type { PlantedFault } from './planted-fault.js';

/* Faults in the one round trip of a batch that is decided ahead: what the store is asked, and what it writes where the answer is no. */

const QUESTION = 'server/dist/store/write-ahead.js';
const STATEMENTS = 'server/dist/store/account-statements.js';
const COPY = 'server/dist/store/consumption-copy.js';
const HOURS = 'server/dist/store/hour-statements.js';

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: the words stand so in the built files.
export const AHEAD_FAULTS: readonly PlantedFault[] = [
  {
    name: 'ahead-without-earlier-answers',
    file: QUESTION,
    edits: [
      [
        "not exists (select from ${earlierOf('$3::uuid', `$${EXPECTED.next}::text[]`)})",
        '$${EXPECTED.next}::text[] is not null',
      ],
    ],
    caughtBy: 'interleavings',
    firstSeed: 7,
  },
  {
    name: 'ahead-on-an-older-plan',
    file: QUESTION,
    edits: [['is not distinct from $9::bigint', 'is not null and $9::bigint > 0']],
    caughtBy: 'interleavings',
    firstSeed: 6,
  },
  {
    name: 'ahead-on-an-older-customer',
    file: QUESTION,
    edits: [['and version = $4::bigint)', 'and $4::bigint > 0)']],
    caughtBy: 'interleavings',
    firstSeed: 13,
  },
  {
    name: 'ahead-on-older-shared-grants',
    file: QUESTION,
    edits: [['shared_version = $8::bigint', '$8::bigint >= 0']],
    caughtBy: 'interleavings',
    firstSeed: 15,
  },
  {
    name: 'ahead-on-older-subjects',
    file: QUESTION,
    edits: [['subject_version = $7::bigint', '$7::bigint >= 0']],
    caughtBy: 'interleavings',
    firstSeed: 64,
  },
  {
    name: 'ahead-of-the-clock',
    file: QUESTION,
    edits: [['at.now >= $5::bigint', '$5::bigint > 0']],
    caughtBy: 'interleavings',
    firstSeed: 32,
  },
  {
    name: 'ahead-past-its-time',
    file: QUESTION,
    edits: [['at.now < $6::bigint', '$6::bigint > 0']],
    caughtBy: 'interleavings',
    firstSeed: 22,
  },
  {
    name: 'ahead-on-another-balance',
    file: QUESTION,
    edits: [['and a.used = n.used and', 'and']],
    caughtBy: 'interleavings',
    firstSeed: 11,
  },
  {
    name: 'ahead-on-what-is-held-now',
    file: QUESTION,
    edits: [['and a.reserved = n.reserved and', 'and']],
    caughtBy: 'interleavings',
    firstSeed: 205,
  },
  {
    name: 'ahead-in-another-period',
    file: QUESTION,
    edits: [["and a.period_end is not distinct from ${AT('n.period_end')}", '']],
    caughtBy: 'interleavings',
    firstSeed: 113,
  },
  {
    name: 'ahead-under-another-limit',
    file: QUESTION,
    edits: [['and a.limit_known is not distinct from n.limit_known', '']],
    caughtBy: 'interleavings',
    firstSeed: 13,
  },
  {
    name: 'ahead-of-what-was-told',
    file: QUESTION,
    edits: [
      ["and a.told is not distinct from n.told and a.told_at is not distinct from ${AT('n.told_at')}", ''],
      ['and a.told_limit is not distinct from n.told_limit offset 0))', 'offset 0))'],
    ],
    caughtBy: 'interleavings',
    firstSeed: 82,
  },
  {
    name: 'ahead-asked-before-the-locks',
    file: QUESTION,
    edits: [
      [
        '        locksOf(request),\n        questionOf(request, ahead),',
        '        questionOf(request, ahead),\n        locksOf(request),',
      ],
      ['const QUESTION = 2;', 'const QUESTION = 1;'],
    ],
    caughtBy: 'interleavings',
    firstSeed: 13,
  },
  {
    name: 'ahead-without-waiting-for-locks',
    file: QUESTION,
    edits: [['for no key update offset 0) c', 'for no key update skip locked offset 0) c']],
    caughtBy: 'interleavings',
    firstSeed: 3,
  },
  {
    name: 'ahead-told-that-it-stands',
    file: QUESTION,
    edits: [["stands === 'yes'", 'stands !== null']],
    caughtBy: 'interleavings',
    firstSeed: 4,
  },
  {
    name: 'ahead-rows-that-do-not-stand',
    file: COPY,
    edits: [['`${COPY} where ${IT_STANDS}`', 'COPY']],
    caughtBy: 'interleavings',
    firstSeed: 4,
  },
  {
    name: 'ahead-balances-that-do-not-stand',
    file: STATEMENTS,
    edits: [['updateAccounts(IT_STANDS)', "updateAccounts('true')"]],
    caughtBy: 'interleavings',
    firstSeed: 4,
  },
  {
    name: 'ahead-hours-that-do-not-stand',
    file: HOURS,
    edits: [['writeHours(IT_STANDS)', "writeHours('true')"]],
    caughtBy: 'interleavings',
    firstSeed: 4,
  },
];
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: as above.
