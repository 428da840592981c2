import type { SourceFile } from './source-node.js';

/** The members that hold an expression; the schema marks the same ones with `format: cel`. */
const EXPRESSION_MEMBER = /(?:^|[\s{,-])(["']?)(if|condition|constraint|measure)\1\s*:(?:\s+|$)/g;
const QUOTED = /^(?:'(?:[^']|'')*'|"(?:[^"\\]|\\.)*")\s*(?:[,}\]].*|#.*)?$/;

/**
 * The name of the expression member that stands in the line of `offset` with a bare (unquoted) text, or `null`. Only used
 * to explain a fault that YAML has already found.
 */
export function bareExpressionAt(file: SourceFile, offset: number): string | null {
  const lineStart = file.text.lastIndexOf('\n', offset - 1) + 1;
  const found = file.text.indexOf('\n', offset);
  const line = file.text.slice(lineStart, found === -1 ? undefined : found);
  if (line.length > 5000) return null;
  let last: string | null = null;
  for (const match of line.matchAll(EXPRESSION_MEMBER)) {
    const end = match.index + match[0].length;
    const rest = line.slice(end).trim();
    if (lineStart + match.index > offset || rest === '' || /^[|>]/.test(rest) || QUOTED.test(rest)) continue;
    last = match[2] ?? null;
  }
  return last;
}
