import type { JsonObject, JsonValue } from '@pennon/engine/model/json';
import type { HookEventType } from './events.js';

/* What was told, as a listener reads it: CloudEvents 1.0 in structured JSON. Pure, so that every attempt sends the same bytes. */

export const CLOUD_EVENT_MEDIA_TYPE = 'application/cloudevents+json';

/** A row of the outbox with its ids turned into keys. */
export interface ToldEvent {
  readonly id: string;
  readonly type: HookEventType;
  /** RFC 3339 in UTC. */
  readonly occurredAt: string;
  readonly environment: string;
  /** `null`: of no single product. */
  readonly product: string | null;
  /** `null`: of no single customer. */
  readonly customer: string | null;
  /** Of usage a feature's key; else `license/{id}` and the like. */
  readonly subject: string;
  /** Whose account of the customer it is; empty: the customer's own. */
  readonly scope: string;
  readonly sequence: number;
  readonly data: JsonObject;
}

export interface CloudEvent {
  readonly specversion: '1.0';
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string;
  readonly time: string;
  readonly datacontenttype: 'application/json';
  readonly sequence: string;
  readonly data: JsonObject;
}

interface Told {
  readonly subject: string;
  readonly data: JsonObject;
}

/** What a change of an object wrote is what is told of it. */
function toChanged({ subject, data }: ToldEvent): Told {
  return { subject, data };
}

function orElse(value: JsonValue | undefined, standard: JsonValue): JsonValue {
  return value === undefined ? standard : value;
}

function toNoticed({ subject, scope, data }: ToldEvent): JsonObject {
  return {
    feature: subject,
    scope,
    used: orElse(data.used, 0),
    reserved: orElse(data.reserved, 0),
    limit: orElse(data.limit, null),
    percent: orElse(data.percent, null),
    overage: orElse(data.overage, 0),
    enforcement: orElse(data.enforcement, 'hard'),
    period: orElse(data.period, null),
  };
}

function toLevel(event: ToldEvent): Told {
  const { level, wouldHaveDenied } = event.data;
  return {
    subject: `feature/${event.subject}`,
    data: {
      ...toNoticed(event),
      level: orElse(level, null),
      wouldHaveDenied: orElse(wouldHaveDenied, false),
    },
  };
}

function toReset(event: ToldEvent): Told {
  return {
    subject: `feature/${event.subject}`,
    data: { ...toNoticed(event), previous: orElse(event.data.previous, null) },
  };
}

const CONVERTERS: Readonly<Record<HookEventType, (event: ToldEvent) => Told>> = {
  'license.changed': toChanged,
  'plan.changed': toChanged,
  'grant.changed': toChanged,
  'membership.changed': toChanged,
  'voucher.changed': toChanged,
  'top-up.changed': toChanged,
  'entitlement.changed': toChanged,
  'customer.state_changed': toChanged,
  'limit.warned': toLevel,
  'limit.reached': toLevel,
  'limit.exceeded': toLevel,
  'limit.reset': toReset,
  'ends.soon': toChanged,
  'catalog.published': toChanged,
};

export function toCloudEvent(event: ToldEvent): CloudEvent {
  const { environment, product, customer } = event;
  const { subject, data } = CONVERTERS[event.type](event);
  return envelope({ ...event, subject, data: { environment, product, customer, ...data } });
}

/** What the test button sends: of no change, so without a number of its own. */
export function toTestEvent(test: {
  readonly id: string;
  readonly occurredAt: string;
  readonly environment: string;
  readonly endpoint: string;
}): CloudEvent {
  const { environment, endpoint } = test;
  return envelope({
    ...test,
    type: 'webhook.test',
    product: null,
    subject: `webhook/${endpoint}`,
    sequence: 0,
    data: { environment, product: null, customer: null, webhook: endpoint },
  });
}

const SEQUENCE_DIGITS = 16;

function envelope(
  event: Pick<
    ToldEvent,
    'id' | 'occurredAt' | 'environment' | 'product' | 'subject' | 'sequence' | 'data'
  > & {
    readonly type: string;
  },
): CloudEvent {
  const { environment, product } = event;
  const within = product === null ? '' : `/products/${encodeURIComponent(product)}`;
  return {
    specversion: '1.0',
    id: event.id,
    source: `/environments/${encodeURIComponent(environment)}${within}`,
    type: event.type,
    subject: event.subject,
    time: event.occurredAt,
    datacontenttype: 'application/json',
    sequence: String(event.sequence).padStart(SEQUENCE_DIGITS, '0'),
    data: event.data,
  };
}
