import { type Static, Type } from 'typebox';
import { KeySchema, PageQuerySchema, pageOf, TimeSchema } from './common.js';

/* Which things hold the units of features that never reset. */

export const HolderSchema = Type.Object(
  {
    product: KeySchema,
    feature: KeySchema,
    scope: Type.String({
      description: 'Empty where the feature counts per customer, else the key of the instance or user.',
    }),
    holder: Type.String({ description: 'As it was named when it consumed.' }),
    amount: Type.Integer({ minimum: 1, description: 'What it holds.' }),
    since: TimeSchema,
  },
  { additionalProperties: false },
);
export type ApiHolder = Static<typeof HolderSchema>;

export const HolderPageSchema = pageOf(HolderSchema);

export const HolderListQuerySchema = Type.Object(
  {
    ...PageQuerySchema.properties,
    product: Type.Optional(KeySchema),
    feature: Type.Optional(KeySchema),
  },
  { additionalProperties: false },
);
export type HolderListQuery = Static<typeof HolderListQuerySchema>;
