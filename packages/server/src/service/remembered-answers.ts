import { createCipheriv, createDecipheriv, hash, hkdfSync, randomBytes } from 'node:crypto';
import type { Instant } from '@pennon/engine/model/customer';
import { LIMITS } from '@pennon/engine/model/limits';
import type { Kysely } from 'kysely';
import { fromInstant } from '../store/instant.js';
import {
  type AnswerPlace,
  deleteAnswerRows,
  insertAnswerRow,
  readAnswerRow,
} from '../store/remembered-answer-rows.js';
import type { Tables } from '../store/tables.js';
import type { Credential } from './credential.js';
import type { Clock } from './ports.js';

/** An answer as it was written: the body as text, so that a repeat gets the same bytes. */
export interface StoredAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

/** One call with an `Idempotency-Key`. */
export interface KeyedCall extends AnswerPlace {
  /** For whatever waits for the same key in this process. */
  readonly name: string;
  readonly requestDigest: Buffer;
  readonly sealingKey: Buffer;
}

export interface RememberedAnswers {
  /** `null`: nothing was remembered under that key; `other-request`: something was, for another request. */
  find(call: KeyedCall): Promise<StoredAnswer | 'other-request' | null>;
  /** `false`: another call with that key came first. */
  write(database: Kysely<Tables>, call: KeyedCall, answer: StoredAnswer): Promise<boolean>;
  /** Forgets what is over; resolves to how many it were. */
  forgetOld(): Promise<number>;
}

const EVERY_ENVIRONMENT = '00000000-0000-0000-0000-000000000000';
const DAY = 86_400_000;
const FORGOTTEN_AT_ONCE = 500;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export interface RememberedAnswersOptions {
  readonly database: Kysely<Tables>;
  readonly clock: Clock;
}

export function createRememberedAnswers({ database, clock }: RememberedAnswersOptions): RememberedAnswers {
  const since = (now: Instant) => fromInstant(now - LIMITS.idempotencyDays.value * DAY);
  return {
    async find(call) {
      const row = await readAnswerRow(database, call, since(clock.now()));
      if (row === null) return null;
      return row.requestDigest.equals(call.requestDigest) ? unseal(call, row.answer) : 'other-request';
    },
    write(transaction, call, answer) {
      const now = clock.now();
      const row = { ...call, answer: seal(call, answer), at: fromInstant(now) };
      return insertAnswerRow(transaction, row, since(now));
    },
    forgetOld: () => deleteAnswerRows(database, since(clock.now()), FORGOTTEN_AT_ONCE),
  };
}

/**
 * Names a call by its key and by all that its credential reaches: two credentials with the same reach share their keys (one may
 * have replaced the other), any others never meet.
 */
export function keyedCall(credential: Credential, key: string, request: string): KeyedCall {
  const reach = JSON.stringify(reachOf(credential));
  const keyDigest = hash('sha256', `${reach}\u0000${key}`, 'buffer');
  return {
    environmentId: credential.environmentId ?? EVERY_ENVIRONMENT,
    keyDigest,
    name: keyDigest.toString('base64'),
    requestDigest: hash('sha256', request, 'buffer'),
    sealingKey: Buffer.from(hkdfSync('sha256', key, reach, 'pennon remembered answer', 32)),
  };
}

function reachOf(credential: Credential): readonly (string | null)[] {
  const { kind, environmentId, productId } = credential;
  const whose =
    kind === 'customer-token' ? [credential.customerKey, credential.userKey, credential.instanceKey] : [];
  return [kind, environmentId, productId, ...whose];
}

/**
 * Answers name people, and whoever is erased must not live on in what was once answered: an answer can be read with the key of
 * its call only, which is not stored. Nonce, tag, text.
 */
function seal(call: KeyedCall, answer: StoredAnswer): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', call.sealingKey, nonce);
  const text = Buffer.concat([cipher.update(JSON.stringify(answer), 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), text]);
}

function unseal(call: KeyedCall, sealed: Buffer): StoredAnswer {
  const text = NONCE_BYTES + TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', call.sealingKey, sealed.subarray(0, NONCE_BYTES));
  decipher.setAuthTag(sealed.subarray(NONCE_BYTES, text));
  return JSON.parse(decipher.update(sealed.subarray(text), undefined, 'utf8') + decipher.final('utf8'));
}
