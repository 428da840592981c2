import { LIMITS } from '@pennon/engine/model/limits';
import { type Static, Type } from 'typebox';
import { IdSchema, KeySchema, pageOf, ReasonSchema, TimeSchema } from './common.js';

export const NameSchema = Type.String({ minLength: 1, maxLength: LIMITS.textLength.value });

const ProtectedSchema = Type.Boolean({
  description: 'Publishing moves a protected environment only when it is named.',
});

export const EnvironmentSchema = Type.Object({
  id: IdSchema,
  key: KeySchema,
  name: NameSchema,
  protected: ProtectedSchema,
  version: Type.Integer(),
  createdAt: TimeSchema,
});
export type EnvironmentBody = Static<typeof EnvironmentSchema>;

export const EnvironmentPageSchema = pageOf(EnvironmentSchema);

export const CreateEnvironmentSchema = Type.Object(
  { key: KeySchema, name: NameSchema, protected: Type.Optional(ProtectedSchema), reason: ReasonSchema },
  { additionalProperties: false },
);
export type CreateEnvironmentBody = Static<typeof CreateEnvironmentSchema>;

export const ChangeEnvironmentSchema = Type.Object(
  { name: Type.Optional(NameSchema), protected: Type.Optional(ProtectedSchema), reason: ReasonSchema },
  { additionalProperties: false },
);
export type ChangeEnvironmentBody = Static<typeof ChangeEnvironmentSchema>;
