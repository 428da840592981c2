import { createHash } from 'node:crypto';
import type { Instant } from '@pennon/engine/model/customer';
import { LIMITS } from '@pennon/engine/model/limits';
import type { Kysely } from 'kysely';
import type { Tables } from '../../store/tables.js';
import { type MissCount, readMisses, writeMiss } from '../../store/voucher-misses.js';
import type { VoucherRefusal } from './voucher-refusal.js';

/** Who tries a code, and from where. */
export interface Guesser {
  readonly environmentId: string;
  readonly customerKey: string;
  readonly userKey: string | null;
  /** The id of the key that was presented, or of the one that signed the token. */
  readonly credentialId: string;
  /** Browsers only; a backend stands for many. */
  readonly remoteAddress: string | null;
}

const WINDOW_MILLISECONDS = LIMITS.voucherMissMinutes.value * 60_000;

interface Subject {
  readonly hash: Buffer;
  readonly limit: number;
  /** Many stand behind it, of whom most are honest. */
  readonly shared: boolean;
}

/** Addresses and names are kept as hashes: this table is about counting, not about people. */
function subjectsOf(guesser: Guesser): readonly Subject[] {
  const { customerKey, userKey, credentialId, remoteAddress } = guesser;
  const subject = (names: readonly string[], limit: number, shared: boolean): Subject => ({
    hash: createHash('sha256').update(names.join('\u0000')).digest().subarray(0, 16),
    limit,
    shared,
  });
  return [
    subject(['person', customerKey, userKey ?? ''], LIMITS.voucherMisses.value, false),
    subject(['customer', customerKey], LIMITS.voucherMissesOfCustomer.value, false),
    subject(['credential', credentialId], LIMITS.voucherMissesOfCredential.value, true),
    ...(remoteAddress === null
      ? []
      : [subject(['address', remoteAddress], LIMITS.voucherMissesOfAddress.value, true)]),
  ];
}

/**
 * Whether this one has tried too many wrong codes to try another (S-16). It holds over all processes, because it is counted in the
 * store. Nobody is locked out for good: what is refused here is not counted, so the oldest misses fall out of the window whatever
 * happens. And nobody is locked out by others: what a key or an address has on its account counts only against customers who
 * are known and have themselves failed, or are not known at all.
 */
export async function refuseGuess(
  database: Kysely<Tables>,
  guesser: Guesser,
  registered: boolean,
  now: Instant,
): Promise<VoucherRefusal | null> {
  const subjects = subjectsOf(guesser);
  const since = now - WINDOW_MILLISECONDS;
  const counts = await readMisses(
    database,
    guesser.environmentId,
    subjects.map(({ hash }) => hash),
    since,
  );
  const countOf = ({ hash }: Subject): MissCount | undefined => counts.get(hash.toString('hex'));
  const suspect =
    !registered || subjects.some((subject) => !subject.shared && countOf(subject) !== undefined);
  const blocking = subjects.flatMap((subject) => {
    const count = countOf(subject);
    const blocks = count !== undefined && count.misses >= subject.limit && (!subject.shared || suspect);
    return blocks ? [count] : [];
  });
  if (blocking.length === 0) return null;
  const free = Math.max(...blocking.map(({ oldest }) => oldest + 60_000 + WINDOW_MILLISECONDS));
  const retryAfterSeconds = Math.max(1, Math.ceil((free - now) / 1000));
  return {
    code: 'VOUCHER_THROTTLED',
    message: `Too many wrong codes were tried. Try again in ${retryAfterSeconds} seconds, with the code as it was given to you.`,
    retryAfterSeconds,
  };
}

/** A code that does not exist was tried. */
export async function countMiss(database: Kysely<Tables>, guesser: Guesser, now: Instant): Promise<void> {
  const hashes = subjectsOf(guesser).map(({ hash }) => hash);
  await writeMiss(database, guesser.environmentId, hashes, now, now - WINDOW_MILLISECONDS);
}
