import { type Static, Type } from 'typebox';
import { IdSchema, KeySchema, pageOf, ReasonSchema, TimeSchema } from './common.js';
import { NameSchema } from './environments.js';

export const ProductSchema = Type.Object({
  id: IdSchema,
  key: KeySchema,
  name: NameSchema,
  headRevision: Type.Integer({
    description: 'The newest revision of its catalog; 0 before the first publish.',
  }),
  version: Type.Integer(),
  createdAt: TimeSchema,
});
export type ProductBody = Static<typeof ProductSchema>;

export const ProductPageSchema = pageOf(ProductSchema);

export const CreateProductSchema = Type.Object(
  { key: KeySchema, name: NameSchema, reason: ReasonSchema },
  { additionalProperties: false },
);
export type CreateProductBody = Static<typeof CreateProductSchema>;

export const ChangeProductSchema = Type.Object(
  { name: NameSchema, reason: ReasonSchema },
  { additionalProperties: false },
);
export type ChangeProductBody = Static<typeof ChangeProductSchema>;
