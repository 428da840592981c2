import type { ApiRedemption, ApiRedemptionCheck, Redeem } from '@pennon/protocol/management/vouchers';
import type { ChangeCall } from '../answer.js';
import { type Changed, changeData, type DataChange } from '../contracts/data-change.js';
import type { GrantServices } from '../contracts/make-grants.js';
import { refuse } from '../contracts/refusals.js';
import {
  type ChangeContext,
  type Credential,
  type CustomerTokenCredential,
  withoutCall,
} from '../credential.js';
import { environmentInReach, productInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { toTimeOrNull } from '../times.js';
import { applyRedemption, TermsChanged } from './apply-redemption.js';
import { normalCode } from './code-text.js';
import { decideRedemption, type RedemptionDecision } from './decide-redemption.js';
import { countMiss } from './guess-throttle.js';
import { guesserOf, type RedeemParties, type RedemptionAsk } from './redemption-ask.js';
import { effectsOf } from './voucher-record.js';
import { toServiceError, type VoucherRefusal } from './voucher-refusal.js';

/** What a call brings besides who calls. */
export interface RedeemCall {
  readonly environment: string;
  readonly idempotencyKey: string | undefined;
  readonly remoteAddress: string;
}

/** Whom a backend names. */
export function partiesOf(body: Redeem): RedeemParties {
  return { customerKey: body.customer, userKey: body.user ?? null, instanceRef: body.instance ?? null };
}

/** INVARIANT (law 11): whoever holds a token redeems for its customer and user, whatever is sent. */
export function partiesOfToken(token: CustomerTokenCredential): RedeemParties {
  return { customerKey: token.customerKey, userKey: token.userKey, instanceRef: token.instanceKey };
}

/**
 * Redeems a code: one transaction, in which everything happens or nothing. It must bring an `Idempotency-Key`, by which an answer that
 * was lost is asked for again.
 */
export async function redeemVoucher(
  services: GrantServices,
  credential: Credential,
  context: ChangeContext,
  call: RedeemCall,
  body: Pick<Redeem, 'code' | 'product'>,
  parties: RedeemParties,
): Promise<Changed<ApiRedemption>> {
  if (call.idempotencyKey === undefined) {
    throw refuse(
      'invalid',
      'IDEMPOTENCY_KEY_REQUIRED',
      'Send an `Idempotency-Key`: with the same one a redemption whose answer was lost is asked for again, and happens once.',
      'idempotency-key',
    );
  }
  const ask = askOf(services, credential, call, body, parties);
  const keyed = context.call === undefined ? context : { ...context, call: redemptionsOnly(context.call) };
  const changed = await attempt(services, keyed, ask, async (change, decision): Promise<Outcome> => {
    return decision.kind === 'ready'
      ? { redemption: await applyRedemption(services, change, ask, decision.ready) }
      : { refusal: decision.refusal };
  });
  const { item: outcome, consistency } = changed;
  if (outcome.refusal !== undefined) throw toServiceError(outcome.refusal);
  return { item: outcome.redemption, created: true, consistency };
}

type Outcome =
  | { readonly redemption: ApiRedemption; readonly refusal?: never }
  | { readonly refusal: VoucherRefusal };

/** A refusal is not remembered: what was refused today, because it had not begun, may be redeemed tomorrow. */
function redemptionsOnly(call: ChangeCall): ChangeCall {
  return {
    answerOf(outcome) {
      const { refusal, redemption } = outcome.item as Outcome & { readonly redemption?: ApiRedemption };
      if (refusal !== undefined) return null;
      return call.answerOf({ ...outcome, item: redemption, created: true });
    },
    remember: (transaction, answer) => call.remember(transaction, answer),
    noteCommitted: () => call.noteCommitted(),
  };
}

/**
 * Whether a code would be redeemed now, and what it would give; nothing is changed. It says nothing about the next moment. Wrong codes
 * count as when redeeming.
 */
export async function checkVoucher(
  services: GrantServices,
  credential: Credential,
  context: ChangeContext,
  call: Omit<RedeemCall, 'idempotencyKey'>,
  body: Pick<Redeem, 'code' | 'product'>,
  parties: RedeemParties,
): Promise<ApiRedemptionCheck> {
  const ask = askOf(services, credential, call, body, parties);
  const { item } = await attempt(services, withoutCall(context), ask, (_change, decision) =>
    Promise.resolve(decision),
  );
  switch (item.kind) {
    case 'ready': {
      const { voucher, endsAt } = item.ready;
      const effects = effectsOf(voucher) as unknown as ApiRedemptionCheck['effects'];
      const { key, name } = voucher;
      return { redeemable: true, refusal: null, voucher: key, name, effects, endsAt: toTimeOrNull(endsAt) };
    }
    case 'refused':
    case 'missed':
      return notRedeemable(item.refusal);
  }
}

function notRedeemable(refusal: VoucherRefusal): ApiRedemptionCheck {
  // Whoever is throttled learns nothing about the code, so that it is no answer.
  if (refusal.code === 'VOUCHER_THROTTLED') throw toServiceError(refusal);
  const { code, message } = refusal;
  return {
    redeemable: false,
    refusal: { code, message },
    voucher: null,
    name: null,
    effects: [],
    endsAt: null,
  };
}

function askOf(
  services: GrantServices,
  credential: Credential,
  call: Omit<RedeemCall, 'idempotencyKey'>,
  body: Pick<Redeem, 'code' | 'product'>,
  parties: RedeemParties,
): RedemptionAsk {
  const environment = environmentInReach(services.directory, credential, call.environment);
  const productRef = body.product ?? credential.productId;
  return {
    ...parties,
    environment,
    product: productRef === null ? null : productInReach(services.directory, credential, productRef),
    code: normalCode(body.code),
    userProven: credential.kind === 'customer-token',
    guesser: guesserOf(credential, environment.id, parties, call.remoteAddress),
  };
}

/** Somebody changed the terms while it was decided; three times in a row nobody does. */
const ATTEMPTS = 3;

/** Decides in a transaction and hands the decision on; a wrong code is counted in it, and that alone is then committed. */
async function attempt<Outcome>(
  services: GrantServices,
  context: ChangeContext,
  ask: RedemptionAsk,
  work: (change: DataChange, decision: RedemptionDecision) => Promise<Outcome>,
): Promise<Changed<Outcome>> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await changeData(services, context, ask.environment.id, async (change) => {
        const decision = await decideRedemption(services, change, ask);
        if (decision.kind === 'missed') await countMiss(change.transaction, ask.guesser, change.now);
        return { item: await work(change, decision), created: false };
      });
    } catch (error) {
      if (!(error instanceof TermsChanged)) throw error;
      if (tries >= ATTEMPTS) throw termsChangedAgain(error);
    }
  }
}

function termsChangedAgain(cause: Error): ServiceError {
  return new ServiceError(
    'unavailable',
    'VOUCHER_CHANGING',
    'The voucher is being changed at this moment. Ask again with the same `Idempotency-Key`.',
    { cause, retryAfterSeconds: 1 },
  );
}
