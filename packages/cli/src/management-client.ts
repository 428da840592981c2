import { CommandFailure, type ExitCodeName } from './exit-codes.js';
import type { Connection } from './settings.js';

export interface ProblemItem {
  readonly code: string;
  readonly message: string;
  readonly pointer?: string;
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  readonly suggestion?: string;
}

/** RFC 9457, as the management API sends it. */
export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly errors: readonly ProblemItem[];
}

/** The server answered with a problem; commands print it, and its kind becomes the exit code. */
export class ProblemFailure extends CommandFailure {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(exitCodeOf(problem.status), problem.detail === '' ? problem.title : problem.detail);
    this.problem = problem;
  }
}

function exitCodeOf(status: number): ExitCodeName {
  if (status === 401 || status === 403) return 'unauthorised';
  if (status === 404) return 'notFound';
  if (status === 429 || status >= 500) return 'unavailable';
  return 'invalid';
}

export interface ManagementRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly accept?: string;
  readonly body?: { readonly mediaType: string; readonly text: string };
}

export interface ManagementAnswer {
  readonly text: string;
  /** The catalog's revision, where the answer is a catalog. */
  readonly revision: string | null;
}

/** One call of the management API. Rejects with a CommandFailure that says what to do next. */
export async function callManagement(
  connection: Connection,
  request: ManagementRequest,
): Promise<ManagementAnswer> {
  const response = await send(connection, request);
  const text = await response.text();
  if (response.ok) return { text, revision: response.headers.get('pennon-revision') };
  throw new ProblemFailure(toProblem(response.status, text));
}

/** A long answer as it comes. */
export async function streamManagement(
  connection: Connection,
  path: string,
  accept: string,
): Promise<ReadableStream> {
  const response = await send(connection, { method: 'GET', path, accept });
  if (response.ok && response.body !== null) return response.body;
  throw new ProblemFailure(toProblem(response.status, await response.text()));
}

async function send(connection: Connection, request: ManagementRequest): Promise<Response> {
  const url = new URL(`${connection.url}${request.path}`);
  for (const [name, value] of Object.entries(request.query ?? {})) {
    if (value !== undefined) url.searchParams.set(name, value);
  }
  const headers: Record<string, string> = {
    authorization: `Bearer ${connection.adminKey}`,
    accept: request.accept ?? 'application/json',
  };
  if (request.body !== undefined) headers['content-type'] = request.body.mediaType;
  try {
    return await fetch(url, {
      method: request.method,
      headers,
      ...(request.body === undefined ? {} : { body: request.body.text }),
    });
  } catch (cause) {
    throw new CommandFailure(
      'unavailable',
      `no server answers at ${connection.url} (${reasonOf(cause)}); start one with \`npm start\`, or set PENNON_URL`,
    );
  }
}

export async function callManagementJson<Answer>(
  connection: Connection,
  request: ManagementRequest,
): Promise<Answer> {
  const { text } = await callManagement(connection, request);
  try {
    return JSON.parse(text) as Answer;
  } catch {
    throw new CommandFailure(
      'unavailable',
      `${connection.url} did not answer with JSON; is it a Pennon server?`,
    );
  }
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return cause.cause instanceof Error ? cause.cause.message : cause.message;
}

function toProblem(status: number, text: string): Problem {
  try {
    const parsed = JSON.parse(text) as Partial<Problem>;
    return {
      status,
      code: parsed.code ?? 'UNKNOWN',
      title: parsed.title ?? `status ${status}`,
      detail: parsed.detail ?? '',
      errors: Array.isArray(parsed.errors) ? parsed.errors : [],
    };
  } catch {
    return {
      status,
      code: 'UNKNOWN',
      title: `the server answered with status ${status}`,
      detail: '',
      errors: [],
    };
  }
}
