import { KEY_PATTERN, LIMITS } from '@pennon/engine/model/limits';
import { type Static, Type } from 'typebox';
import {
  FaultItemSchema,
  IdSchema,
  KeySchema,
  PageQuerySchema,
  pageOf,
  ReasonSchema,
  TimeSchema,
} from './common.js';

/** Catalogs over REST. Documents and items have the very shape of the catalog document; its JSON Schema describes them. */

const closed = { additionalProperties: false } as const;

const RevisionNumberSchema = Type.Integer({
  minimum: 1,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'The counter of the catalog; every published change raises it.',
});

export const CatalogItemSchema = Type.Record(Type.String(), Type.Unknown(), {
  description: 'One item, exactly as it stands in the lists of the catalog document.',
});

export const CatalogDocumentSchema = Type.Record(Type.String(), Type.Unknown(), {
  description:
    'A catalog document: product, context, features, plans, addons, groups, segments, flags, billing, tests.',
});

/** `pro@1` for plans and add-ons. */
export const ItemKeySchema = Type.String({
  pattern: `${KEY_PATTERN.source.slice(0, -1)}(?:@(?:0|[1-9][0-9]{0,8}))?$`,
  maxLength: LIMITS.keyLength.value + 11,
  description: 'The key of the item; of plans and add-ons with the version, for example `pro@1`.',
});

export const ProductParamsSchema = Type.Object({ product: KeySchema }, closed);
export const ItemParamsSchema = Type.Object({ product: KeySchema, key: ItemKeySchema }, closed);
export const EnvironmentParamsSchema = Type.Object({ product: KeySchema, environment: KeySchema }, closed);

const EnvironmentsSchema = Type.String({
  minLength: 1,
  maxLength: 4096,
  description: 'Keys of the environments to move, with commas; without it all that are not protected.',
});
const DryRunSchema = Type.Boolean({ description: 'Says what would happen; nothing does.' });

export const ItemWriteQuerySchema = Type.Object(
  {
    reason: ReasonSchema,
    dryRun: Type.Optional(DryRunSchema),
    environments: Type.Optional(EnvironmentsSchema),
  },
  closed,
);

export const DocumentCheckQuerySchema = Type.Object(
  {
    base: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'The revision that the document was made from; what others changed since is kept.',
      }),
    ),
    prune: Type.Optional(Type.Boolean({ description: 'Remove what the document does not have.' })),
    environments: Type.Optional(EnvironmentsSchema),
  },
  closed,
);

export const DocumentWriteQuerySchema = Type.Object(
  { ...DocumentCheckQuerySchema.properties, reason: ReasonSchema, dryRun: Type.Optional(DryRunSchema) },
  closed,
);

export const DocumentReadQuerySchema = Type.Object(
  {
    format: Type.Optional(Type.Union([Type.Literal('json'), Type.Literal('yaml')])),
    revision: Type.Optional(RevisionNumberSchema),
  },
  closed,
);

export const NamedItemSchema = Type.Object({ kind: Type.String(), key: Type.String() }, closed);

export const PublishResultSchema = Type.Object(
  {
    dryRun: Type.Boolean(),
    revision: Type.Integer({ description: 'The head afterwards; unchanged when nothing changed.' }),
    changed: Type.Array(
      Type.Object(
        {
          kind: Type.String(),
          key: Type.String(),
          change: Type.Union([
            Type.Literal('added'),
            Type.Literal('changed'),
            Type.Literal('moved'),
            Type.Literal('removed'),
          ]),
          hash: Type.Union([Type.String(), Type.Null()]),
        },
        closed,
      ),
    ),
    diff: Type.Array(Type.String(), { description: 'The change in words.' }),
    lacking: Type.Array(NamedItemSchema, {
      description: 'What is published and the document does not have.',
    }),
    warnings: Type.Array(FaultItemSchema),
    environments: Type.Array(
      Type.Object(
        {
          key: Type.String(),
          revision: Type.Union([Type.Integer(), Type.Null()]),
          changed: Type.Boolean({
            description: '`false`: the revision decides nothing differently there, and it stays where it is.',
          }),
        },
        closed,
      ),
    ),
  },
  closed,
);
export type PublishResultBody = Static<typeof PublishResultSchema>;

export const ValidationResultSchema = Type.Object(
  {
    valid: Type.Boolean(),
    errors: Type.Array(FaultItemSchema),
    warnings: Type.Array(FaultItemSchema),
  },
  closed,
);

export const ItemPageQuerySchema = PageQuerySchema;
export const ItemPageSchema = pageOf(CatalogItemSchema);

export const RevisionSchema = Type.Object(
  {
    number: RevisionNumberSchema,
    createdAt: TimeSchema,
    actor: Type.Object({ kind: Type.String(), id: Type.String() }, closed),
    reason: Type.String(),
    auditEntryId: IdSchema,
    environments: Type.Array(Type.String(), {
      description: 'Keys of the environments that stand there now.',
    }),
  },
  closed,
);
export const RevisionPageSchema = pageOf(RevisionSchema);

export const EnvironmentRevisionSchema = Type.Object(
  {
    environment: Type.String(),
    revision: RevisionNumberSchema,
    effectiveHash: Type.String({ description: 'Equal hashes decide equally.' }),
    publishedAt: TimeSchema,
  },
  closed,
);

export const MoveEnvironmentSchema = Type.Object(
  { revision: RevisionNumberSchema, reason: ReasonSchema },
  closed,
);
