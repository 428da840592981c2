import type { ExpressionFrame } from '../catalog/expression-environment.js';
import { CelError } from '../cel/values.js';
import type { Level } from '../entitlement/level.js';
import type { EntitlementValue, UsageScope } from '../model/catalog.js';
import type { Instant } from '../model/customer.js';
import type { FlagDecision, Recorder } from '../model/decision.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import { type JsonObject, type JsonValue, ownMember } from '../model/json.js';
import { UNLIMITED_AS_INTEGER } from '../model/limits.js';
import type { CompiledFeature, Snapshot } from '../snapshot/snapshot.js';
import { NEVER } from './edges.js';
import { customerFacts, instanceFacts } from './facts.js';
import { planFactsAt } from './plan-facts.js';
import { preparedFor } from './prepared-cache.js';
import type { PreparedCustomer } from './prepared-customer.js';

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
  readonly until: Instant;
  readonly metUnavailable: boolean;
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
  readonly snapshot: Snapshot;
  readonly request: EvaluationRequest<Snapshot>;
  readonly layers: Layers;
  readonly recorder: Recorder | null;
  readonly nowMilliseconds: Instant;
  /** `null`: the customer's state could not be read. */
  readonly customer: PreparedCustomer | null;
  /** Until when what was decided since it was last set holds by time alone. */
  until: Instant = NEVER;
  /** While what gives a feature or passes a gate is decided, only the server's own facts are seen. */
  trusted = false;
  /** While `trusted`: whose account is decided about; members below its level do not count. */
  trustedPer: UsageScope | null = null;
  /** A fact was asked for that could not be read. It is not absent: whoever asked must not decide on that. */
  metUnavailable = false;
  #levels: Map<number, Level> | null = null;
  #flags: Map<string, FlagDecision> | null = null;
  #facts: Map<string, JsonObject> | null = null;
  #memberships: Map<string, Membership> | null = null;

  constructor(request: EvaluationRequest<Snapshot>, layers: Layers, recorder: Recorder | null) {
    this.snapshot = request.snapshot;
    this.request = request;
    this.layers = layers;
    this.recorder = recorder;
    this.nowMilliseconds = request.now;
    this.customer =
      request.customer === 'unavailable'
        ? null
        : preparedFor(request.snapshot, request.customer, request.subject.sku);
  }

  /** The answer may change then. */
  touch(instant: Instant): void {
    if (instant < this.until) this.until = instant;
  }

  /** What is granted of a feature; each is resolved once. A `CelError` where the customer could not be read. */
  level(feature: CompiledFeature): Level | CelError {
    const customer = this.customer;
    if (customer === null) return UNAVAILABLE;
    let level = this.#levels?.get(feature.index);
    if (level === undefined && this.recorder === null) {
      const shared = customer.levels.get(feature.index);
      const now = this.nowMilliseconds;
      if (shared !== undefined && shared.from <= now && now < shared.until) level = shared;
    }
    if (level === undefined) {
      const outer = this.until;
      this.until = NEVER;
      level = this.layers.resolveLevel(this, feature);
      this.until = outer;
      if (this.#levels === null) this.#levels = new Map();
      this.#levels.set(feature.index, level);
    }
    if (level.until < this.until) this.until = level.until;
    return level;
  }

  part(name: string): JsonValue | undefined {
    switch (name) {
      case 'environment':
        return this.snapshot.environment;
      case 'plan':
      case 'license': {
        if (this.customer === null) {
          this.metUnavailable = true;
          return undefined;
        }
        const facts = planFactsAt(this.customer, this.nowMilliseconds);
        this.touch(facts.until);
        return facts[name];
      }
      case 'customer':
      case 'instance':
        return this.#serverFacts(name);
      case 'targetingKey':
        return this.trusted ? undefined : this.request.context.targetingKey;
      default: {
        return this.trusted ? undefined : ownMember(this.request.context.parts, name);
      }
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
    let known = this.#memberships?.get(name);
    if (known === undefined) {
      known = this.#membership(key);
      if (this.#memberships === null) this.#memberships = new Map();
      this.#memberships.set(name, known);
    }
    this.touch(known.until);
    if (known.metUnavailable) this.metUnavailable = true;
    return known.answer;
  }

  #membership(key: string): Membership {
    const { until: outer, metUnavailable: met } = this;
    this.until = NEVER;
    this.metUnavailable = false;
    const answer = this.layers.isMember(this, key);
    const { until, metUnavailable } = this;
    this.until = outer;
    this.metUnavailable = met;
    return { answer, until, metUnavailable };
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
    const known = this.#flags?.get(key);
    if (known !== undefined) {
      this.touch(known.validUntil ?? NEVER);
      return known;
    }
    // What a flag could not read is its own affair: it answers all the same, or says so.
    const met = this.metUnavailable;
    const decision = this.layers.serveFlag(this, key);
    this.metUnavailable = met;
    if (this.#flags === null) this.#flags = new Map();
    this.#flags.set(key, decision);
    return decision;
  }

  /** The SKU that was sent names no plan, and speaks for the customer. */
  get planNotFound(): boolean {
    const customer = this.customer;
    return customer !== null && customer.sku !== null && customer.fallbackPlan === null;
  }

  /** What could not be read is said so, instead of being taken for absent. */
  get unavailable(): CelError {
    return UNAVAILABLE;
  }

  #serverFacts(name: 'customer' | 'instance'): JsonObject | undefined {
    const known = this.#facts?.get(name);
    if (known !== undefined) {
      if (name === 'customer' && this.customer === null) this.metUnavailable = true;
      return known;
    }
    const { context, subject, customer } = this.request;
    const sent = context.parts[name];
    if (name === 'customer' && customer === 'unavailable') this.metUnavailable = true;
    const facts = name === 'customer' ? customerFacts(subject, customer) : instanceFacts(subject);
    if (facts === undefined) {
      // INVARIANT: a part that nobody proved feeds rules and buckets, and nothing that opens a feature.
      const usable =
        !subject.proven && !this.trusted && typeof sent === 'object' && sent !== null && !Array.isArray(sent);
      return usable ? (sent as JsonObject) : undefined;
    }
    if (this.#facts === null) this.#facts = new Map();
    this.#facts.set(name, facts);
    return facts;
  }
}
