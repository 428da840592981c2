import { type Static, Type } from 'typebox';
import { IdSchema, KeySchema, pageOf, ReasonSchema, TimeSchema } from './common.js';
import { NameSchema } from './environments.js';

const TimeOrNull = Type.Union([TimeSchema, Type.Null()]);
const KeyOrNull = (description: string) => Type.Union([KeySchema, Type.Null()], { description });

export const KeyKindSchema = Type.Union(
  [Type.Literal('admin'), Type.Literal('server'), Type.Literal('client')],
  {
    description:
      '`admin` manages, `server` is for backends, `client` is public: it reads what is visible to clients and nothing of a customer.',
  },
);

const keyMembers = {
  id: Type.String({ description: 'A UUIDv7, or `fixed-…` for a key of the settings.' }),
  kind: KeyKindSchema,
  environment: KeyOrNull('`null`: all environments.'),
  product: KeyOrNull('`null`: all products.'),
  name: NameSchema,
  hint: Type.String({ description: 'The last characters, to tell keys apart.' }),
  source: Type.Union([Type.Literal('api'), Type.Literal('settings')]),
  version: Type.Integer(),
  createdAt: TimeOrNull,
  expiresAt: TimeOrNull,
  revokedAt: TimeOrNull,
};

export const ApiKeySchema = Type.Object(keyMembers);
export type ApiKeyBody = Static<typeof ApiKeySchema>;

export const ApiKeyPageSchema = pageOf(ApiKeySchema);

/** Of secrets in answers. */
const NOT_REPEATED =
  '`null` in the answer to a repeat of the call (`Idempotency-Replayed`): make another one and revoke this.';

export const CreatedApiKeySchema = Type.Object({
  ...keyMembers,
  key: Type.Union([Type.String(), Type.Null()], {
    description: `The key itself. It is shown this once; only its hash is stored. ${NOT_REPEATED}`,
  }),
});

export const CreateApiKeySchema = Type.Object(
  {
    kind: KeyKindSchema,
    environment: Type.Optional(KeySchema),
    product: Type.Optional(KeySchema),
    name: NameSchema,
    expiresAt: Type.Optional(TimeSchema),
    reason: ReasonSchema,
  },
  { additionalProperties: false },
);
export type CreateApiKeyBody = Static<typeof CreateApiKeySchema>;

const PublicJwkSchema = Type.Object({
  kty: Type.Literal('OKP'),
  crv: Type.Literal('Ed25519'),
  x: Type.String(),
  kid: Type.String(),
  alg: Type.Literal('EdDSA'),
  use: Type.Literal('sig'),
});

const tokenKeyMembers = {
  id: IdSchema,
  environment: KeySchema,
  product: KeyOrNull('`null`: all products.'),
  name: NameSchema,
  publicJwk: PublicJwkSchema,
  version: Type.Integer(),
  createdAt: TimeSchema,
  retiresAt: TimeOrNull,
  revokedAt: TimeOrNull,
};

export const TokenKeySchema = Type.Object(tokenKeyMembers);
export type TokenKeyBody = Static<typeof TokenKeySchema>;

export const TokenKeyPageSchema = pageOf(TokenKeySchema);

export const CreatedTokenKeySchema = Type.Object({
  ...tokenKeyMembers,
  privateJwk: Type.Union(
    [Type.Intersect([PublicJwkSchema, Type.Object({ d: Type.String() })]), Type.Null()],
    {
      description: `The private half. It is shown this once and never stored. ${NOT_REPEATED}`,
    },
  ),
  privatePem: Type.Union([Type.String(), Type.Null()], {
    description: `The same in PKCS #8, for \`node:crypto\` and its like. ${NOT_REPEATED}`,
  }),
});

export const CreateTokenKeySchema = Type.Object(
  { environment: KeySchema, product: Type.Optional(KeySchema), name: NameSchema, reason: ReasonSchema },
  { additionalProperties: false },
);
export type CreateTokenKeyBody = Static<typeof CreateTokenKeySchema>;

export const RotateTokenKeySchema = Type.Object(
  {
    overlapSeconds: Type.Integer({
      minimum: 0,
      maximum: 30 * 24 * 3600,
      description: 'How long tokens signed with the old key are still accepted.',
    }),
    reason: ReasonSchema,
  },
  { additionalProperties: false },
);
export type RotateTokenKeyBody = Static<typeof RotateTokenKeySchema>;
