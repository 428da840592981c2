import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import { LIMITS } from '@pennon/engine/model/limits';
import type { CompiledFeature, Snapshot } from '@pennon/engine/snapshot/snapshot';
import type { ConsumeDependencies } from '../consume-input.js';
import { accountScope, refuseHolder } from '../consume-items.js';
import type { Credential } from '../credential.js';
import type { EvaluationInput } from '../evaluation-request.js';
import { evaluationScopeOf } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { eventKeyOf } from './event-key.js';
import {
  meterText,
  type RecordedEvent,
  refused,
  type UsageItem,
  type UsageResult,
  type UsageSubject,
} from './usage-item.js';
import type { UsageRecorder } from './usage-recorder.js';
import { resolveSubjects, type SubjectName } from './usage-subjects.js';

export interface RecordDependencies extends ConsumeDependencies {
  readonly recorder: UsageRecorder<UsageItem, UsageResult>;
}

/** An event as it was read, or why it could not be. */
export type ToldEvent =
  | (RecordedEvent & {
      readonly ok: true;
      readonly subject: string;
      readonly user: string | null;
      readonly instance: string | null;
    })
  | { readonly ok: false; readonly errorCode: string; readonly message: string };

export interface RecordInput extends Omit<EvaluationInput, 'context'> {
  readonly requestId: string;
  readonly events: readonly ToldEvent[];
}

/**
 * Records usage that already happened: once for each event, whatever the limit (OEP rules 3 to 5). One result for each event, in their
 * order; a ServiceError of kind `unavailable` means that the outcome of some is unknown, and all of them are told again.
 */
export async function recordUsage(
  dependencies: RecordDependencies,
  credential: Credential,
  input: RecordInput,
): Promise<readonly UsageResult[]> {
  const { environment, product } = evaluationScopeOf(dependencies.directory, credential, input);
  const snapshot = dependencies.snapshots.current(product.id, environment.id);
  const results: (UsageResult | undefined)[] = new Array(input.events.length);
  const names = new Map<string, SubjectName>();
  for (const [index, event] of input.events.entries()) {
    const refusal = event.ok ? refuseFeature(snapshot?.features.get(event.key), event.key) : refusalOf(event);
    if (refusal !== null) {
      results[index] = refusal;
    } else if (event.ok) {
      names.set(nameText(event), { customer: event.subject, user: event.user, instance: event.instance });
    }
  }
  const scope = { environmentId: environment.id, productId: product.id };
  const subjects = await resolveSubjects(dependencies, credential, input, scope, names);
  const items: UsageItem[] = [];
  const indices: number[] = [];
  const placeOf = rememberedPlaces();
  const actor =
    credential.kind === 'customer-token' ? 'customer-token' : `${credential.kind}-key:${credential.keyId}`;
  for (const [index, event] of input.events.entries()) {
    if (!event.ok || results[index] !== undefined) continue;
    const subject = subjects.get(nameText(event));
    const told = { ...scope, event, actor };
    const item = subject === undefined ? null : toItem(told, subject, placeOf);
    if (item === null || 'status' in item) {
      results[index] = item ?? refused('CUSTOMER_NOT_FOUND', `\`${event.subject}\` was not looked up.`);
    } else {
      items.push(item);
      indices.push(index);
    }
  }
  // Answers of the store that came meanwhile go first: a chunk that is under way holds locks.
  await new Promise((resolve) => setImmediate(resolve));
  const recorded = await dependencies.recorder.submit(`${environment.id}/${product.id}`, items);
  for (const [place, result] of recorded.entries()) {
    results[indices[place] ?? 0] = result;
  }
  return results.map((result) => result ?? refused('EVENT_INVALID', 'The event was not recorded.'));
}

function refusalOf({ errorCode, message }: ToldEvent & { readonly ok: false }): UsageResult {
  return refused(errorCode, message);
}

function nameText(event: ToldEvent & { readonly ok: true }): string {
  const { subject, user, instance } = event;
  return user === null && instance === null ? subject : JSON.stringify([subject, user, instance]);
}

function refuseFeature(feature: CompiledFeature | undefined, key: string): UsageResult | null {
  if (feature === undefined) {
    return refused(
      'ENTITLEMENT_NOT_FOUND',
      `The feature \`${key}\` does not exist. Send the key of a metered feature as \`data.key\`.`,
    );
  }
  return feature.type === 'metered'
    ? null
    : refused(
        'TYPE_MISMATCH',
        `\`${key}\` is ${feature.type}, and nothing of it is counted; declare it with \`type: metered\`.`,
      );
}

/** What of an event does not depend on its subject. */
interface Told {
  readonly environmentId: string;
  readonly productId: string;
  readonly event: ToldEvent & { readonly ok: true };
  readonly actor: string;
}

type PlaceOf = (subject: UsageSubject, key: string) => UsagePlace | ServiceError;

/** Where each subject's features count, found out once in a call. */
function rememberedPlaces(): PlaceOf {
  const known = new Map<UsageSubject, Map<string, UsagePlace | ServiceError>>();
  return (subject, key) => {
    let ofSubject = known.get(subject);
    if (ofSubject === undefined) {
      ofSubject = new Map();
      known.set(subject, ofSubject);
    }
    let place = ofSubject.get(key);
    if (place === undefined) {
      place = meterOf(subject, key);
      ofSubject.set(key, place);
    }
    return place;
  };
}

function toItem(told: Told, subject: UsageSubject | ServiceError, placeOf: PlaceOf): UsageItem | UsageResult {
  if (subject instanceof ServiceError) return refused(subject.code, subject.message);
  const { event, environmentId } = told;
  const place = placeOf(subject, event.key);
  if (place instanceof ServiceError) return refused(place.code, place.message);
  const unheld = event.holder === null ? null : holderRefusal(place.feature);
  if (unheld !== null) return unheld;
  const text = attributesText(event.attributes);
  if (text !== null && Buffer.byteLength(text) > LIMITS.usageAttributesBytes.value) {
    return refused(
      'EVENT_TOO_LARGE',
      `The attributes of \`${event.id}\` take more than ${LIMITS.usageAttributesBytes.value} bytes. Send those that a measure or a dimension reads.`,
    );
  }
  // Written out: this is made for every event, and copies of objects take longer than all that surrounds them.
  return {
    environmentId,
    productId: told.productId,
    actor: told.actor,
    event,
    feature: place.feature,
    meter: place.meter,
    meterKey: place.meterKey,
    subject,
    attributesText: text,
    eventKey: eventKeyOf(environmentId, event.source, event.id),
    correctsKey: event.corrects === null ? null : eventKeyOf(environmentId, event.source, event.corrects),
  };
}

function attributesText(attributes: RecordedEvent['attributes']): string | null {
  for (const _ in attributes) return JSON.stringify(attributes);
  return null;
}

/** What resets by itself, and what only shows a value, is held by nobody. */
function holderRefusal(feature: CompiledFeature): UsageResult | null {
  const { key, aggregation } = feature;
  if (aggregation !== 'sum' && aggregation !== 'count') {
    return refused(
      'TYPE_MISMATCH',
      `\`${key}\` has \`aggregation: ${aggregation}\`, so that nothing holds its units. Leave \`data.holder\` out.`,
    );
  }
  try {
    refuseHolder(feature);
    return null;
  } catch (error) {
    if (error instanceof ServiceError) return refused(error.code, error.message);
    throw error;
  }
}

/** Where an event of a subject counts. */
export type UsagePlace = Pick<UsageItem, 'feature' | 'meter' | 'meterKey'>;

/** The account that an event counts into, as the feature is in the catalog of the evaluation. */
export function meterOf({ customerId, evaluation }: UsageSubject, key: string): UsagePlace | ServiceError {
  const feature = metered(evaluation, key);
  if (feature === null) {
    return new ServiceError('not-found', 'ENTITLEMENT_NOT_FOUND', `The feature \`${key}\` does not exist.`);
  }
  try {
    const meter = { customerId, feature: key, scope: accountScope(feature, evaluation.subject) };
    return { feature, meter, meterKey: meterText(meter) };
  } catch (error) {
    if (error instanceof ServiceError) {
      const named = `Name the ${feature.per} as \`data.${feature.per}\`.`;
      return new ServiceError(
        error.kind,
        error.code,
        `\`${key}\` counts per ${feature.per}, and the event has none. ${named}`,
      );
    }
    throw error;
  }
}

function metered({ snapshot }: EvaluationRequest<Snapshot>, key: string): CompiledFeature | null {
  const feature = snapshot.features.get(key);
  return feature?.type === 'metered' ? feature : null;
}
