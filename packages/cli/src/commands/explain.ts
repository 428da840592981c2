import { CommandFailure, type ExitCodeName } from '../exit-codes.js';
import { callManagementJson } from '../management-client.js';
import { type Output, printJson } from '../output.js';
import { productOf } from '../remote-catalog.js';
import { type ConnectionOptions, connectionOf } from '../settings.js';

export interface ExplainOptions extends ConnectionOptions {
  readonly product?: string;
  readonly environment?: string;
  readonly customer?: string;
  readonly user?: string;
  readonly instance?: string;
  readonly team?: string;
  readonly context?: string;
  readonly json?: boolean;
}

export interface ExplainAnswer {
  readonly decision: {
    readonly key: string;
    readonly value?: unknown;
    readonly variant?: string | null;
    readonly reason?: string;
    readonly cause?: string;
    readonly errorCode?: string;
    readonly message?: string;
    readonly hasAccess?: boolean;
    readonly limit?: { readonly kind: string; readonly value?: number } | null;
    readonly usage?: number;
  };
  readonly steps: readonly {
    readonly step: string;
    readonly outcome: 'applied' | 'skipped' | 'decided';
    readonly message: string;
  }[];
}

const MARKS = { decided: '→', applied: '✓', skipped: '·' } as const;

/** `pennon explain KEY`: every step that led to an answer, in order, from the functions that decided it. */
export async function explain(key: string, options: ExplainOptions, output: Output): Promise<ExitCodeName> {
  const answer = await askServer(key, options);
  if (options.json === true) {
    printJson(output, answer);
  } else {
    for (const step of answer.steps)
      output.print(`${MARKS[step.outcome]} ${step.step.padEnd(14)} ${step.message}`);
    output.print(`= ${key}: ${summaryOf(answer)}`);
  }
  return answer.decision.errorCode === undefined ? 'success' : 'notFound';
}

/** `pennon eval KEY`: the value alone. */
export async function evaluate(key: string, options: ExplainOptions, output: Output): Promise<ExitCodeName> {
  const { decision } = await askServer(key, options);
  if (decision.errorCode !== undefined)
    throw new CommandFailure('notFound', decision.message ?? decision.errorCode);
  if (options.json === true) printJson(output, decision);
  else
    output.print(
      typeof decision.value === 'string' ? decision.value : JSON.stringify(answeredValue(decision)),
    );
  return 'success';
}

function answeredValue(decision: ExplainAnswer['decision']): unknown {
  if (decision.limit === undefined || decision.limit === null)
    return decision.value ?? decision.hasAccess ?? null;
  return decision.limit.kind === 'unlimited' ? 'unlimited' : decision.limit.value;
}

function summaryOf(answer: ExplainAnswer): string {
  const { decision } = answer;
  if (decision.errorCode !== undefined) return `${decision.errorCode} ${decision.message ?? ''}`.trim();
  const why = [decision.reason, decision.cause].filter((word) => word !== undefined).join(', ');
  return `${JSON.stringify(answeredValue(decision))} (${why})`;
}

async function askServer(key: string, options: ExplainOptions): Promise<ExplainAnswer> {
  const environment = options.environment ?? 'production';
  const product = productOf(options.product, null);
  return callManagementJson<ExplainAnswer>(connectionOf(options), {
    method: 'POST',
    path: `/api/v1/environments/${encodeURIComponent(environment)}/products/${encodeURIComponent(product)}/explain`,
    body: { mediaType: 'application/json', text: JSON.stringify({ key, context: contextOf(options) }) },
  });
}

function contextOf(options: ExplainOptions): Record<string, unknown> {
  let context: Record<string, unknown> = {};
  if (options.context !== undefined) {
    try {
      context = JSON.parse(options.context) as Record<string, unknown>;
    } catch (cause) {
      throw new CommandFailure(
        'usage',
        `--context is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
      );
    }
    if (typeof context !== 'object' || context === null || Array.isArray(context)) {
      throw new CommandFailure(
        'usage',
        '--context must be a JSON object, for example \'{"user":{"country":"DE"}}\'',
      );
    }
  }
  if (options.customer !== undefined) context.customer = { key: options.customer };
  if (options.instance !== undefined)
    context.instance = { ...partOf(context.instance), key: options.instance };
  if (options.user !== undefined) context.user = { ...partOf(context.user), key: options.user };
  if (options.team !== undefined) context.team = { ...partOf(context.team), key: options.team };
  return context;
}

function partOf(part: unknown): object {
  return typeof part === 'object' && part !== null ? part : {};
}
