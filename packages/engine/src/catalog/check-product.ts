import { suggestName } from '../cel/suggest.js';
import type { CatalogAssertion, ProductDocument } from '../model/catalog.js';
import type { JsonObject } from '../model/json.js';
import type { CheckScope } from './check-scope.js';
import { quoted } from './issue-sink.js';
import { readSkuPattern } from './sku-pattern.js';
import { offsetInScalar } from './source-node.js';
import { checkSchemaText } from './value-schema.js';

/** The product, the context's schemas and the assertions. */

export function checkProduct(product: ProductDocument, scope: CheckScope): void {
  if (product.defaultPlan !== undefined) scope.refer('plan', product.defaultPlan, product, 'defaultPlan');
  const pattern = product.sku === undefined ? undefined : readSkuPattern(product.sku);
  const node = scope.nodeOf(product, 'sku');
  if (pattern?.ok === false && node?.kind === 'scalar') {
    const offset = offsetInScalar(node, pattern.offset);
    scope.issues.at(node, 'SKU_PATTERN', `The pattern of billing keys: ${pattern.message}.`, { offset });
  }
}

/** Names that an expression reads as something else. */
const RESERVED = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while now'.split(
    ' ',
  ),
);
const OVERWRITTEN = new Set(['plan', 'license', 'environment', 'targetingKey']);

export function checkContext(context: Readonly<Record<string, JsonObject>>, scope: CheckScope): void {
  for (const name of Object.keys(context)) {
    const node = scope.nodeOf(context, name);
    if (node === undefined) continue;
    checkSchemaText(node, scope.issues);
    if (RESERVED.has(name)) {
      scope.fault(
        context,
        name,
        'BAD_KEY',
        `${quoted(name)} is a word of expressions and cannot name a part of the context.`,
      );
    } else if (OVERWRITTEN.has(name)) {
      const message = `${quoted(name)} is set by the server; what a caller sends under this name is overwritten, and this schema is not read.`;
      scope.warn(context, name, 'BAD_KEY', message);
    }
  }
}

export function checkAssertion(assertion: CatalogAssertion, scope: CheckScope): void {
  const { plan, environment } = assertion.given;
  if (plan !== undefined) checkAssertedPlan(plan, assertion, scope);
  if (environment !== undefined) checkEnvironment(environment, assertion.given, 'environment', scope);
  for (const key of Object.keys(assertion.expect)) {
    if (scope.flags.has(key)) continue;
    scope.refer('feature', key, assertion.expect, key);
  }
}

function checkAssertedPlan(plan: string, assertion: CatalogAssertion, scope: CheckScope): void {
  const [, key = plan, version] = /^(.*)@([0-9]+)$/.exec(plan) ?? [];
  if (!scope.refer('plan', key, assertion.given, 'plan') || version === undefined) return;
  const versions = scope.catalog.plans.filter((candidate) => candidate.key === key);
  if (versions.some((candidate) => (candidate.version ?? 0) === Number(version))) return;
  const known = versions.map((candidate) => `\`${key}@${candidate.version ?? 0}\``).join(', ');
  scope.fault(
    assertion.given,
    'plan',
    'UNKNOWN_REFERENCE',
    `${quoted(plan)} is no version of the plan; there is ${known}.`,
  );
}

export function checkEnvironment(name: string, holder: object, member: string, scope: CheckScope): void {
  if (scope.environments === undefined || scope.environments.includes(name)) return;
  const message = `There is no environment ${quoted(name)}; create it or correct the name.`;
  scope.fault(holder, member, 'UNKNOWN_REFERENCE', message, suggestName(name, scope.environments));
}
