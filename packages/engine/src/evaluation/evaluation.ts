import type { ExpressionFrame, ServerFact } from '../catalog/expression-environment.js';
import { CelError } from '../cel/values.js';
import type { Level } from '../entitlement/level.js';
import type { EntitlementValue, UsageScope } from '../model/catalog.js';
import type { Instant } from '../model/customer.js';
import type { FlagDecision, Recorder } from '../model/decision.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import type { JsonObject, JsonValue } from '../model/json.js';
import { UNLIMITED_AS_INTEGER } from '../model/limits.js';
import type { CompiledFeature, Snapshot } from '../snapshot/snapshot.js';
import { NEVER } from './edges.js';
import { customerFacts, instanceFacts } from './facts.js';
import { learnPlanFacts, namesMissingPlan } from './plan-facts.js';
import { preparedFor } from './prepared-cache.js';
import { forget, holdsAt, type PreparedCustomer } from './prepared-customer.js';

/** The layers above the facts, handed in where an evaluation begins, so that no module needs the one above it. */
export interface Layers {
  resolveLevel(evaluation: Evaluation, feature: CompiledFeature): Level;
  isMember(evaluation: Evaluation, segment: string): boolean | CelError;
  usageOf(evaluation: Evaluation, feature: CompiledFeature, level: Level): { used: number; reserved: number };
  serveFlag(evaluation: Evaluation, key: string): FlagDecision;
}

/** Whether somebody is in a segment, as far as this evaluation goes, with what asking for it told. */
interface Membership {
  readonly answer: boolean | CelError;
  readonly until: Instant | null;
  readonly metUnavailable: boolean;
}

/** What one evaluation found out and may be asked for again. Most ask for nothing twice, and keep nothing. */
interface Kept {
  readonly levels: Map<number, Level>;
  readonly flags: Map<string, FlagDecision>;
  readonly facts: Map<string, JsonObject>;
  readonly memberships: Map<string, Membership>;
}

function nothingKept(): Kept {
  return { levels: new Map(), flags: new Map(), facts: new Map(), memberships: new Map() };
}

export const CUSTOMER_STATE_UNAVAILABLE = 'CUSTOMER_STATE_UNAVAILABLE';

const UNAVAILABLE = new CelError(
  'HOST_FAILED',
  'What is known of the customer could not be read.',
  undefined,
  CUSTOMER_STATE_UNAVAILABLE,
);

/**
 * One request on its way through the layers (facts → segments → grants → entitlements → flags): what expressions may read, what
 * was resolved already, and until when the answer holds.
 */
export class Evaluation implements ExpressionFrame {
  readonly request: EvaluationRequest<Snapshot>;
  readonly layers: Layers;
  readonly recorder: Recorder | null;
  /** `null`: the customer's state could not be read. */
  readonly customer: PreparedCustomer | null;
  /** Until when what was decided since it was last set holds by time alone; `null`: for ever. */
  until: Instant | null = null;
  /** While what gives a feature or passes a gate is decided, only the server's own facts are seen. */
  trusted = false;
  /** While `trusted`: whose account is decided about; members below its level do not count. */
  trustedPer: UsageScope | null = null;
  /** Levels are what is granted without any lot: asked of what a period that is over allowed. */
  withoutCredits = false;
  /** A fact was asked for that could not be read. It is not absent: whoever asked must not decide on that. */
  metUnavailable = false;
  /** For the functions below: private names would cost a call for every evaluation. */
  kept: Kept | null = null;

  constructor(request: EvaluationRequest<Snapshot>, layers: Layers, recorder: Recorder | null) {
    this.request = request;
    this.layers = layers;
    this.recorder = recorder;
    this.customer =
      typeof request.customer === 'string'
        ? null
        : preparedFor(request.snapshot, request.customer, request.subject.sku);
    if (this.customer !== null && !holdsAt(this.customer, request.now)) forget(this.customer);
  }

  get snapshot(): Snapshot {
    return this.request.snapshot;
  }

  get nowMilliseconds(): Instant {
    return this.request.now;
  }

  /** The answer may change then; never where that is `null` or `NEVER`. */
  touch(instant: Instant | null): void {
    if (instant !== null && instant < (this.until ?? NEVER)) this.until = instant;
  }

  /** What is granted of a feature; each is resolved once. A `CelError` where the customer could not be read. */
  level(feature: CompiledFeature): Level | CelError {
    const customer = this.customer;
    if (customer === null) return UNAVAILABLE;
    const shared = this.recorder === null ? customer.levels[feature.index] : undefined;
    const level = shared ?? ownLevel(this, feature);
    this.touch(level.until);
    return level;
  }

  get sent(): JsonObject | undefined {
    return this.trusted ? undefined : this.request.context.parts;
  }

  get targetingKey(): string | undefined {
    return this.trusted ? undefined : this.request.context.targetingKey;
  }

  get plan(): JsonObject | undefined {
    const customer = this.customer;
    if (customer === null) {
      this.metUnavailable = true;
      return undefined;
    }
    if (!customer.planKnown) learnPlanFacts(customer, this.request.now);
    this.touch(customer.planUntil);
    return customer.plan;
  }

  fact(name: ServerFact): JsonValue | undefined {
    switch (name) {
      case 'environment':
        return this.snapshot.environment;
      case 'license':
        return this.plan === undefined ? undefined : this.customer?.license;
      case 'customer':
      case 'instance':
        return serverFacts(this, name);
    }
  }

  entitlement(key: string): Exclude<EntitlementValue, string> | CelError {
    const feature = this.snapshot.features.get(key);
    if (feature === undefined) return false;
    const level = this.level(feature);
    if (level instanceof CelError) return level;
    if (!level.granted) return false;
    if (feature.numeric) return level.unlimited ? UNLIMITED_AS_INTEGER : level.amount;
    return level.value ?? false;
  }

  limit(key: string): number | CelError {
    const feature = this.snapshot.features.get(key);
    if (feature === undefined) return 0;
    const level = this.level(feature);
    if (level instanceof CelError) return level;
    return level.unlimited ? UNLIMITED_AS_INTEGER : level.amount;
  }

  usage(key: string): number | CelError {
    const feature = this.snapshot.features.get(key);
    if (feature === undefined) return 0;
    const level = this.level(feature);
    return level instanceof CelError ? level : this.layers.usageOf(this, feature, level).used;
  }

  remaining(key: string): number | CelError {
    const feature = this.snapshot.features.get(key);
    if (feature === undefined) return 0;
    const level = this.level(feature);
    if (level instanceof CelError) return level;
    const { used, reserved } = this.layers.usageOf(this, feature, level);
    return level.unlimited ? UNLIMITED_AS_INTEGER : Math.max(0, level.amount - used - reserved);
  }

  /** Each segment is asked once: a few that ask for each other twice would double the work with every level. */
  segment(key: string): boolean | CelError {
    const name = this.trusted ? `${this.trustedPer ?? ''} ${key}` : key;
    this.kept ??= nothingKept();
    let known = this.kept.memberships.get(name);
    if (known === undefined) {
      known = membershipOf(this, key);
      this.kept.memberships.set(name, known);
    }
    this.touch(known.until);
    if (known.metUnavailable) this.metUnavailable = true;
    return known.answer;
  }

  flag(key: string): JsonValue | CelError {
    const decision = this.decision(key);
    if (decision.kind === 'error') {
      return new CelError('HOST_FAILED', decision.message, undefined, decision.errorCode);
    }
    if (decision.variant === null) {
      return new CelError(
        'HOST_FAILED',
        `Flag \`${key}\` serves no value here (code-default).`,
        undefined,
        'GENERAL',
      );
    }
    return decision.value;
  }

  /** The decision of a flag that another one asks for; each is decided once. */
  decision(key: string): FlagDecision {
    this.kept ??= nothingKept();
    const known = this.kept.flags.get(key);
    if (known !== undefined) {
      this.touch(known.validUntil);
      return known;
    }
    // What a flag could not read is its own affair: it answers all the same, or says so.
    const met = this.metUnavailable;
    const decision = this.layers.serveFlag(this, key);
    this.metUnavailable = met;
    this.kept.flags.set(key, decision);
    return decision;
  }

  /** The SKU that was sent names no plan, and speaks for the customer; or a license in force names none. */
  get planNotFound(): boolean {
    const customer = this.customer;
    if (customer === null) return false;
    if (customer.sku !== null && customer.fallbackPlan === null) return true;
    return customer.mayMissPlan && namesMissingPlan(customer, this.nowMilliseconds);
  }

  get customerVersion(): number {
    return this.customer === null ? 0 : this.customer.version;
  }

  /** What could not be read is said so, instead of being taken for absent. */
  get unavailable(): CelError {
    return UNAVAILABLE;
  }
}

/** One that is not the same for everyone of the customer, or is asked for the first time. */
function ownLevel(evaluation: Evaluation, feature: CompiledFeature): Level {
  evaluation.kept ??= nothingKept();
  const known = evaluation.kept.levels.get(feature.index);
  if (known !== undefined) return known;
  const outer = evaluation.until;
  evaluation.until = null;
  const level = evaluation.layers.resolveLevel(evaluation, feature);
  evaluation.until = outer;
  evaluation.kept.levels.set(feature.index, level);
  return level;
}

function membershipOf(evaluation: Evaluation, key: string): Membership {
  const { until: outer, metUnavailable: met } = evaluation;
  evaluation.until = null;
  evaluation.metUnavailable = false;
  const answer = evaluation.layers.isMember(evaluation, key);
  const { until, metUnavailable } = evaluation;
  evaluation.until = outer;
  evaluation.metUnavailable = met;
  return { answer, until, metUnavailable };
}

function serverFacts(evaluation: Evaluation, name: 'customer' | 'instance'): JsonObject | undefined {
  evaluation.kept ??= nothingKept();
  const known = evaluation.kept.facts.get(name);
  if (known !== undefined) {
    if (name === 'customer' && evaluation.customer === null) evaluation.metUnavailable = true;
    return known;
  }
  const { context, subject, customer } = evaluation.request;
  const sent = context.parts[name];
  if (name === 'customer' && customer === 'unavailable') evaluation.metUnavailable = true;
  const facts = name === 'customer' ? customerFacts(subject, customer) : instanceFacts(subject);
  if (facts === undefined) {
    // INVARIANT: a part that nobody proved feeds rules and buckets, and nothing that opens a feature.
    const usable =
      !subject.proven &&
      !evaluation.trusted &&
      typeof sent === 'object' &&
      sent !== null &&
      !Array.isArray(sent);
    return usable ? (sent as JsonObject) : undefined;
  }
  evaluation.kept.facts.set(name, facts);
  return facts;
}
