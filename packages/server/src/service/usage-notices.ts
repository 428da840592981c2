import { canonicalJson } from '@pennon/engine/catalog/canonical-json';
import type { Enforcement } from '@pennon/engine/model/catalog';
import type { Instant } from '@pennon/engine/model/customer';
import type { NoticeLevel } from '@pennon/engine/usage/notices';
import type { OutboxEvent } from '../store/outbox-statements.js';
import { newId } from './new-id.js';
import { toTime, toTimeOrNull } from './times.js';

/* Notices of usage, as the outbox keeps them. */

export const NOTICE_TYPES = ['limit.warned', 'limit.reached', 'limit.exceeded', 'limit.reset'] as const;
export type NoticeType = (typeof NOTICE_TYPES)[number];

/** An account as it stands after the change that is told. */
export interface NoticeFacts {
  readonly feature: string;
  readonly scope: string;
  readonly used: number;
  readonly reserved: number;
  /** `null`: none. */
  readonly limit: number | null;
  readonly enforcement: Enforcement;
  readonly periodStart: Instant | null;
  readonly periodEnd: Instant | null;
}

export type UsageNotice = Omit<OutboxEvent, 'customerId'>;

export function levelNotice(level: NoticeLevel, facts: NoticeFacts, now: Instant): UsageNotice {
  return toNotice(`limit.${level.kind}`, facts, now, {
    level: level.percent,
    // What a hard limit would have denied is only told of; the denial itself stands with the consumption.
    ...(level.kind === 'exceeded' && facts.enforcement === 'observe' ? { wouldHaveDenied: true } : {}),
  });
}

/** @param previous the last period that anything was told in, as it ended */
export function resetNotice(
  facts: NoticeFacts,
  previous: { readonly start: Instant | null; readonly end: Instant | null; readonly used: number },
  now: Instant,
): UsageNotice {
  return toNotice('limit.reset', facts, now, {
    previous: { start: toTimeOrNull(previous.start), end: toTimeOrNull(previous.end), used: previous.used },
  });
}

function toNotice(type: NoticeType, facts: NoticeFacts, now: Instant, more: object): UsageNotice {
  const { feature, scope, used, reserved, limit, enforcement, periodStart, periodEnd } = facts;
  const data = {
    used,
    reserved,
    limit,
    percent: limit === null || limit <= 0 ? null : Math.floor((used * 100) / limit),
    overage: limit === null ? 0 : Math.max(0, used - limit),
    enforcement,
    period: periodStart === null ? null : { start: toTime(periodStart), end: toTimeOrNull(periodEnd) },
    ...more,
  };
  return { id: newId(now), type, subject: feature, scope, data: canonicalJson(data) };
}
