import type { Instant } from '@pennon/engine/model/customer';

/** What signs the deliveries of a connection. While one is being replaced, two are good. */
export interface BillingSecret {
  readonly id: string;
  readonly secret: string;
  readonly createdAt: Instant;
  /** From then on it proves nothing; `null`: until somebody replaces it. */
  readonly endsAt: Instant | null;
}

export function secretsOf(text: string): readonly BillingSecret[] {
  return JSON.parse(text) as readonly BillingSecret[];
}

export function activeSecrets(text: string, now: Instant): readonly string[] {
  return secretsOf(text)
    .filter(({ endsAt }) => endsAt === null || now < endsAt)
    .map(({ secret }) => secret);
}
