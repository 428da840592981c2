import { AHEAD_FAULTS } from './planted-ahead-faults.js';
import type { PlantedFault } from './planted-fault.js';
import { STORE_FAULTS } from './planted-store-faults.js';

/*
 * Faults that a tired author could make, each planted for itself in a copy of the built files while they are loaded (`plant-fault-hooks`).
 * A proof that does not catch them proves little. A fault whose words are not found any more fails the proof: put here what stands there
 * now.
 */

const AHEAD = 'server/dist/service/decide-ahead.js';
const RUN_AHEAD = 'server/dist/service/run-ahead.js';
const BATCH = 'server/dist/service/consume-batch.js';
const BATCHER = 'server/dist/service/consume-batcher.js';
const DECIDE = 'server/dist/service/decide-batch.js';
const LIVE_ACCOUNTS = 'server/dist/service/batch-accounts.js';
const NOTICES = 'engine/dist/usage/notices.js';
const BATCH_NOTICES = 'server/dist/service/batch-notices.js';
const HOLDERS = 'server/dist/service/batch-holders.js';
const CREDITS = 'server/dist/service/batch-credits.js';
const ROLLOVER = 'engine/dist/usage/rollover.js';
const LOTS = 'engine/dist/usage/lots.js';
const RESERVATIONS = 'server/dist/service/batch-reservations.js';
const TOGETHER = 'server/dist/service/consume-together.js';
const SETTLE = 'server/dist/service/settle-batch.js';
const NEWER = 'server/dist/service/newer-facts.js';

export const PLANTED_FAULTS: readonly PlantedFault[] = [
  {
    name: 'used-at-most-limit',
    file: 'engine/dist/usage/room.js',
    edits: [['fill.used + fill.reserved + amount;', 'fill.used + fill.reserved;']],
    caughtBy: 'histories',
    firstSeed: 6,
  },
  {
    name: 'up-to-one-more',
    file: 'engine/dist/usage/room.js',
    edits: [['- fill.used - fill.reserved));', '- fill.used - fill.reserved + 1));']],
    caughtBy: 'histories',
    firstSeed: 3,
  },
  {
    name: 'part-of-several',
    file: 'engine/dist/usage/decide-consumptions.js',
    edits: [['if (refused === undefined)', 'if (refused !== null)']],
    caughtBy: 'histories',
    firstSeed: 6,
  },
  {
    name: 'gives-back-more-than-used',
    file: 'engine/dist/usage/decide-release.js',
    edits: [['Math.min(amount, entitlement.usage)', 'amount']],
    caughtBy: 'histories',
  },
  {
    name: 'no-idempotency-on-denial',
    file: DECIDE,
    edits: [['rows.push({', 'if (decision.allowed) rows.push({']],
    caughtBy: 'histories',
    firstSeed: 2,
  },
  {
    name: 'denials-rolled-back',
    file: BATCH,
    edits: [['write.consumptions.length > 0', 'write.accounts.length > 0']],
    caughtBy: 'histories',
    firstSeed: 2,
  },
  {
    name: 'ahead-and-not-stored',
    file: RUN_AHEAD,
    edits: [['if (!stood)', 'if (stood === null)']],
    caughtBy: 'stream',
  },
  {
    name: 'ahead-acknowledged-before-the-commit',
    file: RUN_AHEAD,
    edits: [
      [
        'const { stood, now: then } = await outcome;',
        'const { stood, now: then } = { stood: true, now }; void outcome.catch(() => undefined);',
      ],
    ],
    caughtBy: 'stream',
  },
  {
    name: 'ahead-before-what-it-follows',
    file: AHEAD,
    edits: [['now: Math.max(now, frame.now),', 'now,']],
    caughtBy: 'stream',
    firstSeed: 70,
  },
  {
    name: 'same-key-twice-in-a-batch',
    file: SETTLE,
    edits: [['stored.set(request, {', 'new Map().set(request, {']],
    caughtBy: 'histories',
    firstSeed: 19,
  },
  {
    name: 'other-body-under-one-key',
    file: SETTLE,
    edits: [['before.requestHash === request.requestHash', 'true']],
    caughtBy: 'histories',
  },
  {
    name: 'revision-read-before-the-lock',
    file: NEWER,
    edits: [['frame.revision > snapshot.revision', 'false']],
    caughtBy: 'histories',
  },
  {
    name: 'customer-read-before-the-lock',
    file: NEWER,
    edits: [['frame.customer.version > known', 'false']],
    caughtBy: 'histories',
    firstSeed: 13,
  },
  {
    name: 'shared-grants-read-before-the-lock',
    file: NEWER,
    edits: [['versions.shared > evaluation.versions.shared', 'false']],
    caughtBy: 'histories',
    firstSeed: 54,
  },
  {
    name: 'balance-not-carried-on',
    file: DECIDE,
    edits: [['usage: account.used,', 'usage: resolved.usage,']],
    caughtBy: 'histories',
    firstSeed: 2,
  },
  {
    name: 'period-never-reset',
    file: LIVE_ACCOUNTS,
    edits: [['account.used = 0;', 'account.used += 0;']],
    caughtBy: 'histories',
    firstSeed: 2,
  },
  {
    name: 'earlier-period-opened-again',
    file: LIVE_ACCOUNTS,
    edits: [['period.start > account.periodStart', 'period.start !== account.periodStart']],
    caughtBy: 'histories',
    firstSeed: 110,
  },
  {
    name: 'closed-period-lost',
    file: LIVE_ACCOUNTS,
    edits: [['account.closed ??= { ...before, periodEnd };', '']],
    caughtBy: 'histories',
    firstSeed: 2,
  },
  {
    name: 'acknowledged-before-the-commit',
    file: BATCH,
    edits: [
      [
        'const report = await committed;',
        'const report = { holds: new Map() }; void committed.catch(() => undefined);',
      ],
    ],
    caughtBy: 'histories',
  },
  {
    name: 'failed-commit-acknowledged',
    file: BATCH,
    edits: [['await committed;', 'await committed.catch(() => ({ holds: new Map() }));']],
    caughtBy: 'histories',
    firstSeed: 9,
  },
  {
    name: 'many-acknowledged-before-their-commit',
    file: TOGETHER,
    edits: [['await transaction.commit(writes);', 'void transaction.commit(writes).catch(() => undefined);']],
    caughtBy: 'histories',
  },
  {
    name: 'many-decided-without-their-earlier-answers',
    file: TOGETHER,
    edits: [['ofCalls(frame.earlier, requests).length > 0', 'false']],
    caughtBy: 'histories',
  },
  {
    name: 'answer-of-another-caller',
    file: BATCHER,
    edits: [['outcome(from + index)', 'outcome(index)']],
    caughtBy: 'histories',
  },
  {
    name: 'held-does-not-count',
    file: 'engine/dist/usage/room.js',
    edits: [['fill.used + fill.reserved + amount;', 'fill.used + amount;']],
    caughtBy: 'reservations',
    firstSeed: 6,
  },
  {
    name: 'ended-holds-still-count',
    file: BATCH,
    edits: [['due.length === 0 ?', 'due.length >= 0 ?']],
    caughtBy: 'reservations',
  },
  {
    name: 'later-end-hides-the-next',
    file: DECIDE,
    edits: [['Math.min(account.nextHoldEnd ?? expiresAt, expiresAt)', 'expiresAt']],
    caughtBy: 'reservations',
    firstSeed: 3,
  },
  {
    name: 'settled-a-second-time',
    file: RESERVATIONS,
    edits: [["if (state === 'settled' || state === 'released')", 'if (state === null)']],
    caughtBy: 'reservations',
  },
  {
    name: 'settled-and-still-held',
    file: 'engine/dist/usage/settle-reservation.js',
    edits: [['Math.max(0, fill.reserved - held)', 'fill.reserved']],
    caughtBy: 'reservations',
    firstSeed: 2,
  },
  {
    name: 'settled-late-as-if-held',
    file: RESERVATIONS,
    edits: [
      ["state === 'expired' ? decideLateSettlement(input)", 'state === null ? decideLateSettlement(input)'],
    ],
    caughtBy: 'reservations',
    firstSeed: 18,
  },
  {
    name: 'hours-not-told',
    file: DECIDE,
    edits: [['hours.add(account, feature, account.used - used, attributes);', '']],
    caughtBy: 'histories',
  },
  {
    name: 'notice-told-twice',
    file: NOTICES,
    edits: [['level.rank > told.rank', 'level.rank > 0']],
    caughtBy: 'histories',
    firstSeed: 3,
  },
  {
    name: 'notice-forgotten-by-its-account',
    file: BATCH_NOTICES,
    edits: [['account.told = answer.told;', '']],
    caughtBy: 'histories',
    firstSeed: 3,
  },
  {
    name: 'crossing-not-told',
    file: DECIDE,
    edits: [['notices.changed(account, feature, entitlement, used);', '']],
    caughtBy: 'histories',
  },
  {
    name: 'reset-not-told-apart',
    file: BATCH_NOTICES,
    edits: [['account.told = NOTHING_TOLD;', '']],
    caughtBy: 'histories',
    firstSeed: 10,
  },
  {
    name: 'holder-takes-again',
    file: DECIDE,
    edits: [['holders.heldBy(item) > 0', 'false']],
    caughtBy: 'credits',
    firstSeed: 2,
  },
  {
    name: 'holder-gives-back-what-others-hold',
    file: DECIDE,
    edits: [['Math.min(item.amount ?? held, held)', '(item.amount ?? held)']],
    caughtBy: 'credits',
  },
  {
    name: 'holder-not-written',
    file: HOLDERS,
    edits: [['changed.add(nameOf(key));', '']],
    caughtBy: 'credits',
  },
  {
    name: 'lot-used-twice',
    file: LOTS,
    edits: [['remaining.set(source, source.remaining - taken);', '']],
    caughtBy: 'credits',
  },
  {
    name: 'lot-that-ended-counts',
    file: LOTS,
    edits: [['if (inForce(lot, now))', 'if (now > 0)']],
    caughtBy: 'credits',
  },
  {
    name: 'lots-not-carried-on',
    file: CREDITS,
    edits: [['this.#set(burn(', 'void (burn(']],
    caughtBy: 'credits',
  },
  {
    name: 'covered-of-the-last-period',
    file: CREDITS,
    edits: [['this.covered = 0;', '']],
    caughtBy: 'credits',
  },
  {
    name: 'lots-forgotten-by-their-account',
    file: CREDITS,
    edits: [['const stillHasLots = standing.length > 0;', 'const stillHasLots = false;']],
    caughtBy: 'credits',
  },
  {
    name: 'paid-before-promotional',
    file: LOTS,
    edits: [['promotional: 0,', 'promotional: 4,']],
    caughtBy: 'credits',
    firstSeed: 128,
  },
  {
    name: 'rolled-over-twice',
    file: CREDITS,
    edits: [['this.#opened = true;', 'this.#opened = true; rolledOver = [...rolledOver, ...rolledOver];']],
    caughtBy: 'credits',
  },
  {
    name: 'rolled-over-and-not-written',
    file: CREDITS,
    edits: [['this.#made = [...this.#made, ...stored];', '']],
    caughtBy: 'credits',
  },
  {
    name: 'rolled-over-beyond-its-bound',
    file: ROLLOVER,
    edits: [['Math.min(maximum, Math.max(minimum,', 'Math.min(99, Math.max(minimum,']],
    caughtBy: 'credits',
  },
  {
    name: 'left-of-what-lots-covered',
    file: ROLLOVER,
    edits: [['opened.used - (opened.covered ?? 0)', 'opened.used']],
    caughtBy: 'credits',
  },
  ...STORE_FAULTS,
  ...AHEAD_FAULTS,
];
