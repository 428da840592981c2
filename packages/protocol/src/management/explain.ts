import { type Static, Type } from 'typebox';

/** What is asked: one flag or feature, and the context as in OFREP. */
export const ExplainRequestSchema = Type.Object(
  {
    key: Type.String({ minLength: 1, maxLength: 128 }),
    context: Type.Optional(
      Type.Union([Type.Null(), Type.Record(Type.String(), Type.Unknown())], {
        description:
          'As OFREP and OEP take it: `targetingKey`, `customer`, `user`, `instance` and any other part.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type ExplainRequest = Static<typeof ExplainRequestSchema>;

export const ExplanationStepSchema = Type.Object({
  step: Type.String(),
  subject: Type.String({ description: 'The flag, feature or segment that the step belongs to.' }),
  outcome: Type.String({ description: 'applied, skipped or decided.' }),
  message: Type.String(),
  data: Type.Record(Type.String(), Type.Unknown()),
});

/** The decision with its ordered steps. */
export const ExplanationSchema = Type.Object({
  key: Type.String(),
  kind: Type.String({ description: 'flag or entitlement.' }),
  customer: Type.Union([Type.String(), Type.Null()]),
  decision: Type.Record(Type.String(), Type.Unknown(), {
    description:
      'The decision with all that stands in it: reason, cause, rule index, bucket, sources, revision.',
  }),
  steps: Type.Array(ExplanationStepSchema),
  asOf: Type.String({ format: 'date-time' }),
  revision: Type.Integer(),
  customerVersion: Type.Integer(),
});
export type ApiExplanation = Static<typeof ExplanationSchema>;
