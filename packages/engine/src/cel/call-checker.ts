import { type CallNode, MACROS, type Node } from './ast.js';
import type { Checker } from './checker.js';
import { type Overload, STANDARD_FUNCTIONS } from './functions.js';
import { compilePattern } from './regex.js';
import { suggestName } from './suggest.js';
import { isAssignable, joinTypes } from './type-relations.js';
import { BOOL, type CelHostFunction, type CelType, STRING, typeText } from './types.js';

/** The part of the checker that knows functions. */
export class CallChecker<Frame> {
  readonly #checker: Checker<Frame>;

  constructor(checker: Checker<Frame>) {
    this.#checker = checker;
  }

  visit(node: CallNode): CelType {
    const named = this.#namespaced(node);
    if (named !== undefined) return this.#function(node, named);
    if (node.target === undefined) return this.#function(node, node.name);
    return this.#member(node, node.target);
  }

  /** `strings.quote(x)`: a function whose name has dots, unless the first part is a variable. */
  #namespaced(node: CallNode): string | undefined {
    const prefix = node.target === undefined ? undefined : this.#checker.qualifiedName(node.target);
    if (prefix === undefined) return undefined;
    const name = `${prefix}.${node.name}`;
    const root = prefix.split('.')[0] ?? prefix;
    const shadowed = this.#checker.isLocal(root) || this.#checker.environment.variables.has(root);
    const known = STANDARD_FUNCTIONS.has(name) || this.#checker.environment.functions.has(name);
    return known && !shadowed ? name : undefined;
  }

  #function(node: CallNode, name: string): CelType {
    const { environment } = this.#checker;
    const reason = environment.forbidden?.get(name);
    if (reason !== undefined) {
      for (const arg of node.args) this.#checker.visit(arg);
      const message = `\`${name}\` may not be called here: ${reason}`;
      return this.#checker.issue('FORBIDDEN', message, node.nameStart, node.nameEnd);
    }
    const host = environment.functions.get(name);
    if (host !== undefined) return this.#host(node, name, host);
    const overloads = STANDARD_FUNCTIONS.get(name)?.filter((overload) => !overload.member) ?? [];
    const types = node.args.map((arg) => this.#checker.visit(arg));
    if (name === 'matches') return this.#matches(node, node.args, types);
    if (overloads.length === 0) return this.#unknown(node, name, false);
    return this.#standard(node, name, overloads, node.args, types);
  }

  #member(node: CallNode, target: Node): CelType {
    const args = [target, ...node.args];
    const types = args.map((arg) => this.#checker.visit(arg));
    if (node.name === 'matches') return this.#matches(node, args, types);
    const overloads = STANDARD_FUNCTIONS.get(node.name)?.filter((overload) => overload.member) ?? [];
    if (overloads.length === 0) return this.#unknown(node, node.name, true);
    return this.#standard(node, node.name, overloads, args, types);
  }

  #unknown(node: CallNode, name: string, member: boolean): CelType {
    const { environment } = this.#checker;
    const known = STANDARD_FUNCTIONS.has(name) || name === 'matches' || environment.functions.has(name);
    const isMacro = name === 'has' || MACROS.some((macro) => macro === name);
    if (isMacro) {
      const use = name === 'has' ? '`has(user.email)`' : `\`list.${name}(item, …)\``;
      return this.#checker.issue(
        'WRONG_ARGUMENTS',
        `\`${name}\` is used as ${use}`,
        node.nameStart,
        node.nameEnd,
      );
    }
    if (known) {
      const use = member ? `\`${name}(…)\`` : `\`value.${name}(…)\``;
      return this.#checker.issue(
        'UNKNOWN_FUNCTION',
        `\`${name}\` is called as ${use}`,
        node.nameStart,
        node.nameEnd,
      );
    }
    const suggestion = suggestName(name, this.#candidates(member));
    return this.#checker.issue(
      'UNKNOWN_FUNCTION',
      `There is no function \`${name}\``,
      node.nameStart,
      node.nameEnd,
      suggestion,
    );
  }

  #candidates(member: boolean): string[] {
    const standard = [...STANDARD_FUNCTIONS].filter(([, overloads]) =>
      overloads.some((one) => one.member === member),
    );
    const names = standard.map(([name]) => name);
    return member
      ? [...names, 'matches', ...MACROS]
      : [...names, 'has', ...this.#checker.environment.functions.keys()];
  }

  #standard(
    node: CallNode,
    name: string,
    overloads: readonly Overload[],
    args: readonly Node[],
    types: readonly CelType[],
  ): CelType {
    const sized = overloads.filter((overload) => overload.parameters.length === args.length);
    if (sized.length === 0) return this.#wrongCount(node, name, overloads);
    const fitting = sized.filter((overload) => {
      return overload.parameters.every((parameter, index) =>
        isAssignable(types[index] ?? parameter, parameter),
      );
    });
    if (fitting.length === 0) return this.#wrongTypes(node, name, sized, args, types);
    this.#checker.calls.set(node, { kind: 'standard', overloads: fitting, args });
    return fitting.map((overload) => overload.result).reduce(joinTypes);
  }

  #wrongCount(node: CallNode, name: string, overloads: readonly Overload[]): CelType {
    const counts = overloads.map((overload) => overload.parameters.length - (overload.member ? 1 : 0));
    const wanted = [...new Set(counts)].sort().join(' or ');
    const message = `\`${name}\` takes ${wanted} argument${wanted === '1' ? '' : 's'}, not ${node.args.length}`;
    return this.#checker.issue('WRONG_ARGUMENTS', message, node.nameStart, node.end);
  }

  #wrongTypes(
    node: CallNode,
    name: string,
    overloads: readonly Overload[],
    args: readonly Node[],
    types: readonly CelType[],
  ): CelType {
    const index = args.findIndex((_, position) => {
      const type = types[position];
      return (
        type !== undefined && !overloads.some((one) => isAssignable(type, one.parameters[position] ?? type))
      );
    });
    const arg = args[Math.max(index, 0)] ?? node;
    const actual = typeText(types[Math.max(index, 0)] ?? STRING);
    const wanted = new Set(
      overloads.map((one) => `\`${typeText(one.parameters[Math.max(index, 0)] ?? STRING)}\``),
    );
    const message = `\`${name}\` is not defined for a \`${actual}\` here; it takes ${[...wanted].join(', ')}`;
    return this.#checker.issue('WRONG_TYPE', message, arg.start, arg.end);
  }

  #matches(node: CallNode, args: readonly Node[], types: readonly CelType[]): CelType {
    const [subject, pattern] = args;
    if (subject === undefined || pattern === undefined || args.length !== 2) {
      const message = '`matches` takes one pattern: `text.matches("^a+$")`';
      this.#checker.issue('WRONG_ARGUMENTS', message, node.nameStart, node.end);
      return BOOL;
    }
    if (!isAssignable(types[0] ?? STRING, STRING)) {
      const message = `\`matches\` asks a \`string\`, not a \`${typeText(types[0] ?? STRING)}\``;
      this.#checker.issue('WRONG_TYPE', message, subject.start, subject.end);
      return BOOL;
    }
    if (pattern.kind !== 'literal' || typeof pattern.value !== 'string') {
      if (pattern.kind === 'error') return BOOL;
      const message =
        'The pattern of `matches` must be a string literal, so that it can be checked before it runs';
      this.#checker.issue('PATTERN_NOT_LITERAL', message, pattern.start, pattern.end);
      return BOOL;
    }
    const compiled = compilePattern(pattern.value, this.#checker.limits);
    if (compiled.ok) this.#checker.calls.set(node, { kind: 'matches', subject, pattern: compiled.pattern });
    else this.#patternIssue(pattern, compiled.message, compiled.fragment);
    return BOOL;
  }

  /** At the wrong part of the pattern where the literal shows it as it is. */
  #patternIssue(pattern: Node, message: string, fragment: string | undefined): void {
    const literal = this.#checker.source.slice(pattern.start, pattern.end);
    const inside = fragment === undefined || fragment === '' ? -1 : literal.lastIndexOf(fragment);
    const start = inside === -1 ? pattern.start : pattern.start + inside;
    const end = inside === -1 ? pattern.end : start + (fragment ?? '').length;
    this.#checker.issue('INVALID_PATTERN', message, start, end);
  }

  #host(node: CallNode, name: string, host: CelHostFunction<Frame>): CelType {
    const types = node.args.map((arg) => this.#checker.visit(arg));
    const wanted = host.parameters.length;
    if (types.length !== wanted) {
      const message = `\`${name}\` takes ${wanted} argument${wanted === 1 ? '' : 's'}, not ${types.length}`;
      this.#checker.issue('WRONG_ARGUMENTS', message, node.nameStart, node.end);
      return host.result;
    }
    for (const [index, arg] of node.args.entries())
      this.#hostArgument(name, host, index, arg, types[index] ?? STRING);
    const [only] = node.args;
    const literal = only?.kind === 'literal' && typeof only.value === 'string' ? only.value : undefined;
    this.#checker.reads.call(name, node.args.length === 1 ? literal : undefined);
    this.#checker.calls.set(node, { kind: 'host', host });
    return host.result;
  }

  #hostArgument(name: string, host: CelHostFunction<Frame>, index: number, arg: Node, type: CelType): void {
    const parameter = host.parameters[index] ?? STRING;
    if (!isAssignable(type, parameter)) {
      const message = `\`${name}\` takes a \`${typeText(parameter)}\`, not a \`${typeText(type)}\``;
      this.#checker.issue('WRONG_TYPE', message, arg.start, arg.end);
      return;
    }
    if (host.literalArguments !== true || arg.kind === 'error') return;
    if (arg.kind !== 'literal' || typeof arg.value !== 'string') {
      const message = `The argument of \`${name}\` must be a string literal, so that what the rule reads is known`;
      this.#checker.issue('ARGUMENT_NOT_LITERAL', message, arg.start, arg.end);
      return;
    }
    const fault = host.checkLiteral?.(arg.value);
    if (fault === undefined) return;
    this.#checker.issue('INVALID_ARGUMENT', fault.message, arg.start, arg.end, fault.suggestion);
  }
}
