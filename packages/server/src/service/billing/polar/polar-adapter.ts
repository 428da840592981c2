import { type BillingAdapter, headerOf } from '../billing-adapter.js';
import { instantOfText, objectOf, textOf } from '../foreign-json.js';
import { checkStandardSignature, standardHeadersOf } from '../signatures/check-standard-signature.js';
import { fromPolarCustomerState } from './from-polar-customer-state.js';

/** Standard Webhooks, as Polar sends them: the id of the message is the event's. */
export const polarAdapter: BillingAdapter = {
  checkSignature: async (headers, signed) => checkStandardSignature(standardHeadersOf(headers), signed),
  readEvent(body, headers, isLive) {
    const said = objectOf(body);
    const id = headerOf(headers, 'webhook-id') ?? headerOf(headers, 'svix-id');
    const type = textOf(said?.type);
    const data = objectOf(said?.data);
    if (said === null || id === undefined || type === null) return null;
    const occurredAt = instantOfText(said.timestamp) ?? instantOfText(data?.modified_at) ?? Number.NaN;
    if (Number.isNaN(occurredAt)) return null;
    const state =
      type === 'customer.state_changed' ? fromPolarCustomerState(said.data, occurredAt, isLive) : null;
    const mark = { at: occurredAt, rank: 1, id };
    return {
      id,
      type,
      account: '',
      occurredAt,
      isLive: null,
      rings: false,
      subject: state?.customer ?? textOf(data?.customer_id),
      news: state === null ? [] : [{ kind: 'subscription', mark, subscription: state }],
    };
  },
};
