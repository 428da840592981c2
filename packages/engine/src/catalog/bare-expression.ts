import type { SourceFile } from './source-node.js';

/** The members that hold an expression; the schema marks the same ones with `format: cel`. */
const EXPRESSION_MEMBER = /(?:^|[\s{,-])(["']?)(if|condition|constraint|measure)\1\s*:(?:\s+|$)/g;
const QUOTED = /^(?:'(?:[^']|'')*'|"(?:[^"\\]|\\.)*")\s*(?:[,}\]].*|#.*)?$/;

const WINDOW = 5000;

/**
 * The name of the expression member that stands in the line of `offset` with a bare (unquoted) text, or `null`. Only used
 * to explain a fault that YAML has already found.
 */
export function bareExpressionAt(file: SourceFile, offset: number): string | null {
  // A window instead of the line: hostile lines are megabytes long, and this runs for every fault in them.
  const before = file.text.slice(Math.max(0, offset - WINDOW), offset);
  const after = file.text.slice(offset, offset + WINDOW);
  const lineStart = offset - before.length + before.lastIndexOf('\n') + 1;
  const found = after.indexOf('\n');
  if (lineStart > 0 && !before.includes('\n')) return null;
  const line = file.text.slice(lineStart, found === -1 ? offset + WINDOW : offset + found);
  let last: string | null = null;
  for (const match of line.matchAll(EXPRESSION_MEMBER)) {
    const end = match.index + match[0].length;
    const rest = line.slice(end).trim();
    if (lineStart + match.index > offset || rest === '' || /^[|>]/.test(rest) || QUOTED.test(rest)) continue;
    last = match[2] ?? null;
  }
  return last;
}
