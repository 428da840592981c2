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
    evaluate: evaluator(run, limits, emitter.spends, checked.slotCount),
  };
  return { ok: true, expression };
}

/** The one place where what a host throws becomes an error of the expression. */
function evaluator<Frame>(
  run: Run<Frame>,
  limits: CelLimits,
  spends: boolean,
  slots: number,
): (frame: Frame) => CelValue | CelError {
  const idle: RunState = { steps: Number.POSITIVE_INFINITY, locals: [], limits };
  return (frame) => {
    try {
      if (!spends) return run(frame, idle);
      return run(frame, {
        steps: limits.steps,
        locals: slots === 0 ? [] : new Array<CelValue>(slots),
        limits,
      });
    } catch {
      return new CelError(
        'HOST_FAILED',
        'A fact or function of the host failed while the expression asked it',
      );
    }
  };
}
