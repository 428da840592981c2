import { nextEdge } from '../evaluation/edges.js';
import type { PreparedCustomer } from '../evaluation/prepared-customer.js';
import { type Instant, inForce, type Span } from '../model/customer.js';
import { type Draft, valueText } from './draft.js';

/** Whether one of the spans holds now, and until when the last of them does. */
export function spanInForce(
  spans: readonly Span[],
  now: Instant,
  touch: (edge: Instant) => void,
): { readonly until: Instant | null } | null {
  let found: { until: Instant | null } | null = null;
  for (const span of spans) {
    touch(nextEdge(span, now));
    if (!inForce(span, now)) continue;
    const later =
      found === null || (found.until !== null && (span.endsAt === null || span.endsAt > found.until));
    if (later) found = { until: span.endsAt };
  }
  return found;
}

/**
 * Step two: the customer's groups in catalog order, the last one that names the feature wins. `replace` takes away what plan and default
 * group gave; what another of the customer's groups gives is not the plan's, and stays.
 */
export function applyGroups(draft: Draft, prepared: PreparedCustomer): void {
  let ofGroup = false;
  for (const { group, memberships } of prepared.groups) {
    const names = group.entitlements.has(draft.feature.key);
    if (!names && group.mode === 'overlay') continue;
    const member = spanInForce(memberships, draft.now, (edge) => draft.evaluation.touch(edge));
    if (member === null) {
      draft.explain('group', 'skipped', () => `The customer is not in group \`${group.key}\` now.`);
      continue;
    }
    const value = draft.usable(group.entitlements.get(draft.feature.key));
    if (value === null && (group.mode === 'overlay' || draft.current === null || ofGroup)) continue;
    if (value !== null) ofGroup = true;
    draft.current = value;
    const effect = group.mode === 'replace' ? 'replace' : 'overlay';
    draft.took('group', { type: 'group', key: group.key, effect, value, until: member.until }, () => {
      const verb = value === null ? 'takes away what the plan gave' : `gives ${valueText(value)}`;
      return `Group \`${group.key}\` (${group.mode}) ${verb}.`;
    });
  }
}
