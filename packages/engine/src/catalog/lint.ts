import { compileExpression } from '../cel/compile-expression.js';
import type { Catalog, Feature, Flag, LintSeverity } from '../model/catalog.js';
import { rulesOf } from './check-expressions.js';
import { readDay } from './dates.js';
import { expressionEnvironment } from './expression-environment.js';
import type { IssueSeverity, ItemReference, SourcePlace } from './issue.js';
import { quoted } from './issue-sink.js';
import { FLAG_BUDGET, LINT_RULES, type LintRule } from './lint-rules.js';

export interface LintFinding {
  readonly rule: LintRule;
  readonly severity: IssueSeverity;
  readonly message: string;
  /** Absent for what concerns the catalog as a whole. */
  readonly item?: ItemReference;
  /** The member of the item, as a JSON pointer. */
  readonly path: string;
  readonly place?: SourcePlace;
}

export interface LintOptions {
  /** Milliseconds since the epoch: what has expired by then is reported. */
  readonly now: number;
  /** From `parseCatalog`, so that findings say where. */
  readonly positions?: ReadonlyMap<string, SourcePlace>;
}

type Report = (rule: LintRule, message: string, path: string) => void;
const DAY_MILLISECONDS = 86_400_000;

/** What is allowed and unwise (C-5). Severities come from `product.lint`, else from `LINT_RULES`. */
export function lintCatalog(catalog: Catalog, options: LintOptions): LintFinding[] {
  const findings: LintFinding[] = [];
  const add = (item: ItemReference | undefined, rule: LintRule, message: string, path: string): void => {
    const severity = severityOf(catalog, rule);
    if (severity === 'off') return;
    const place = item && options.positions?.get(`${item.kind} ${item.key}`);
    findings.push({ rule, severity, message, path, ...(item ? { item } : {}), ...(place ? { place } : {}) });
  };
  const sold = soldFeatures(catalog);
  for (const feature of catalog.features) {
    const report: Report = (rule, message, path) =>
      add({ kind: 'feature', key: feature.key }, rule, message, path);
    lintGoverned(feature, options.now, report);
    lintFeature(feature, sold, report);
  }
  const uxKeys = trustedByNobody(catalog);
  for (const flag of catalog.flags) {
    const report: Report = (rule, message, path) => add({ kind: 'flag', key: flag.key }, rule, message, path);
    lintGoverned(flag, options.now, report);
    if (flag.category !== 'ux' && uxKeys.size > 0) lintTrust(flag, uxKeys, catalog, report);
  }
  const temporary = catalog.flags.filter((flag) => flag.removal !== 'permanent').length;
  if (temporary > FLAG_BUDGET) {
    add(
      undefined,
      'flag-budget',
      `There are ${temporary} temporary flags, and ${FLAG_BUDGET} are the budget; remove the oldest.`,
      '/flags',
    );
  }
  return findings;
}

function severityOf(catalog: Catalog, rule: LintRule): LintSeverity {
  const entry = LINT_RULES[rule];
  if ('fixed' in entry && entry.fixed) return entry.severity;
  return catalog.product?.lint?.[rule] ?? entry.severity;
}

function soldFeatures(catalog: Catalog): Set<string> {
  const offers = [...catalog.plans, ...catalog.addons];
  return new Set(offers.flatMap((offer) => offer.entitlements.map(({ feature }) => feature)));
}

function lintGoverned(item: Feature | Flag, now: number, report: Report): void {
  const name = quoted(item.key);
  const naming = namingFault(item);
  if (naming !== null) report('naming', `${name} should be named ${naming}.`, '/key');
  if (item.owner === undefined)
    report('owner', `${name} has no \`owner\`; name the team that answers for it.`, '/owner');
  if (item.purpose === undefined)
    report('purpose', `${name} has no \`purpose\`; say in a sentence why it exists.`, '/purpose');
  if (item.removal === undefined) {
    report(
      'removal',
      `${name} has no \`removal\`; write \`permanent\`, or how and when it goes.`,
      '/removal',
    );
  }
  if (item.category === 'experimental') {
    if (item.expires === undefined)
      report(
        'experimental-expiry',
        `${name} is experimental and never \`expires\`; give it a day.`,
        '/expires',
      );
    if (item.rollback === undefined)
      report(
        'experimental-rollback',
        `${name} is experimental and has no \`rollback\`; say how to go back.`,
        '/rollback',
      );
  }
  const day = item.expires === undefined ? null : readDay(item.expires);
  if (day !== null && now >= day + DAY_MILLISECONDS) {
    const how = item.removal === undefined ? 'remove it or move the day' : `its removal: ${item.removal}`;
    report('expired', `${name} expired on ${item.expires}; ${how}.`, '/expires');
  }
}

const SWITCH_NAME = /^(?:can_[a-z0-9]+(?:_[a-z0-9]+)+|has_[a-z0-9]+(?:_[a-z0-9]+)*)$/;
const NUMBER_NAME = /^max_[a-z0-9]+(?:_[a-z0-9]+)*$/;

function namingFault(item: Feature | Flag): string | null {
  if (item.type === 'boolean')
    return SWITCH_NAME.test(item.key) ? null : '`can_<verb>_<entity>` or `has_<feature>`';
  if (item.type === 'limit' || item.type === 'metered')
    return NUMBER_NAME.test(item.key) ? null : '`max_<entity>`';
  return null;
}

function lintFeature(feature: Feature, sold: ReadonlySet<string>, report: Report): void {
  const name = quoted(feature.key);
  const forSale = feature.category !== 'ux' && feature.category !== 'experimental';
  if (forSale && !sold.has(feature.key)) {
    report('plan-mapping', `${name} stands in no plan and no add-on, so nobody can buy it.`, '/key');
  }
  if (feature.type === 'limit' && feature.key.startsWith('max_')) {
    const message = `Nothing can be consumed on ${name}, which is a \`limit\`; if things are counted against it, write \`type: metered, reset: never\`.`;
    report('max-limit', message, '/type');
  }
}

function trustedByNobody(catalog: Catalog): ReadonlySet<string> {
  const items = [...catalog.features, ...catalog.flags];
  return new Set(items.filter(({ category }) => category === 'ux').map(({ key }) => key));
}

/** A rule that asks a `ux` item trusts it for access, as `requires` would (C-1). */
function lintTrust(flag: Flag, uxKeys: ReadonlySet<string>, catalog: Catalog, report: Report): void {
  const environment = expressionEnvironment({ catalog, layer: 'flag' });
  for (const [index, rule] of rulesOf(flag).entries()) {
    if (rule.if === undefined || ![...uxKeys].some((key) => rule.if?.includes(key))) continue;
    const compiled = compileExpression(rule.if, environment);
    const asked = compiled.ok ? compiled.expression.reads.calls : [];
    for (const { argument } of asked) {
      if (argument === undefined || !uxKeys.has(argument)) continue;
      const message = `A rule of ${quoted(flag.key)} asks ${quoted(argument)}, a \`ux\` item, which is never trusted for access.`;
      report('ux-trusted', message, `/rules/${index}/if`);
    }
  }
}
