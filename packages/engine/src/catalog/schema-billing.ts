import { ACCESS_STATUSES, ACCESS_WORDS } from '../model/billing.js';
import { LIMITS } from '../model/limits.js';
import type { JsonSchema } from './json-schema.js';

const closed = { type: 'object', additionalProperties: false } as const;
const key: JsonSchema = { $ref: '#/$defs/key' };

function named(description: string): JsonSchema {
  return { type: 'string', minLength: 1, maxLength: LIMITS.billingReference.value, description };
}

function counted(description: string, minimum: number, maximum: number): JsonSchema {
  return { type: 'integer', minimum, maximum, description };
}

/** The section `billing`: what prices of a billing provider mean here, and what a status gives. */
export const BILLING_DEFINITIONS: Readonly<Record<string, JsonSchema>> = {
  billing: {
    ...closed,
    description:
      'What the prices and the statuses of a billing provider mean. Connections name it by its key.',
    required: ['key', 'items'],
    properties: {
      key,
      name: { type: 'string', minLength: 1, maxLength: LIMITS.textLength.value, description: 'For people.' },
      description: {
        type: 'string',
        minLength: 1,
        maxLength: LIMITS.textLength.value,
        description: 'What it is, for people.',
      },
      items: {
        type: 'array',
        items: { $ref: '#/$defs/billingItem' },
        maxItems: LIMITS.billingItems.value,
        description: 'What is bought with what. A price goes before a look-up key, that before a product.',
      },
      access: { $ref: '#/$defs/billingAccess' },
      plans: {
        type: 'array',
        maxItems: LIMITS.plans.value,
        description: 'What differs for a plan.',
        items: {
          ...closed,
          description: 'The access that one plan gives.',
          required: ['plan', 'access'],
          properties: { plan: key, access: { $ref: '#/$defs/billingAccess' } },
        },
      },
    },
  },
  billingItem: {
    ...closed,
    description: 'What an item of a subscription gives: a plan, add-ons, both, or knowingly nothing.',
    required: [],
    properties: {
      price: named('The id of a price at the provider.'),
      lookupKey: named('The look-up key of a price at the provider.'),
      product: named('The id of a product at the provider: any of its prices.'),
      plan: { $ref: '#/$defs/key', description: 'The plan that is bought.' },
      version: counted('Of the plan. Default: 0; a plan of several versions needs it.', 0, 1_000_000),
      addons: {
        type: 'array',
        maxItems: LIMITS.addons.value,
        description: 'The add-ons that are bought.',
        items: {
          ...closed,
          description: 'An add-on and how many.',
          required: ['addon'],
          properties: {
            addon: key,
            version: counted(
              'Of the add-on. Default: 0; an add-on of several versions needs it.',
              0,
              1_000_000,
            ),
            each: counted('So many for each piece of the item. Default: 1.', 1, LIMITS.billingQuantity.value),
            quantity: counted('So many, whatever the quantity of the item.', 1, LIMITS.billingQuantity.value),
          },
        },
      },
      ignore: { type: 'boolean', description: 'True: known, and it gives nothing here.' },
    },
    oneOf: [{ required: ['price'] }, { required: ['lookupKey'] }, { required: ['product'] }],
  },
  billingAccess: {
    ...closed,
    description: 'What a status gives; what is left out stays as it is by default.',
    required: [],
    properties: Object.fromEntries(
      ACCESS_STATUSES.map((status) => [status, { $ref: '#/$defs/billingAccessWord' }]),
    ),
  },
  billingAccessWord: {
    description:
      'Everything, everything for a while, or nothing. `grace` alone lasts `pastDueGraceDays` of the product.',
    anyOf: [
      { type: 'string', enum: ACCESS_WORDS, description: 'Everything, for a while, or nothing.' },
      {
        ...closed,
        description: 'Everything for so many days.',
        required: ['graceDays'],
        properties: { graceDays: counted('Days of 24 hours.', 0, LIMITS.graceDays.value) },
      },
    ],
  },
};
