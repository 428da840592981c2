import { UNLIMITED_AS_INTEGER } from '@pennon/engine/model/limits';
import type { Remedy, RemedyOption } from '@pennon/engine/model/remedy';
import { type Static, Type } from 'typebox';

/* The remedy of a denial, the same in OEP and in the capabilities (C-4). */

export const RemedyPriceSchema = Type.Object(
  {
    amount: Type.Integer({
      description: 'In minor units: 2000 is 20.00. Of an add-on or a top-up for the whole quantity.',
    }),
    currency: Type.String({ description: 'ISO 4217.' }),
    every: Type.Union([Type.String(), Type.Null()], {
      description: '`month`, `year`, …, `once`; null where the catalog does not say.',
    }),
    source: Type.Union([Type.String(), Type.Null()], { description: 'Where the price comes from.' }),
  },
  { additionalProperties: false, description: 'To show, never to charge.' },
);

const offeredOnce = {
  name: Type.Union([Type.String(), Type.Null()]),
  limit: Type.Union([Type.Integer(), Type.Null()], {
    description:
      'What the limit would be; 9007199254740991 when unlimited, null for boolean and config features.',
  }),
  unlimited: Type.Boolean(),
  price: Type.Union([RemedyPriceSchema, Type.Null()]),
};

const offered = { version: Type.Integer(), ...offeredOnce };

const RemedyAddonSchema = Type.Object(
  {
    addon: Type.String(),
    version: Type.Integer(),
    name: Type.Union([Type.String(), Type.Null()]),
    quantity: Type.Integer({ minimum: 1 }),
    price: Type.Union([RemedyPriceSchema, Type.Null()]),
  },
  { additionalProperties: false },
);

export const RemedyOptionSchema = Type.Union([
  Type.Object(
    {
      plan: Type.String(),
      ...offered,
      addons: Type.Optional(
        Type.Array(RemedyAddonSchema, {
          description:
            'What has to be bought with the plan, which alone does not help. `price` is then that of all together; null where they have no sum.',
        }),
      ),
      planPrice: Type.Optional(
        Type.Union([RemedyPriceSchema, Type.Null()], { description: 'With `addons`: of the plan alone.' }),
      ),
    },
    { additionalProperties: false },
  ),
  Type.Object(
    { addon: Type.String(), quantity: Type.Integer({ minimum: 1 }), ...offered },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      topUp: Type.String({ description: 'An amount that is bought once, by its key in the feature.' }),
      feature: Type.String(),
      quantity: Type.Integer({ minimum: 1 }),
      units: Type.Integer({ minimum: 1, description: 'Of the feature, in all.' }),
      ...offeredOnce,
    },
    { additionalProperties: false },
  ),
]);

export const RemedySchema = Type.Union(
  [
    Type.Null(),
    Type.Object(
      {
        kind: Type.Union(
          [
            Type.Literal('upgrade'),
            Type.Literal('addon'),
            Type.Literal('topup'),
            Type.Literal('wait'),
            Type.Literal('contact'),
          ],
          { description: 'That of the first option; `wait` and `contact` have none.' },
        ),
        at: Type.Union([Type.String({ format: 'date-time' }), Type.Null()], {
          description: 'When time alone turns the no into a yes, where that is known.',
        }),
        options: Type.Array(RemedyOptionSchema, {
          description: 'Offered plans, add-ons and top-ups that lift the no, the cheapest first.',
        }),
      },
      { additionalProperties: false },
    ),
  ],
  { description: 'What would turn the no into a yes; null where there is access.' },
);

export type ApiRemedy = Static<typeof RemedySchema>;
type ApiRemedyOption = Static<typeof RemedyOptionSchema>;

export function toOepRemedy(remedy: Remedy): ApiRemedy {
  const at = remedy.at === null ? null : new Date(remedy.at).toISOString();
  return { kind: remedy.kind, at, options: remedy.options.map(toOption) };
}

function toOption(option: RemedyOption): ApiRemedyOption {
  const { name, price } = option;
  const unlimited = option.limit === 'unlimited';
  const limit = option.limit === 'unlimited' ? UNLIMITED_AS_INTEGER : option.limit;
  const shown = { name, limit, unlimited, price };
  if (option.kind === 'topup') {
    const { topUp, feature, quantity, units } = option;
    return { topUp, feature, quantity, units, ...shown };
  }
  const rest = { version: option.version, ...shown };
  if (option.kind === 'addon') return { addon: option.addon, quantity: option.quantity, ...rest };
  const { plan, together } = option;
  if (together === undefined) return { plan, ...rest };
  return { plan, ...rest, planPrice: together.planPrice, addons: [...together.addons] };
}
