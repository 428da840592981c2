import { type Draft, valueText } from './draft.js';
import { trustedMember } from './membership.js';

/** Step three: what segments give their members lies over plans and groups, in catalog order. */
export function applySegments(draft: Draft): void {
  const { feature, evaluation } = draft;
  const per = feature.type === 'metered' ? feature.per : null;
  for (const segment of evaluation.snapshot.segmentsByFeature.get(feature.key) ?? []) {
    const member = trustedMember(evaluation, segment.key, per);
    const value = draft.usable(segment.entitlements.get(feature.key));
    if (member === null || value === null) {
      draft.explain(
        'segment',
        'skipped',
        () => `Not a member of segment \`${segment.key}\` that may give features.`,
      );
      continue;
    }
    draft.current = value;
    draft.took(
      'segment',
      { type: 'segment', key: segment.key, effect: 'set', value, until: member.until },
      () => {
        return `Segment \`${segment.key}\` gives its members ${valueText(value)}.`;
      },
    );
  }
}
