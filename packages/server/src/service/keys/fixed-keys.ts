import type { KeyCredential } from '../credential.js';
import type { Secret } from '../secret.js';
import type { RingKey } from './key-ring.js';
import { hashKey } from './key-text.js';

/** The keys of the settings or of the file in the data directory: known to this process only, never stored in the database. */
export interface FixedKeys {
  readonly admin: Secret;
  readonly server: Secret;
  readonly client: Secret;
}

const NAMES: Readonly<Record<KeyCredential['kind'], string>> = {
  admin: 'fixed-admin',
  server: 'fixed-server',
  client: 'fixed-client',
};

export function isFixedKeyId(id: string): boolean {
  return Object.values(NAMES).includes(id);
}

/**
 * Fixed keys as the ring holds them: the admin key spans everything, the others belong to `production` and all products. Before
 * `production` exists only the admin key does.
 */
export function toRingKeys(keys: FixedKeys, productionId: string | null): readonly RingKey[] {
  const held: RingKey[] = [ringKey('admin', keys.admin, null)];
  if (productionId !== null) {
    held.push(ringKey('server', keys.server, productionId), ringKey('client', keys.client, productionId));
  }
  return held;
}

function ringKey(kind: KeyCredential['kind'], key: Secret, environmentId: string | null): RingKey {
  return {
    id: NAMES[kind],
    kind,
    environmentId,
    productId: null,
    secretHash: hashKey(key.reveal()),
    expiresAt: null,
  };
}
