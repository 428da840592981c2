import { createHash } from 'node:crypto';
import type { OpenApiExample } from '@pennon/server/http/openapi-examples';
import type { TestResponse } from '@pennon/testkit/test-server';

/** What the document says of one operation. */
export interface Described {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly access: 'public' | readonly string[];
  readonly isChange: boolean;
  /** It takes `If-Match`. */
  readonly guarded: boolean;
  /** The path names the item that it changes. */
  readonly isItem: boolean;
  readonly lacks: readonly string[];
}

interface Media {
  readonly content?: Readonly<
    Record<string, { readonly example?: unknown; readonly schema?: { type?: string } }>
  >;
}
interface RawOperation {
  readonly operationId: string;
  readonly 'x-pennon-access': Described['access'];
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly example?: unknown }[];
  readonly requestBody?: Media;
  readonly responses: Readonly<Record<string, Media>>;
}

export function describedOf(document: {
  readonly paths: Readonly<Record<string, Readonly<Record<string, RawOperation>>>>;
}): ReadonlyMap<string, Described> {
  const found = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => describe(path, method, operation)),
  );
  return new Map(found.map((one) => [one.id, one]));
}

function describe(path: string, method: string, operation: RawOperation): Described {
  const { parameters = [], requestBody, responses } = operation;
  const takes = (name: string) => parameters.some((one) => one.in === 'header' && one.name === name);
  const shows = (media: Media) => Object.values(media.content ?? {}).some((one) => 'example' in one);
  const answers = Object.entries(responses).filter(([code]) => /^2/.test(code));
  const isAnswered = answers.some(
    ([code, media]) => shows(media) || (code === '204' && answers.length === 1),
  );
  const unnamed = parameters.filter((one) => one.in === 'path' && !('example' in one));
  return {
    id: operation.operationId,
    method: method.toUpperCase(),
    path,
    access: operation['x-pennon-access'],
    isChange: path.startsWith('/api/') && takes('idempotency-key'),
    guarded: takes('if-match'),
    isItem: method !== 'post' || !/\/[a-z-]+s$/.test(path),
    lacks: [
      ...unnamed.map(({ name }) => `parameter \`${name}\``),
      ...(requestBody === undefined || shows(requestBody) ? [] : ['body']),
      ...(isAnswered || answers.some(([code]) => code === '204') ? [] : ['answer']),
    ],
  };
}

const ID = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}/;

/** The ids of the examples stand for those that this server makes. */
export class Names {
  readonly #actual = new Map<string, string>();
  readonly #shown = new Map<string, string>();

  bind(shown: string, actual: string): boolean {
    const bound = this.#actual.get(shown);
    if (bound !== undefined) return bound === actual;
    this.#actual.set(shown, actual);
    this.#shown.set(actual, shown);
    return true;
  }

  /** The id that stands for it in the files; made from where it was first seen, so that no two files make the same. */
  shownOf(actual: string, where: string): string {
    const known = this.#shown.get(actual);
    if (known !== undefined) return known;
    const hex = createHash('sha256').update(where).digest('hex');
    const shown = `0190a6f0-7c1e-7${hex.slice(0, 3)}-8${hex.slice(3, 6)}-${hex.slice(6, 18)}`;
    this.bind(shown, actual);
    return shown;
  }

  resolve(example: OpenApiExample): OpenApiExample {
    const { answer: _, until: __, ...sent } = example;
    return JSON.parse(JSON.stringify(sent).replace(ID, (id) => this.#actual.get(id) ?? id));
  }
}

/** What of an answer is unlike its example. `…` in a text stands for anything; times are as good as any other. */
export function matchAnswer(names: Names, example: OpenApiExample, answer: TestResponse): readonly string[] {
  const { status, body } = example.answer ?? { status: 0 };
  if (answer.status !== status) {
    return [`answered ${answer.status} instead of ${status}: ${answer.text.slice(0, 1000)}`];
  }
  if (body === undefined) return answer.text === '' ? [] : [`answered with a body: ${answer.text}`];
  const faults: string[] = [];
  compare(body, typeof body === 'string' ? answer.text : answer.body, '');
  return faults.length === 0 ? [] : [...faults, `The answer was ${answer.text.slice(0, 4000)}`];

  function compare(shown: unknown, actual: unknown, at: string): void {
    if (typeof shown === 'string' && typeof actual === 'string') {
      if (!sameText(shown, actual)) faults.push(`${at}: "${actual}" instead of "${shown}"`);
    } else if (Array.isArray(shown) && Array.isArray(actual)) {
      if (shown.length !== actual.length && !example.volatile)
        faults.push(`${at}: ${actual.length} instead of ${shown.length}`);
      for (const [index, one] of shown.slice(0, actual.length).entries()) {
        compare(one, actual[index], `${at}/${index}`);
      }
    } else if (isObject(shown) && isObject(actual)) {
      for (const name of new Set([...Object.keys(shown), ...Object.keys(actual)])) {
        if (!(name in shown && name in actual)) faults.push(`${at}/${name}: only on one side`);
        else compare(shown[name], actual[name], `${at}/${name}`);
      }
    } else if (typeof shown !== typeof actual || (shown !== actual && !example.volatile)) {
      faults.push(`${at}: ${JSON.stringify(actual)} instead of ${JSON.stringify(shown)}`);
    }
  }

  function sameText(shown: string, actual: string): boolean {
    if (shown === actual) return true;
    if (example.volatile) {
      // An id that the following calls name is made anew each time all the same.
      const made = actual.match(ID) ?? [];
      for (const [index, id] of (shown.match(ID) ?? []).entries()) names.bind(id, made[index] ?? '');
      return true;
    }
    if (shown.replace(ID, '') === actual.replace(ID, '') && shown.search(ID) >= 0) {
      const made = actual.match(ID) ?? [];
      return (shown.match(ID) ?? []).every((id, index) => names.bind(id, made[index] ?? ''));
    }
    if (TIME.test(shown) && TIME.test(actual)) return true;
    const parts = shown.split('…');
    return parts.length === 2 && actual.startsWith(parts[0] ?? '') && actual.endsWith(parts[1] ?? '');
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Differ from run to run, or are none of a reader's business. */
const NOT_SHOWN: ReadonlySet<string> = new Set([
  'x',
  'd',
  'privatePem',
  'secret',
  'hint',
  'nextCursor',
  'code',
  'codes',
  'requestId',
  'sha256',
]);
const SHOWN_TIME = '2026-11-02T09:30:00.000Z';

export function recordAnswer(
  names: Names,
  example: OpenApiExample,
  answer: TestResponse,
  where: string,
): NonNullable<OpenApiExample['answer']> {
  if (answer.status >= 300) throw new Error(`${where} answered ${answer.status}: ${answer.text}`);
  if (answer.text === '') return { status: answer.status };
  const sent = JSON.stringify(names.resolve(example));
  if (example.id !== undefined) names.bind(example.id, answer.body.id);
  const body = answer.body === null ? answer.text : show(answer.body, '', '');
  return { status: answer.status, body };

  function show(value: unknown, name: string, at: string): unknown {
    if (typeof value === 'string') return showText(value, name, at);
    if (Array.isArray(value)) return value.map((one, index) => show(one, name, `${at}/${index}`));
    if (!isObject(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([member, one]) => [member, show(one, member, `${at}/${member}`)]),
    );
  }

  function showText(text: string, name: string, at: string): string {
    if (/^pennon_(admin|server|client)_/.test(text)) return `${text.split('_', 2).join('_')}_…`;
    if (NOT_SHOWN.has(name) && !sent.includes(JSON.stringify(text))) return '…';
    if (text.search(ID) >= 0) return text.replace(ID, (id) => names.shownOf(id, `${where}${at}`));
    if (TIME.test(text) && !sent.includes(text)) {
      return SHOWN_TIME + (text.includes('[') ? text.slice(text.indexOf('[')) : '');
    }
    return text;
  }
}
