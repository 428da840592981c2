import type { Catalog, Segment } from '../model/catalog.js';
import { checkBilling } from './check-billing.js';
import { checkCycles } from './check-cycles.js';
import { checkAddon, checkGiven, checkPlan } from './check-entitlements.js';
import { ExpressionChecks, forgeableReads } from './check-expressions.js';
import { checkFeature } from './check-features.js';
import { checkFlag } from './check-flags.js';
import { checkAssertion, checkContext, checkProduct } from './check-product.js';
import type { CheckScope } from './check-scope.js';
import { type AnyItem, type Draft, itemReference } from './draft.js';
import { quoted } from './issue-sink.js';
import type { WrittenExpression } from './schema-reader.js';

/** Everything that one item's shape does not show: references, types across items, expressions, cycles. */
export function checkCatalog(
  draft: Draft,
  known: Catalog,
  scope: CheckScope,
  written: readonly WrittenExpression[],
): void {
  const knownFeatures = new Set(known.features.map(({ key }) => key));
  const knownFlags = new Set(known.flags.map(({ key }) => key));
  const checks = new ExpressionChecks(scope);
  for (const { item } of draft.items) {
    scope.issues.within(itemReference(item), () => {
      if (item.kind === 'flag' && knownFeatures.has(item.value.key)) sharedName(item, 'feature', scope);
      if (item.kind === 'feature' && knownFlags.has(item.value.key)) sharedName(item, 'flag', scope);
      checkItem(item, scope);
      checkItemExpressions(item, checks, scope);
    });
  }
  for (const { node, item } of written) {
    if (scope.issues.full) break;
    scope.issues.within(item, () => checks.checkWritten(node));
  }
  checkCycles(checks, scope);
}

function sharedName(item: AnyItem & { kind: 'flag' | 'feature' }, other: string, scope: CheckScope): void {
  const message = `${quoted(item.value.key)} is already a ${other} on the server; features and flags share one namespace.`;
  scope.fault(item.value, 'key', 'DUPLICATE_DEFINITION', message);
}

function checkItem(item: AnyItem, scope: CheckScope): void {
  switch (item.kind) {
    case 'product':
      checkProduct(item.value, scope);
      break;
    case 'context':
      checkContext(item.value, scope);
      break;
    case 'feature':
      checkFeature(item.value, scope);
      break;
    case 'plan':
      checkPlan(item.value, scope);
      break;
    case 'addon':
      checkAddon(item.value, scope);
      break;
    case 'group':
    case 'segment':
      checkGiven(item.value, scope);
      break;
    case 'flag':
      checkFlag(item.value, scope);
      break;
    case 'billing':
      checkBilling(item.value, scope);
      break;
    case 'test':
      checkAssertion(item.value, scope);
      break;
  }
}

function checkItemExpressions(item: AnyItem, checks: ExpressionChecks, scope: CheckScope): void {
  if (item.kind === 'feature') checks.checkFeature(item.value);
  else if (item.kind === 'flag') checks.checkFlag(item.value);
  else if (item.kind === 'segment') {
    checks.checkSegment(item.value);
    checkForgeable(item.value, checks, scope);
  }
}

/** What gives a feature may not rest on what a caller says of itself: a forged mail address opens nothing. */
function checkForgeable(segment: Segment, checks: ExpressionChecks, scope: CheckScope): void {
  if ((segment.entitlements ?? []).length === 0) return;
  const reads = forgeableReads(segment, checks, scope);
  if (reads.length === 0) return;
  const message = `${quoted(segment.key)} gives features, and its condition rests on ${reads.map(quoted).join(', ')}, which a caller can forge; use members, or server facts such as \`plan.tier\` and \`customer.key\`.`;
  scope.fault(segment, 'condition', 'SEGMENT_FORGEABLE', message);
}
