import type {
  BillingMark,
  BillingPhase,
  BillingSubscription,
} from '@pennon/engine/model/billing-subscription';
import type { ChangeContext } from '../credential.js';

/** Over which connection something came, and what said it: the audit's actor. */
export interface BillingSource {
  readonly connection: {
    readonly id: string;
    readonly key: string;
    readonly provider: string;
    readonly environmentId: string;
    readonly isLive: boolean;
  };
  readonly event: { readonly id: string; readonly type: string };
}

/** What a provider tells, in words of no provider. */
export type BillingNews =
  | { readonly kind: 'subscription'; readonly mark: BillingMark; readonly subscription: BillingSubscription }
  | {
      readonly kind: 'schedule';
      readonly mark: BillingMark;
      readonly customer: string;
      readonly subscription: string;
      readonly phases: readonly BillingPhase[];
    }
  /** Which customer of ours a customer there is. */
  | { readonly kind: 'link'; readonly customer: string; readonly customerKey: string };

/** The audit names the provider, the event and the connection. */
export function contextOf({ connection, event }: BillingSource): ChangeContext {
  return {
    actor: { kind: 'billing', id: `${connection.provider}:${event.id}`, onBehalfOf: connection.key },
    requestId: `billing-${event.id}`.slice(0, 128),
    reason: `\`${event.type}\` of ${connection.provider}, over the connection \`${connection.key}\`.`,
  };
}

export function customerOf(news: BillingNews): string {
  return news.kind === 'subscription' ? news.subscription.customer : news.customer;
}
