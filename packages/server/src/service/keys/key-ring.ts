import { createPublicKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { KeyCredential } from '../credential.js';
import { hashKey } from './key-text.js';

/** What a process must know to authenticate: hashes and public keys, no secret. Kept on disk beside the snapshots. */
export interface KeyRingContents {
  readonly keys: readonly RingKey[];
  readonly tokenKeys: readonly RingTokenKey[];
}

export interface RingKey {
  readonly id: string;
  readonly kind: KeyCredential['kind'];
  readonly environmentId: string | null;
  readonly productId: string | null;
  /** SHA-256 of the key, hexadecimal. */
  readonly secretHash: string;
  /** Milliseconds since the epoch; `null` never. */
  readonly expiresAt: number | null;
}

export interface RingTokenKey {
  readonly id: string;
  readonly environmentId: string;
  readonly productId: string | null;
  /** The public half as a JWK (RFC 8037). */
  readonly publicJwk: Readonly<Record<string, unknown>>;
  /** Tokens signed with it are refused from then on; `null` never. */
  readonly retiresAt: number | null;
}

interface HeldKey {
  readonly digest: Buffer;
  readonly credential: KeyCredential;
  readonly expiresAt: number | null;
}

export interface HeldTokenKey {
  readonly id: string;
  readonly environmentId: string;
  readonly productId: string | null;
  readonly publicKey: KeyObject;
  readonly retiresAt: number | null;
}

const NO_DIGEST = Buffer.alloc(32);
const PRESENTED_KEYS = 10_000;

/** The keys in memory; replaced as a whole, so that a request sees one state of them. */
export class KeyRing {
  private keys = new Map<string, HeldKey>();
  private tokenKeys = new Map<string, HeldTokenKey>();
  /** Keys that were presented and are known, so that the next request need not hash. Only known ones enter: nobody can fill it. */
  private presented = new Map<string, HeldKey>();
  /** Raised by every replacement; caches of verified tokens ask it. */
  generation = 0;

  replace(contents: KeyRingContents): void {
    this.keys = new Map(contents.keys.map((key) => [key.secretHash, toHeldKey(key)]));
    this.tokenKeys = new Map(contents.tokenKeys.map((key) => [key.id, toHeldTokenKey(key)]));
    this.presented = new Map();
    this.generation += 1;
  }

  /** `null` for an unknown or expired key. The digest decides, compared in constant time; an unknown one does the same work. */
  find(key: string, now: number): KeyCredential | null {
    const held = this.presented.get(key) ?? this.byDigest(key);
    return held === null || (held.expiresAt !== null && held.expiresAt <= now) ? null : held.credential;
  }

  private byDigest(key: string): HeldKey | null {
    const digest = hashKey(key);
    const held = this.keys.get(digest);
    const same = timingSafeEqual(Buffer.from(digest, 'hex'), held?.digest ?? NO_DIGEST);
    if (held === undefined || !same) {
      return null;
    }
    // The engine seeds the hashes of its maps at random, so that a look-up by the text tells nobody how much of it was right.
    if (this.presented.size < PRESENTED_KEYS) {
      this.presented.set(key, held);
    }
    return held;
  }

  tokenKey(id: string, now: number): HeldTokenKey | null {
    const held = this.tokenKeys.get(id);
    return held === undefined || (held.retiresAt !== null && held.retiresAt <= now) ? null : held;
  }

  size(): number {
    return this.keys.size;
  }
}

function toHeldKey(key: RingKey): HeldKey {
  return {
    digest: Buffer.from(key.secretHash, 'hex'),
    credential: Object.freeze({
      kind: key.kind,
      keyId: key.id,
      environmentId: key.environmentId,
      productId: key.productId,
    }),
    expiresAt: key.expiresAt,
  };
}

function toHeldTokenKey(key: RingTokenKey): HeldTokenKey {
  return {
    id: key.id,
    environmentId: key.environmentId,
    productId: key.productId,
    publicKey: createPublicKey({ key: key.publicJwk, format: 'jwk' }),
    retiresAt: key.retiresAt,
  };
}
