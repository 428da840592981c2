import { NOTHING_TOLD, type Told } from '@pennon/engine/usage/notices';
import { numberArray } from './array-literal.js';
import type { GivenColumn } from './given-rows.js';

/* The columns `told`, `told_at` and `told_limit` of an account; `null` in all of them: nothing was told in its period. */

export function toTold([rank, at, limit]: readonly (string | null)[]): Told {
  return at === null || at === undefined
    ? NOTHING_TOLD
    : { rank: Number(rank ?? 0), at: Number(at), limit: Number(limit ?? 0) };
}

interface WithTold {
  readonly told: Told;
}

const RANK = ({ told }: WithTold) => (told.at === null ? null : told.rank);
const AT = ({ told }: WithTold) => told.at;
const LIMIT = ({ told }: WithTold) => (told.at === null ? null : told.limit);

export const TOLD_COLUMNS: readonly GivenColumn<WithTold>[] = [
  { name: 'told', type: 'integer', of: RANK },
  { name: 'told_at', type: 'bigint', of: AT },
  { name: 'told_limit', type: 'bigint', of: LIMIT },
];

/** As array parameters, in that order. */
export function toldArrays(
  accounts: readonly WithTold[],
): readonly [ranks: string, at: string, limits: string] {
  return [numberArray(accounts.map(RANK)), numberArray(accounts.map(AT)), numberArray(accounts.map(LIMIT))];
}
