import { checkExpression } from './checker.js';
import { worstCaseCost } from './cost.js';
import { Emitter } from './emit.js';
import type { Run } from './emit-types.js';
import { IssueCollector } from './issue.js';
import { type CelLimits, DEFAULT_CEL_LIMITS } from './limits.js';
import { parseInto } from './parser.js';
import type { RunState } from './run-state.js';
import type { CelEnvironment, CompiledExpression, CompileResult } from './types.js';
import { CelError, type CelValue, prototypesAreClean } from './values.js';

export interface CompileOptions {
  readonly limits?: Partial<CelLimits>;
  /** Leaves unknown names and wrong types to the evaluation, as implementations without a checker do. */
  readonly lenient?: boolean;
}

/**
 * From text to a closure: parsed, checked against what the environment declares, bounded in size and cost. Every fault
 * that was found is in `issues`, in the order of the text, each with its place.
 */
export function compileExpression<Frame>(
  text: string,
  environment: CelEnvironment<Frame>,
  options: CompileOptions = {},
): CompileResult<Frame> {
  const limits: CelLimits = { ...DEFAULT_CEL_LIMITS, ...options.limits };
  const issues = new IssueCollector(text, limits.issues);
  const root = parseInto(text, limits, issues);
  const checked = checkExpression(root, environment, limits, issues, text, options.lenient === true);
  if (!issues.empty) return { ok: false, issues: issues.list() };
  const cost = worstCaseCost(checked, root, limits);
  if (cost > limits.cost) {
    const message = `In the worst case the expression costs ${cost} units, more than ${limits.cost}; declare \`maxItems\` of the lists it walks through, or split it`;
    issues.add('TOO_COSTLY', message, root.start, root.end);
    return { ok: false, issues: issues.list() };
  }
  const emit = (guarded: boolean): Emission<Frame> => {
    const emitter = new Emitter(checked, text, limits, guarded);
    const { run } = emitter.emit(root);
    return { run, spends: emitter.spends };
  };
  const expression: CompiledExpression<Frame> = {
    source: text,
    type: checked.types.get(root) ?? { kind: 'dyn' },
    reads: checked.reads,
    cost,
    evaluate: evaluator(emit, limits, checked.slotCount),
  };
  return { ok: true, expression };
}

interface Emission<Frame> {
  readonly run: Run<Frame>;
  readonly spends: boolean;
}

/**
 * The one place where what a host throws becomes an error of the expression. Where prototypes were tampered with, a
 * second form takes over, which asks every property whether it is an own one.
 */
function evaluator<Frame>(
  emit: (guarded: boolean) => Emission<Frame>,
  limits: CelLimits,
  slots: number,
): (frame: Frame) => CelValue | CelError {
  const { run, spends } = emit(false);
  let guarded: Run<Frame> | undefined;
  const idle: RunState = { steps: Number.POSITIVE_INFINITY, locals: [], limits };
  return (frame) => {
    try {
      const state = spends ? { steps: limits.steps, locals: new Array<CelValue>(slots), limits } : idle;
      if (prototypesAreClean()) return run(frame, state);
      guarded ??= emit(true).run;
      return guarded(frame, state);
    } catch {
      return new CelError(
        'HOST_FAILED',
        'A fact or function of the host failed while the expression asked it',
      );
    }
  };
}
