import { LIMITS } from '../model/limits.js';
import type { JsonSchema } from './json-schema.js';

/** `reset_period` of the short form, as the interval that it means. */
export const SHORT_RESET_PERIODS = {
  HOURLY: 'hour',
  DAILY: 'day',
  WEEKLY: 'week',
  MONTHLY: 'month',
  QUARTERLY: 'quarter',
  YEARLY: 'year',
} as const;
export type ShortResetPeriod = keyof typeof SHORT_RESET_PERIODS;

export const SHORT_TYPES = ['BOOLEAN', 'NUMBER', 'CONFIG', 'JSON'] as const;
export type ShortType = (typeof SHORT_TYPES)[number];

const text = (description: string): JsonSchema => ({
  type: 'string',
  minLength: 1,
  maxLength: LIMITS.textLength.value,
  description,
});

const named: Readonly<Record<string, JsonSchema>> = {
  key: { $ref: '#/$defs/key' },
  name: text('The name that people see.'),
  description: text('What it is, for people.'),
};

/** One object to a document, `plan:` or `flag:`. */
export const SHORT_FORM_DEFINITIONS: Readonly<Record<string, JsonSchema>> = {
  shortPlan: {
    type: 'object',
    description: 'Version 0 of a plan. A feature that is only named here is declared by this use.',
    required: ['key', 'entitlements'],
    additionalProperties: false,
    properties: {
      ...named,
      entitlements: {
        type: 'array',
        maxItems: LIMITS.features.value,
        items: {
          type: 'object',
          required: ['feature', 'value'],
          additionalProperties: false,
          properties: {
            feature: { $ref: '#/$defs/key' },
            value: { $ref: '#/$defs/entitlementValue' },
            type: { enum: SHORT_TYPES, description: 'The type of a feature that is declared by this use.' },
            reset_period: {
              enum: Object.keys(SHORT_RESET_PERIODS),
              description: 'Usage starts again so often, counted from the start of the license.',
            },
          },
        },
      },
    },
  },
  shortFlag: {
    type: 'object',
    description: 'A boolean flag: on for those who meet every constraint, by the rollout.',
    required: ['key'],
    additionalProperties: false,
    properties: {
      ...named,
      owner: text('Who answers for it.'),
      purpose: text('Why it exists.'),
      removal: text('`permanent`, or how and when it goes.'),
      targeting: {
        type: 'array',
        maxItems: 50,
        description: 'Every constraint must be met.',
        items: {
          type: 'object',
          required: ['constraint'],
          additionalProperties: false,
          properties: {
            constraint: {
              type: 'string',
              format: 'cel',
              minLength: 1,
              maxLength: LIMITS.expressionBytes.value,
              description: 'CEL, as the `if` of a rule.',
            },
          },
        },
      },
      rollout: {
        type: 'object',
        required: ['percentage'],
        additionalProperties: false,
        properties: { percentage: { $ref: '#/$defs/percentage' } },
      },
    },
  },
};
