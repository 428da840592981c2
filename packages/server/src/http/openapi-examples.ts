import { readdirSync, readFileSync } from 'node:fs';

/**
 * One call of the scenario in `packages/server/openapi-examples`: the files in the order of their names, each a list of calls in
 * the order in which they are made. Documented is the first call of an operation; a test makes all of them.
 */
export interface OpenApiExample {
  readonly operation: string;
  /** Whose key makes the call; default: an admin's where the operation takes it. */
  readonly as?: 'admin' | 'server' | 'client';
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** A text where it is not JSON. */
  readonly body?: unknown;
  /** Absent until it is recorded. */
  readonly answer?: { readonly status: number; readonly body?: unknown };
  /** Numbers and texts of the answer differ from call to call; the test compares its shape only. */
  readonly volatile?: boolean;
  /** Called again until its answer says this: what it tells of goes on in the background. */
  readonly until?: Readonly<Record<string, unknown>>;
  /** What the id of the answer is to be called, for the calls that follow; only until the answer is recorded. */
  readonly id?: string;
}

const FOLDER = new URL('../../openapi-examples/', import.meta.url);

/** The calls of the scenario by file, in order. */
export function readOpenApiExamples(): ReadonlyMap<string, readonly OpenApiExample[]> {
  const names = readdirSync(FOLDER)
    .filter((name) => name.endsWith('.json'))
    .sort();
  return new Map(names.map((name) => [name, JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8'))]));
}

interface Media {
  content?: Record<string, { example?: unknown }>;
}
interface Described {
  operationId?: string;
  parameters?: { name: string; in: string; example?: unknown }[];
  requestBody?: Media;
  responses?: Record<string, Media>;
}

/** Puts the examples into the document, in place: parameters, body, and the answer that it gets. */
export function addOpenApiExamples(document: { readonly paths?: object }): void {
  const examples = new Map<string, OpenApiExample>();
  for (const example of [...readOpenApiExamples().values()].flat()) {
    if (!examples.has(example.operation)) examples.set(example.operation, example);
  }
  for (const methods of Object.values(document.paths ?? {})) {
    for (const described of Object.values(methods as Record<string, Described>)) {
      const example = examples.get(described.operationId ?? '');
      if (example !== undefined) describe(described, example);
    }
  }
}

function describe(described: Described, { path, query, headers, body, answer }: OpenApiExample): void {
  const values = { path, query, header: headers } as Readonly<
    Record<string, Record<string, unknown> | undefined>
  >;
  for (const parameter of described.parameters ?? []) {
    const value = values[parameter.in]?.[parameter.name];
    if (value !== undefined) parameter.example = value;
  }
  if (body !== undefined) {
    show(described.requestBody, headers?.['content-type'] ?? 'application/json', body);
  }
  if (answer?.body !== undefined) {
    show(described.responses?.[answer.status], null, answer.body);
  }
}

/** @param mediaType `null`: the only one. */
function show(media: Media | undefined, mediaType: string | null, example: unknown): void {
  const content = media?.content ?? {};
  const shown = content[mediaType ?? Object.keys(content)[0] ?? ''];
  if (shown !== undefined) shown.example = example;
}
