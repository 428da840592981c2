import type { LintSeverity } from '../model/catalog.js';

export interface LintRuleEntry {
  readonly severity: LintSeverity;
  readonly reason: string;
  /** The severity is not the product's to change. */
  readonly fixed?: boolean;
}

/** Every lint rule with its default severity; a product changes it with `product.lint` (C-5). */
export const LINT_RULES = {
  naming: {
    severity: 'off',
    reason: 'One way of naming makes keys guessable: `can_<verb>_<entity>`, `max_<entity>`, `has_<feature>`.',
  },
  owner: { severity: 'warning', reason: 'Someone must answer for it when it misbehaves.' },
  purpose: { severity: 'warning', reason: 'Nobody dares to remove what nobody can explain.' },
  removal: {
    severity: 'warning',
    reason: 'What has no end is never cleaned up; `permanent` is an answer too.',
  },
  'plan-mapping': {
    severity: 'warning',
    reason: 'A sold feature that stands in no plan can be bought by nobody.',
  },
  'experimental-expiry': {
    severity: 'warning',
    reason: 'An experiment without an end becomes the product by accident.',
  },
  'experimental-rollback': {
    severity: 'warning',
    reason: 'Whoever is called at night must know how to go back.',
  },
  expired: { severity: 'warning', reason: 'It was meant to be gone by now.' },
  'max-limit': {
    severity: 'warning',
    reason: 'Nothing can be consumed on a `limit`; things that are counted are metered and never reset.',
  },
  'flag-budget': { severity: 'warning', reason: 'Every temporary flag doubles what must be tested.' },
  'ux-trusted': {
    fixed: true,
    severity: 'error',
    reason: 'A `ux` item is a hint to the screen and never opens anything.',
  },
} as const satisfies Record<string, LintRuleEntry>;

export type LintRule = keyof typeof LINT_RULES;
export const LINT_RULE_NAMES = Object.keys(LINT_RULES) as readonly LintRule[];

/** How many temporary flags a product may carry before the linter speaks. */
export const FLAG_BUDGET = 100;
