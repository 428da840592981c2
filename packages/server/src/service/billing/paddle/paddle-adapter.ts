import type { JsonObject } from '@pennon/engine/model/json';
import { type BillingAdapter, headerOf } from '../billing-adapter.js';
import type { BillingNews } from '../billing-news.js';
import { instantOfText, objectOf, textOf } from '../foreign-json.js';
import { checkPaddleSignature } from '../signatures/check-paddle-signature.js';
import { CUSTOMER_DATA, fromPaddleSubscription } from './from-paddle-subscription.js';

export const paddleAdapter: BillingAdapter = {
  checkSignature: async (headers, signed) =>
    checkPaddleSignature(headerOf(headers, 'paddle-signature'), signed),
  readEvent(body, _headers, isLive) {
    const said = objectOf(body);
    const id = textOf(said?.event_id);
    const type = textOf(said?.event_type);
    const occurredAt = instantOfText(said?.occurred_at);
    if (said === null || id === null || type === null || occurredAt === null) return null;
    const data = objectOf(said.data);
    const subject = textOf(data?.customer_id) ?? (type.startsWith('customer.') ? textOf(data?.id) : null);
    const news = data === null ? [] : newsOf(type, { at: occurredAt, rank: rankOf(type), id }, data, isLive);
    return { id, type, account: '', occurredAt, isLive: null, subject, rings: false, news };
  },
};

function rankOf(type: string): number {
  switch (type) {
    case 'subscription.created':
      return 0;
    case 'subscription.paused':
    case 'subscription.resumed':
      return 2;
    case 'subscription.canceled':
      return 3;
    default:
      return 1;
  }
}

function newsOf(
  type: string,
  mark: { readonly at: number; readonly rank: number; readonly id: string },
  data: JsonObject,
  isLive: boolean,
): readonly BillingNews[] {
  if (type.startsWith('subscription.')) {
    const subscription = fromPaddleSubscription(data, isLive);
    return subscription === null ? [] : [{ kind: 'subscription', mark, subscription }];
  }
  const customer = textOf(data.id);
  const customerKey = textOf(objectOf(data.custom_data)?.[CUSTOMER_DATA]);
  const isLink = (type === 'customer.created' || type === 'customer.updated') && customer !== null;
  return isLink && customerKey !== null ? [{ kind: 'link', customer, customerKey }] : [];
}
