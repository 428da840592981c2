import { type Static, Type } from 'typebox';

/*
 * The wire of OFREP 0.3 as Pennon speaks it. Two deviations from the published document, both forced by it: `value` is an
 * `anyOf` (its `oneOf` refuses every answer that carries a value), and `DEFAULT` stands among the reasons.
 */

/** Flat, as OpenFeature's flag metadata is; clients drop everything else. */
export const OfrepMetadata = Type.Record(
  Type.String(),
  Type.Union([Type.Boolean(), Type.String(), Type.Number()]),
);

/** Absent, null and empty contexts are all "no context": published clients send each of them. */
export const OfrepContext = Type.Union([Type.Null(), Type.Record(Type.String(), Type.Unknown())], {
  description:
    'The facts of one evaluation. `targetingKey`, `user`, `team`, `instance`, `instanceId`, `customer`, and any other part.',
});

export const OfrepEvaluationRequest = Type.Union([
  Type.Null(),
  Type.Object({ context: Type.Optional(OfrepContext) }, { additionalProperties: true }),
]);

export const OfrepEvaluationSuccess = Type.Object({
  key: Type.String(),
  value: Type.Optional(
    Type.Unknown({
      description: 'A boolean, string, number, object or list. Absent: the caller uses its code default.',
    }),
  ),
  reason: Type.String({
    description: 'STATIC, TARGETING_MATCH, SPLIT, DEFAULT or DISABLED (always without a value).',
  }),
  variant: Type.Optional(Type.String()),
  metadata: OfrepMetadata,
});

export const OfrepEvaluationFailure = Type.Object({
  key: Type.String(),
  errorCode: Type.String({
    description: 'FLAG_NOT_FOUND, PARSE_ERROR, TARGETING_KEY_MISSING, INVALID_CONTEXT or GENERAL.',
  }),
  errorDetails: Type.String(),
  metadata: OfrepMetadata,
});

/** Every fault of OFREP has this body, whatever its status: some clients parse it on all of them. */
export const OfrepFault = Type.Object({
  key: Type.Optional(Type.String()),
  errorCode: Type.String(),
  errorDetails: Type.String(),
  metadata: OfrepMetadata,
});

export const OfrepBulkEvaluation = Type.Object({
  flags: Type.Array(Type.Union([OfrepEvaluationSuccess, OfrepEvaluationFailure])),
  metadata: OfrepMetadata,
});

/** Only the re-fetch that a change notice triggers carries these: never answer from something older. */
export const OfrepBarrierQuery = Type.Object(
  {
    flagConfigEtag: Type.Optional(Type.String()),
    flagConfigLastModified: Type.Optional(
      Type.String({ description: 'Seconds since the epoch, or an ISO 8601 date-time.' }),
    ),
  },
  { additionalProperties: true },
);

export const OfrepFlagParams = Type.Object({ key: Type.String() });

export type OfrepMetadata = Static<typeof OfrepMetadata>;
export type OfrepEvaluationSuccess = Static<typeof OfrepEvaluationSuccess>;
export type OfrepEvaluationFailure = Static<typeof OfrepEvaluationFailure>;
export type OfrepEvaluation = OfrepEvaluationSuccess | OfrepEvaluationFailure;
export type OfrepBulkEvaluation = Static<typeof OfrepBulkEvaluation>;
export type OfrepFault = Static<typeof OfrepFault>;
