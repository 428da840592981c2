import type { Instant } from '@pennon/engine/model/customer';
import type { ApiBillingConnection } from '@pennon/protocol/management/billing';
import type { BillingConnectionRow } from '../../store/inbox-rows.js';
import { toTime, toTimeOrNull } from '../times.js';
import { secretsOf } from './billing-secrets.js';

/** INVARIANT: neither a secret nor an API key is in any answer, audit entry or line of the log. */
export function toApiConnection(row: BillingConnectionRow, now: Instant): ApiBillingConnection {
  return {
    id: row.id,
    key: row.key,
    provider: row.provider,
    mapping: row.mapping,
    mode: row.is_live ? 'live' : 'test',
    account: row.account,
    hasApiKey: row.api_key !== null,
    webhookPath: row.provider === 'api' ? null : `/webhooks/${row.provider}/${row.id}`,
    secrets: secretsOf(row.secrets)
      .filter(({ endsAt }) => endsAt === null || now < endsAt)
      .map(({ id, secret, createdAt, endsAt }) => ({
        id,
        hint: secret.length < 16 ? '' : secret.slice(-4),
        createdAt: toTime(createdAt),
        endsAt: toTimeOrNull(endsAt),
      })),
    version: row.version,
    createdAt: toTime(row.created_at.getTime()),
  };
}
