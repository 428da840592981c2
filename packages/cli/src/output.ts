import type { IssueSeverity } from '@pennon/engine/catalog/issue';

/** Where a command writes. Answers go to standard output, everything said about them to standard error. */
export interface Output {
  print(line: string): void;
  note(line: string): void;
  readonly colours: boolean;
}

export function processOutput(environment: NodeJS.ProcessEnv = process.env): Output {
  const noColor = environment.NO_COLOR;
  return {
    print: (line) => process.stdout.write(`${line}\n`),
    note: (line) => process.stderr.write(`${line}\n`),
    colours: process.stderr.isTTY === true && (noColor === undefined || noColor === ''),
  };
}

/** A fault of a document or a word of the linter, at its place. */
export interface Finding {
  readonly code: string;
  readonly severity: IssueSeverity;
  readonly message: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly suggestion?: string;
}

const COLOURS = { error: 31, warning: 33, info: 36 } as const;

export function printJson(output: Output, value: unknown): void {
  output.print(JSON.stringify(value, null, 2));
}

/** `catalog.yaml:12:5 error UNKNOWN_REFERENCE …`: the form that editors and terminals make clickable. */
export function printIssues(output: Output, issues: readonly Finding[]): void {
  for (const issue of issues) {
    const severity = output.colours
      ? `\u001b[${COLOURS[issue.severity]}m${issue.severity}\u001b[0m`
      : issue.severity;
    output.note(`${issue.file}:${issue.line}:${issue.column} ${severity} ${issue.code} ${issue.message}`);
  }
}

export function count(amount: number, one: string, other = `${one}s`): string {
  return `${amount.toLocaleString('en-US')} ${amount === 1 ? one : other}`;
}
