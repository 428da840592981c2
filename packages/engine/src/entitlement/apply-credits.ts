import { nextEdge } from '../evaluation/edges.js';
import { inForce } from '../model/customer.js';
import { creditsOf } from '../usage/credits.js';
import { remainingOf } from '../usage/lots.js';
import { sum } from './combine.js';
import { type Draft, valueText } from './draft.js';

/**
 * The last step of a metered feature: what lots cover of the running period's use, and what remains of them, lies on top of what the
 * period allows. Using them up moves the one into the other, so that the limit stands still while use goes on.
 *
 * @returns what the period allows by itself; `null` where no lot counts.
 */
export function applyCredits(draft: Draft): number | null {
  const { evaluation, feature, now, current } = draft;
  if (feature.type !== 'metered' || draft.denied || current === 'unlimited') return null;
  const credits = creditsOf(evaluation, feature);
  if (credits === null) return null;
  const { covered, lots } = credits;
  let until: number | null = null;
  for (const lot of lots) {
    evaluation.touch(nextEdge(lot, now));
    if (lot.remaining === 0 || lot.endsAt === null || !inForce(lot, now)) continue;
    if (until === null || lot.endsAt < until) until = lot.endsAt;
  }
  const value = covered + remainingOf(lots, now);
  if (value === 0) return null;
  const allowance = typeof current === 'number' ? current : 0;
  draft.current = sum(allowance, value);
  draft.took('credits', { type: 'topup', key: 'credits', effect: 'add', value, until }, () => {
    return `Credits add ${value}: ${covered} used in this period, and what remains of them, beside ${valueText(allowance)} that the period allows.`;
  });
  return allowance;
}
