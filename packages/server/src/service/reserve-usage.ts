import type { Reservation } from '@pennon/engine/model/decision';
import { DEFAULT_RESERVATION_SECONDS } from '@pennon/engine/model/limits';
import { answerInTime } from './answer-in-time.js';
import { canonicalText } from './canonical-request.js';
import type { ConsumeDependencies, ConsumeInput } from './consume-input.js';
import type { ConsumeAnswer } from './consume-request.js';
import { consumeUsage } from './consume-usage.js';
import type { Credential } from './credential.js';
import { isId } from './new-id.js';
import type { ReservationRecord } from './ports.js';
import { reservationNotFound } from './reservation-refusals.js';
import { environmentInReach, productInReach } from './scope.js';

type AskedItem = ConsumeInput['items'][number];
/** What every call brings. */
type Caller = Pick<
  ConsumeInput,
  'product' | 'environment' | 'consistency' | 'requestId' | 'idempotencyKey' | 'body'
>;

export interface ReserveInput extends Caller, Pick<ConsumeInput, 'context' | 'items' | 'mode'> {
  /** `null`: the default. */
  readonly ttlSeconds: number | null;
}

/** Holds an amount for a time, exactly once for each idempotency key: what is held counts as used until it is final. */
export function reserveUsage(
  dependencies: ConsumeDependencies,
  credential: Credential,
  { ttlSeconds, ...input }: ReserveInput,
): Promise<ConsumeAnswer> {
  const ttlMilliseconds = (ttlSeconds ?? DEFAULT_RESERVATION_SECONDS) * 1000;
  return consumeUsage(dependencies, credential, {
    ...input,
    operation: 'reserve',
    reservation: { kind: 'make', ttlMilliseconds },
  });
}

export interface EndInput extends Caller, Pick<AskedItem, 'amount' | 'attributes'> {
  readonly operation: 'settle' | 'release-hold';
  readonly id: string;
}

/**
 * Settles a reservation or gives it back, by its id alone. Whom it was made for is asked about as when it was made. Faults:
 * `RESERVATION_NOT_FOUND`, `RESERVATION_FINAL`, `RESERVATION_EXPIRED`.
 */
export async function endReservation(
  dependencies: ConsumeDependencies,
  credential: Credential,
  { id, amount, attributes, ...input }: EndInput,
): Promise<ConsumeAnswer> {
  const found = await findReservation(dependencies, credential, input, id);
  const context = { ...found.context, targetingKey: found.customerKey };
  // Two calls with one key are the same when they say the same of the same reservation, whoever was renamed since.
  const said = typeof input.body === 'object' ? input.body : {};
  const text = canonicalText({ ...said, reservation: id });
  return consumeUsage(dependencies, credential, {
    ...input,
    context,
    product: found.productId,
    call: { text, contextText: canonicalText(context) },
    items: [{ key: found.feature, amount, attributes }],
    mode: 'all',
    reservation: { kind: 'end', id },
  });
}

/** How it stands now: one whose end has come has ended, whether anybody has noticed or not. */
export async function readReservation(
  dependencies: ConsumeDependencies,
  credential: Credential,
  input: Pick<Caller, 'product' | 'environment'>,
  id: string,
): Promise<{ readonly key: string; readonly reservation: Reservation }> {
  const found = await findReservation(dependencies, credential, input, id);
  return { key: found.feature, reservation: found.reservation };
}

/** INVARIANT: what lies beyond the credential's reach answers exactly like what never was (law 11). */
async function findReservation(
  { directory, reservations }: ConsumeDependencies,
  credential: Credential,
  named: Pick<Caller, 'product' | 'environment'>,
  id: string,
): Promise<ReservationRecord> {
  // Before anything is looked up, so that a refusal of these tells nothing.
  const environment = environmentInReach(
    directory,
    credential,
    named.environment ?? credential.environmentId ?? 'production',
  );
  const productRef = named.product ?? credential.productId;
  // A key of all products need not name the one that the reservation itself names.
  const product = productRef === null ? null : productInReach(directory, credential, productRef);
  const found = isId(id) ? await answerInTime(reservations.find(id)) : null;
  if (
    found === null ||
    found.environmentId !== environment.id ||
    (product !== null && found.productId !== product.id)
  ) {
    throw reservationNotFound(id);
  }
  return found;
}
