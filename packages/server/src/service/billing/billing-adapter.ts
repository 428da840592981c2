import type { Instant } from '@pennon/engine/model/customer';
import type { JsonValue } from '@pennon/engine/model/json';
import type { BillingNews } from './billing-news.js';
import type { SignatureCheck, SignedBody } from './signatures/signature-check.js';

export type DeliveryHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

/** An event as it stands in the inbox, whatever provider sent it. */
export interface ReadEvent {
  /** The provider's id: the same event delivered twice has one. */
  readonly id: string;
  readonly type: string;
  /** Of a connected account; empty: the endpoint's own. */
  readonly account: string;
  readonly occurredAt: Instant;
  /** `null`: the provider does not say. */
  readonly isLive: boolean | null;
  /** The provider's customer, whose events are worked on one after the other. */
  readonly subject: string | null;
  /** Whoever can ask the provider should: something that counts here may have changed. */
  readonly rings: boolean;
  /** What it changes here; nothing, for most types. */
  readonly news: readonly BillingNews[];
}

/** All that one provider needs: how its deliveries are signed, and what they say. */
export interface BillingAdapter {
  checkSignature(headers: DeliveryHeaders, signed: SignedBody): Promise<SignatureCheck>;
  /** `null`: it is no event of this provider. `isLive`: of the connection, where the provider does not say. */
  readEvent(body: JsonValue, headers: DeliveryHeaders, isLive: boolean): ReadEvent | null;
}

export function headerOf(headers: DeliveryHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}
