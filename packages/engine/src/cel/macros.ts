import { type CallNode, MACROS, type MacroName, type Node } from './ast.js';
import type { IssueCollector } from './issue.js';

/** Macros are known by name and number of arguments, as CEL has it; other numbers leave an ordinary call. */
export function expandMacro(call: CallNode, issues: IssueCollector): Node | undefined {
  if (call.target === undefined) {
    return call.name === 'has' && call.args.length === 1 ? expandHas(call, issues) : undefined;
  }
  const macro =
    MACROS.find((name) => name === call.name) ?? (call.name === 'existsOne' ? 'exists_one' : undefined);
  const [variable, ...rest] = call.args;
  const fits = rest.length === 1 || (macro === 'map' && rest.length === 2);
  if (macro === undefined || !fits || variable === undefined) return undefined;
  return expandComprehension(call, macro, call.target, variable, rest, issues);
}

function expandHas(call: CallNode, issues: IssueCollector): Node {
  const select = call.args[0];
  if (select?.kind === 'select') return { kind: 'has', select, start: call.start, end: call.end };
  if (select?.kind !== 'error') {
    const message = '`has` asks for an attribute: `has(user.email)`';
    issues.add('INVALID_MACRO', message, select?.start ?? call.start, select?.end ?? call.end);
  }
  return { kind: 'error', start: call.start, end: call.end };
}

function expandComprehension(
  call: CallNode,
  macro: MacroName,
  target: Node,
  variable: Node,
  rest: readonly Node[],
  issues: IssueCollector,
): Node {
  const body = rest.at(-1);
  if (variable.kind !== 'identifier' || variable.absolute || body === undefined) {
    if (variable.kind !== 'error') {
      const message = `The first argument of \`${macro}\` names each element: \`list.${macro}(item, …)\``;
      issues.add('INVALID_MACRO', message, variable.start, variable.end);
    }
    return { kind: 'error', start: call.start, end: call.end };
  }
  const filter = rest.length === 2 ? rest[0] : undefined;
  const { start, end } = call;
  return { kind: 'macro', macro, target, variable: variable.name, filter, body, start, end };
}
