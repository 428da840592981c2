import { LIMITS } from '@pennon/engine/model/limits';

/** Control characters and lone surrogates: a store of UTF-8 text cannot hold the one, nor a person read the other. */
const UNSTORABLE = /[\p{Cc}\p{Cs}]/u;

/**
 * Whether a key of data (a customer, user, team or instance: mail addresses and foreign ids are common) could be stored at all.
 * What could not be is known to be absent without asking, and never fills the memory.
 */
export function isStorableKey(key: string): boolean {
  return key.length > 0 && key.length <= LIMITS.keyLength.value && !UNSTORABLE.test(key);
}
