import type { CelIssue } from './issue.js';
import type { CelError, CelValue } from './values.js';

/** What is known of a value before it is there. `dyn` is checked when it is. */
export type CelType =
  | { readonly kind: PrimitiveKind }
  | { readonly kind: 'list'; readonly element: CelType; readonly maxItems?: number }
  | { readonly kind: 'map'; readonly key: CelType; readonly value: CelType; readonly maxItems?: number }
  /** Named attributes. `additional` is the type of attributes that are not named; without it an unnamed one is an issue. */
  | {
      readonly kind: 'object';
      readonly attributes: ReadonlyMap<string, CelType>;
      readonly additional?: CelType;
    };

export type PrimitiveKind =
  | 'dyn'
  | 'null'
  | 'bool'
  | 'int'
  | 'uint'
  | 'double'
  | 'string'
  | 'bytes'
  | 'timestamp'
  | 'duration'
  | 'type';

export const DYN: CelType = { kind: 'dyn' };
export const NULL: CelType = { kind: 'null' };
export const BOOL: CelType = { kind: 'bool' };
export const INT: CelType = { kind: 'int' };
export const UINT: CelType = { kind: 'uint' };
export const DOUBLE: CelType = { kind: 'double' };
export const STRING: CelType = { kind: 'string' };
export const BYTES: CelType = { kind: 'bytes' };
export const TIMESTAMP: CelType = { kind: 'timestamp' };
export const DURATION: CelType = { kind: 'duration' };
export const TYPE: CelType = { kind: 'type' };

export function listOf(element: CelType): CelType {
  return { kind: 'list', element };
}

export function mapOf(key: CelType, value: CelType): CelType {
  return { kind: 'map', key, value };
}

/** As a person reads it: `list<string>`. */
export function typeText(type: CelType): string {
  switch (type.kind) {
    case 'list':
      return `list<${typeText(type.element)}>`;
    case 'map':
      return `map<${typeText(type.key)}, ${typeText(type.value)}>`;
    default:
      return type.kind;
  }
}

/** A fact that expressions may name. */
export interface CelVariable<Frame> {
  readonly type: CelType;
  /** Changes by itself as time passes (`now`): recorded as `reads.now`, not among the attributes. */
  readonly clock?: boolean;
  /** A plain JSON value or a `CelValue`; `undefined` when the fact is absent. */
  readonly read: (frame: Frame) => unknown;
}

/** A function of the caller's: `entitlement("key")`. */
export interface CelHostFunction<Frame> {
  readonly parameters: readonly CelType[];
  readonly result: CelType;
  /** Every argument must be a string literal, so that what an expression reads is known when it is published. */
  readonly literalArguments?: boolean;
  /** Asked about each literal argument when the expression is checked; an answer is an issue at the argument. */
  checkLiteral?(argument: string): { readonly message: string; readonly suggestion?: string } | undefined;
  call(frame: Frame, args: readonly CelValue[]): CelValue | CelError;
}

export interface CelEnvironment<Frame> {
  readonly variables: ReadonlyMap<string, CelVariable<Frame>>;
  readonly functions: ReadonlyMap<string, CelHostFunction<Frame>>;
  /** Facts that nobody declared; a name it answers `undefined` for is an unknown variable. */
  otherVariable?(name: string): CelVariable<Frame> | undefined;
  /** Names of variables and functions that may not stand here, each with a sentence that says why. */
  readonly forbidden?: ReadonlyMap<string, string>;
}

/** What an expression asks for, whether or not an evaluation gets there. */
export interface CelReads {
  /** Paths such as `user.email`, sorted, without doubles; a part that is looked up by a computed key ends before it. */
  readonly attributes: readonly string[];
  /** Calls of host functions, with the literal argument where there is exactly one. */
  readonly calls: readonly { readonly function: string; readonly argument: string | undefined }[];
  readonly now: boolean;
}

export interface CompiledExpression<Frame> {
  readonly source: string;
  readonly type: CelType;
  readonly reads: CelReads;
  /** Worst-case cost in units (see `limits.ts`). */
  readonly cost: number;
  /** Never throws. Only `=== true` is a match. */
  evaluate(frame: Frame): CelValue | CelError;
}

export type CompileResult<Frame> =
  | { readonly ok: true; readonly expression: CompiledExpression<Frame> }
  | { readonly ok: false; readonly issues: CelIssue[] };
