import { createHmac, timingSafeEqual } from 'node:crypto';

const STATUS = { on_trial: 'trialing', cancelled: 'active', expired: 'canceled' };
const time = (text) => (text ? new Date(text).toISOString() : undefined);

/** Takes a webhook of Lemon Squeezy, and tells Pennon. Answers the status to answer with. */
export async function handle(rawBody, signature, { url, adminKey, secret }) {
  const expected = createHmac('sha256', secret).update(rawBody).digest();
  const given = Buffer.from(signature ?? '', 'hex');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return 400;
  const { meta, data } = JSON.parse(rawBody);
  if (data.type !== 'subscriptions') return 200;
  const said = data.attributes;
  const answer = await fetch(`${url}/api/v1/environments/production/billing/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      connection: 'lemon-squeezy',
      subscription: data.id,
      sequence: Date.parse(said.updated_at),
      billingCustomer: String(said.customer_id),
      customer: meta.custom_data?.pennon_customer,
      status: STATUS[said.status] ?? said.status,
      items: [{ price: String(said.variant_id), quantity: said.first_subscription_item?.quantity ?? 1 }],
      occurredAt: time(said.updated_at),
      startsAt: time(said.created_at),
      trialEndsAt: time(said.trial_ends_at),
      validUntil: time(said.ends_at),
      reason: meta.event_name,
    }),
  });
  return answer.ok ? 200 : 500; // it is told again then
}
