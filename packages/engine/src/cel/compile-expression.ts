import { checkExpression } from './checker.js';
import { worstCaseCost } from './cost.js';
import { Emitter } from './emit.js';
import type { Run } from './emit-types.js';
import { IssueCollector } from './issue.js';
import { type CelLimits, DEFAULT_CEL_LIMITS } from './limits.js';
import { parseInto } from './parser.js';
import type { RunState } from './run-state.js';
import type { CelEnvironment, CompiledExpression, CompileResult } from './types.js';
import { CelError, type CelValue } from './values.js';

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
  const emitter = new Emitter(checked, text, limits);
  const { run } = emitter.emit(root);
  const expression: CompiledExpression<Frame> = {
    source: text,
    type: checked.types.get(root) ?? { kind: 'dyn' },
    reads: checked.reads,
    cost,
    evaluate: evaluator(run, limits, emitter.spends ? checked.slotCount : null),
  };
  return { ok: true, expression };
}

function hostFailed(): CelError {
  return new CelError('HOST_FAILED', 'A fact or function of the host failed while the expression asked it');
}

/**
 * The one place where what a host throws becomes an error of the expression. `slots: null`: nothing in the expression loops, grows or
 * scans, so that all its evaluations share one state.
 */
function evaluator<Frame>(
  run: Run<Frame>,
  limits: CelLimits,
  slots: number | null,
): (frame: Frame) => CelValue | CelError {
  if (slots === null) {
    const { steps } = limits;
    const idle: RunState = { steps, locals: [], limits };
    return (frame) => {
      try {
        idle.steps = steps;
        return run(frame, idle);
      } catch {
        return hostFailed();
      }
    };
  }
  return (frame) => {
    try {
      // A list that is written out costs a fraction of one that is made by its length; few expressions nest more loops.
      const locals = slots <= 4 ? [null, null, null, null] : new Array<CelValue>(slots).fill(null);
      return run(frame, { steps: limits.steps, locals, limits });
    } catch {
      return hostFailed();
    }
  };
}
