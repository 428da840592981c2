import type { Instant } from '@pennon/engine/model/customer';
import { NOTHING_TOLD, type Told } from '@pennon/engine/usage/notices';
import { numberArray } from './array-literal.js';

/* The columns `told`, `told_at` and `told_limit` of an account; `null` in all of them: nothing was told in its period. */

export function toTold([rank, at, limit]: readonly (string | null)[]): Told {
  return at === null || at === undefined
    ? NOTHING_TOLD
    : { rank: Number(rank ?? 0), at: Number(at), limit: Number(limit ?? 0) };
}

/** As array parameters, in that order. */
export function toldArrays(
  accounts: readonly { readonly told: Told }[],
): readonly [ranks: string, at: string, limits: string] {
  const told: readonly (Told | null)[] = accounts.map((account) =>
    account.told.at === null ? null : account.told,
  );
  const at = told.map((one): Instant | null => one?.at ?? null);
  return [
    numberArray(told.map((one) => one?.rank ?? null)),
    numberArray(at),
    numberArray(told.map((one) => one?.limit ?? null)),
  ];
}
