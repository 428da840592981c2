import {
  AGGREGATIONS,
  DOWNGRADE_POLICIES,
  ENFORCEMENTS,
  FEATURE_CATEGORIES,
  FEATURE_TYPES,
  FLAG_CATEGORIES,
  FLAG_TYPES,
  INTERVALS,
  LATE_POLICIES,
  PLAN_CHANGE_POLICIES,
  SETTLE_LATE,
  SETTLE_MORE,
  STORE_AWAY_POLICIES,
} from '../model/catalog.js';
import { KEY_PATTERN, LIMITS } from '../model/limits.js';
import type { JsonSchema } from './json-schema.js';
import { LINT_RULE_NAMES, LINT_RULES } from './lint-rules.js';
import { BILLING_DEFINITIONS } from './schema-billing.js';
import { SHORT_FORM_DEFINITIONS } from './schema-short-form.js';
import {
  choice,
  expression,
  flagOrText,
  integer,
  list,
  type Members,
  object,
  on,
  ref,
  text,
} from './schema-words.js';

/*
 * The shape of the catalog document: what editors complete and show, and what the parser checks. Descriptions are read in
 * hovers. Members stand in the order in which they are written and exported.
 */

const governed: Members = {
  name: text('The name that people see.'),
  description: text('What it is, for people.'),
};

const governance: Members = {
  owner: text('Who answers for it: a team or a mail address.'),
  purpose: text('Why it exists.'),
  removal: text('`permanent`, or how and when it goes.'),
  expires: { type: 'string', format: 'date', description: 'After this day it is reported as expired.' },
  rollback: text('How to go back; experimental ones must say.'),
  tags: list(text('A word to find it by.', LIMITS.keyLength.value), 50),
  clientVisible: on('May be read with a client key. Default: false.'),
};

const catalogMembers: Members = {
  product: ref('product'),
  context: {
    type: 'object',
    description:
      "JSON Schemas of the context's parts: rules are checked against them, editors complete from them.",
    propertyNames: { pattern: '^[A-Za-z_][A-Za-z0-9_]{0,63}$' },
    additionalProperties: ref('schema'),
  },
  features: list(
    ref('feature'),
    LIMITS.features.value,
    'What is sold. Features and flags share one namespace of keys.',
  ),
  plans: list(
    ref('plan'),
    LIMITS.plans.value,
    'Named offers; each version is an immutable set of entitlements.',
  ),
  addons: list(ref('addon'), LIMITS.addons.value, 'Extras that stack on a plan.'),
  groups: list(
    ref('group'),
    LIMITS.groups.value,
    'Stored lists of customers with their own set of features; the last one wins.',
  ),
  segments: list(ref('segment'), LIMITS.segments.value, 'Reusable conditions and lists of members.'),
  flags: list(ref('flag'), LIMITS.flags.value, 'Named decision points in code.'),
  billing: list(
    ref('billing'),
    LIMITS.billingMappings.value,
    'What prices and statuses of billing providers mean.',
  ),
  tests: list(ref('test'), LIMITS.assertions.value, 'Assertions that block a publish which breaks them.'),
};

const definitions: Record<string, JsonSchema> = {
  key: {
    type: 'string',
    pattern: KEY_PATTERN.source,
    description: 'Letters, digits, `.`, `_`, `~` and `-`, at most 128; the first is a letter or a digit.',
  },
  schema: { type: 'object', description: 'A JSON Schema.' },
  product: object('The product of this catalog; what is left out keeps what the product has.', ['key'], {
    key: ref('key'),
    name: text('The name that people see.'),
    sku: text(
      'How a billing key is split into `plan.*` facts: `{tier}` (or `{plan}`) names the plan, `{version:int}` its version.',
      500,
    ),
    defaultPlan: ref('key', 'The plan of customers without a license, and of unknown ones.'),
    timeZone: {
      type: 'string',
      format: 'time-zone',
      description: 'The zone of periods where nothing nearer says one.',
    },
    pastDueGraceDays: integer(
      'How many days a license that is past due keeps its rights where nobody says otherwise. Default: 7.',
      0,
      LIMITS.graceDays.value,
    ),
    lint: {
      type: 'object',
      description: 'The severity of each lint rule in this product.',
      properties: Object.fromEntries(
        LINT_RULE_NAMES.filter((rule) => !('fixed' in LINT_RULES[rule])).map((rule) => [
          rule,
          choice('Severity.', ['off', 'info', 'warning', 'error']),
        ]),
      ),
      additionalProperties: false,
    },
  }),
  unit: object('One and several of what is counted.', ['one', 'other'], {
    one: text('One of them.', 100),
    other: text('Several of them.', 100),
  }),
  reset: {
    description: 'When usage starts again: `never`, or every so many intervals.',
    anyOf: [
      { const: 'never' },
      object('A reset period.', ['every'], {
        every: choice('The interval.', INTERVALS),
        count: integer('So many intervals: every 2 weeks is `{ every: week, count: 2 }`.', 1, 1000),
        anchor: choice('Counted from the start of the license (default) or from the calendar.', [
          'license',
          'calendar',
        ]),
        timeZone: {
          type: 'string',
          format: 'time-zone',
          description: 'The zone in which the period is computed.',
        },
      }),
    ],
  },
  entitlementValue: {
    type: ['boolean', 'integer', 'string', 'object'],
    description:
      'A boolean, a limit (an integer or `unlimited`) or a config value, as the type of the feature says.',
  },
  feature: object('What is sold.', ['key', 'type'], {
    key: ref('key'),
    ...governed,
    type: choice('On or off, a static number, usage with a quota, or a JSON value.', FEATURE_TYPES),
    category: choice('What it is for. `ux` is never trusted for access.', FEATURE_CATEGORIES),
    ...governance,
    whenDenied: choice('What a user interface should do.', ['locked', 'hidden']),
    unit: ref('unit'),
    per: choice('Whose quota: of the customer (default), or of each instance or user.', [
      'customer',
      'instance',
      'user',
    ]),
    reset: ref('reset'),
    enforcement: choice('What happens at the limit. Default: hard.', ENFORCEMENTS),
    overage: {
      description: 'How far a soft limit may be passed.',
      anyOf: [
        object('By a share of the limit.', ['percent'], {
          percent: integer('Percent of the limit.', 0, 10_000),
        }),
        object('By an amount.', ['amount'], { amount: integer('Units above the limit.') }),
      ],
    },
    warnAt: list(integer('Percent of the limit.', 1, 1000), 10, 'Percentages at which a warning is sent.'),
    onDowngrade: {
      description:
        'What happens to use above a limit that a change of plan has lowered. Default: refuse-new. `grace` alone lasts 14 days.',
      anyOf: [
        {
          type: 'string',
          ...choice('What happens to use above a lowered limit.', DOWNGRADE_POLICIES),
        },
        object('The earlier limit stands for so many days.', ['grace'], {
          grace: object('How long the earlier limit stands.', ['days'], {
            days: integer('Days of 24 hours.', 1, LIMITS.graceDays.value),
          }),
        }),
      ],
    },
    onPlanChange: choice(
      'What a change of plan in the middle of a period does: `carry` (default) keeps use and gives the new limit, `reset` begins a period, `prorate` mixes the limits by time.',
      PLAN_CHANGE_POLICIES,
    ),
    rollover: object('What is left of a period may be used later.', ['maximum'], {
      maximum: integer('So much of one period at most.', 1),
      minimum: integer('So much at least, whatever was left. Default: 0.'),
      periods: integer(
        'For so many periods after the one it is left of. Default: 1.',
        1,
        LIMITS.rolloverPeriods.value,
      ),
    }),
    topUps: list(
      ref('topUpPack'),
      LIMITS.topUpPacks.value,
      'Amounts that can be bought besides what a period allows.',
    ),
    settle: object('What of a reservation may be settled beyond what it holds. Default: nothing.', [], {
      more: choice(
        'The part that was not held: refused (default), taken whole or not at all, or taken as far as it fits.',
        SETTLE_MORE,
      ),
      late: choice('A reservation that ended: refused (default), or tried as a consume.', SETTLE_LATE),
    }),
    onStoreAway: choice(
      'Soft and observed limits: what a consume is answered while the store cannot be reached.',
      STORE_AWAY_POLICIES,
    ),
    measure: expression('CEL over the attributes of a usage, an integer: the amount when none is sent.'),
    aggregation: choice(
      'How usage adds up in a period. Default: sum. Only sum and count can be limited hard.',
      AGGREGATIONS,
    ),
    uniqueBy: text('The attribute whose different values are counted; for `aggregation: unique`.', 64),
    lateEvents: object('Recorded events that are told after their period has ended.', [], {
      days: integer(
        'For so many days after its end a period accepts its events. Default: 3.',
        0,
        LIMITS.lateEventDays.value,
      ),
      after: choice('Later ones count into the current period (default), or are refused.', LATE_POLICIES),
    }),
    dimensions: list(
      text('The name of an attribute.', 64),
      LIMITS.dimensionsPerFeature.value,
      'Attributes by which the history of usage is kept apart.',
    ),
    schema: ref('schema', "The JSON Schema of a config feature's values."),
    combine: choice('How several licenses combine.', ['any', 'max', 'sum', 'last']),
  }),
  topUpPack: object('An amount that can be bought: a top-up is made of it.', ['key', 'amount'], {
    key: ref('key'),
    name: text('For people.', 200),
    description: text('For people.', 2000),
    amount: integer('So many units.', 1),
    validDays: integer(
      'It ends so many days of 24 hours after it was made. Default: never.',
      1,
      LIMITS.topUpDays.value,
    ),
    priority: integer('Lower ones are used first. Default: 50, as what a period allows.', 0, 100),
    plans: list(ref('key'), LIMITS.plans.value, 'Whose plan is one of them may buy it. Default: everyone.'),
    price: ref('price'),
    offered: on('False: sold no more.'),
  }),
  price: object('To show, never to charge.', ['amount', 'currency'], {
    amount: integer('In minor units: 2000 is 20.00.'),
    currency: { type: 'string', pattern: '^[A-Z]{3}$', description: 'ISO 4217, for example `EUR`.' },
    every: choice('What the amount is for.', [...INTERVALS, 'once']),
    source: text('Where the price comes from, shown with it.', 200),
  }),
  setEntitlement: object('What is given.', ['feature', 'value'], {
    feature: ref('key'),
    value: ref('entitlementValue'),
  }),
  split: object('An experiment on the value itself.', ['by', 'values'], {
    by: text(
      'What decides the share, known to the server: `customer.key`, `license.id` or a customer attribute.',
      200,
    ),
    seed: text('Changing it moves everybody. Default: plan and feature.', 200),
    values: {
      ...list(
        object('One share.', ['value', 'weight'], {
          value: ref('entitlementValue'),
          weight: integer('The share among the total.', 0, LIMITS.rolloutTotal.value),
        }),
        LIMITS.variantsPerFlag.value,
        'The values with their weights, walked in this order.',
      ),
      minItems: 2,
    },
  }),
  planEntitlement: {
    ...object('What the plan gives.', ['feature'], {
      feature: ref('key'),
      value: ref('entitlementValue'),
      split: ref('split'),
    }),
    oneOf: [{ required: ['value'] }, { required: ['split'] }],
  },
  plan: object('One version of a plan.', ['key', 'entitlements'], {
    key: ref('key'),
    version: integer(
      'Licenses point at it; its entitlements never change once published. Default: 0.',
      0,
      1_000_000,
    ),
    ...governed,
    rank: integer('The order of the pricing page.', -1_000_000, 1_000_000),
    offered: on('False: kept by those who have it, sold no more.'),
    price: ref('price'),
    defaultGroup: ref('key', 'The group that every customer of the plan is in.'),
    entitlements: list(ref('planEntitlement'), LIMITS.features.value),
  }),
  addonEntitlement: {
    ...object('What one piece of the add-on does.', ['feature'], {
      feature: ref('key'),
      add: integer('Added to the limit, times the quantity.'),
      max: {
        type: ['integer', 'string'],
        minimum: 0,
        description: 'The limit is at least this, or `unlimited`.',
      },
      override: ref('entitlementValue', 'Takes the place of what lies below.'),
    }),
    oneOf: [{ required: ['add'] }, { required: ['max'] }, { required: ['override'] }],
  },
  addon: object('An extra that stacks on a plan.', ['key', 'entitlements'], {
    key: ref('key'),
    version: integer('As for plans. Default: 0.', 0, 1_000_000),
    ...governed,
    plans: list(ref('key'), LIMITS.plans.value, 'The plans it may be bought with. Default: every plan.'),
    maxQuantity: integer('How many may be bought.', 1),
    price: ref('price'),
    offered: on('False: kept by those who have it, sold no more.'),
    entitlements: list(ref('addonEntitlement'), LIMITS.features.value),
  }),
  group: object('A stored list of customers; who is in it is data.', ['key', 'entitlements'], {
    key: ref('key'),
    ...governed,
    mode: choice('`replace` (default) what plan and default group give, or lie over it.', [
      'replace',
      'overlay',
    ]),
    entitlements: list(ref('setEntitlement'), LIMITS.features.value),
  }),
  segment: object('A condition and a list of members; who is in it is data.', ['key'], {
    key: ref('key'),
    ...governed,
    condition: expression(
      'CEL over context and server facts; without one only stored members are in the segment.',
    ),
    entitlements: list(ref('setEntitlement'), LIMITS.features.value, 'What it gives its members.'),
  }),
  weights: {
    description: 'Shares by variant, walked in the written order.',
    anyOf: [
      {
        type: 'object',
        minProperties: 1,
        maxProperties: LIMITS.variantsPerFlag.value,
        additionalProperties: integer('The share.', 0, LIMITS.rolloutTotal.value),
      },
      {
        ...list(
          object('One share.', ['variant', 'weight'], {
            variant: text('A variant of the flag.', LIMITS.keyLength.value),
            weight: integer('The share.', 0, LIMITS.rolloutTotal.value),
          }),
          LIMITS.variantsPerFlag.value,
        ),
        minItems: 1,
      },
    ],
  },
  percentage: {
    type: 'number',
    minimum: 0,
    maximum: 100,
    description: 'Of a boolean flag: up to 3 decimals.',
  },
  rollout: {
    ...object('Weighted variants by bucket; ends the evaluation.', [], {
      by: text('The attribute that decides the bucket, for example `team.key`. Default: the subject.', 200),
      percentage: ref('percentage'),
      weights: ref('weights'),
      ramp: {
        ...list(
          {
            ...object('From this instant on.', ['at'], {
              at: { type: 'string', format: 'date-time', description: 'An instant with its zone.' },
              percentage: ref('percentage'),
              weights: ref('weights'),
            }),
            oneOf: [{ required: ['weights'] }, { required: ['percentage'] }],
          },
          LIMITS.rampSteps.value,
          'A step function: before the first `at` the rule does not match.',
        ),
        minItems: 1,
      },
    }),
    oneOf: [{ required: ['weights'] }, { required: ['percentage'] }, { required: ['ramp'] }],
  },
  rule: {
    ...object('Whom it concerns and what it serves.', [], {
      name: text('The name that explanations show.', 200),
      if: expression('CEL; without it the rule concerns everybody.'),
      serve: flagOrText('A variant.'),
      rollout: ref('rollout'),
    }),
    oneOf: [{ required: ['serve'] }, { required: ['rollout'] }],
  },
  rules: list(ref('rule'), LIMITS.rulesPerFlag.value, 'Tried in order; the first match serves.'),
  flagEnvironment: object('What differs in one environment.', [], {
    enabled: on('False: the off variant, whatever else is said (kill switch).'),
    rules: ref('rules', 'These take the place of the list.'),
    default: flagOrText('The variant when nothing matched.'),
  }),
  flag: object('A named decision point in code.', ['key', 'type'], {
    key: ref('key'),
    ...governed,
    type: choice('The type of its values.', FLAG_TYPES),
    category: choice('What it is for. `ux` is never trusted for access.', FLAG_CATEGORIES),
    ...governance,
    requires: list(
      ref('key'),
      LIMITS.requiresPerFlag.value,
      'Features that must be granted, before every rule.',
    ),
    prerequisites: list(
      object('A flag that must serve a variant.', ['flag', 'variant'], {
        flag: ref('key'),
        variant: flagOrText('The variant it must serve.'),
      }),
      LIMITS.prerequisitesPerFlag.value,
    ),
    seed: text('Of the buckets. Default: the key; changing it moves everybody.', 200),
    variants: {
      type: 'object',
      minProperties: 1,
      maxProperties: LIMITS.variantsPerFlag.value,
      propertyNames: { pattern: KEY_PATTERN.source },
      description: 'Names and values. Implied (`on`, `off`) for booleans.',
    },
    off: flagOrText('The variant when it is off or a gate is closed; or `code-default`.'),
    default: flagOrText('The variant when nothing matched.'),
    rules: ref('rules'),
    environments: {
      type: 'object',
      propertyNames: { pattern: KEY_PATTERN.source },
      additionalProperties: ref('flagEnvironment'),
      description: 'What differs by environment; no entry means enabled with the rules above.',
    },
  }),
  test: object('An assertion: given these facts, expect these values.', ['name', 'given', 'expect'], {
    name: text('What it shows.', 200),
    given: {
      type: 'object',
      properties: {
        plan: text('A plan key, or a plan version such as `pro@1`.', 200),
        at: { type: 'string', format: 'date-time', description: 'The instant of the evaluation.' },
        environment: ref('key'),
      },
      description: 'A plan, an instant, an environment and any part of the context.',
    },
    expect: { type: 'object', minProperties: 1, description: 'Values by the key of a flag or feature.' },
  }),
  ...BILLING_DEFINITIONS,
  ...SHORT_FORM_DEFINITIONS,
};

export const CATALOG_SCHEMA: JsonSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  $id: 'urn:pennon:schema:catalog',
  title: 'Pennon catalog',
  description: 'Features, plans, add-ons, groups, segments and flags of one product.',
  type: 'object',
  properties: {
    ...catalogMembers,
    plan: ref('shortPlan', 'The short form: one plan to a document.'),
    flag: ref('shortFlag', 'The short form: one flag to a document.'),
  },
  additionalProperties: false,
  $defs: definitions,
};

export function definition(name: string): JsonSchema {
  return definitions[name] ?? {};
}
