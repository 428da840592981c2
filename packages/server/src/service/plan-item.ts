import { IssueSink } from '@pennon/engine/catalog/issue-sink';
import { parseCatalogItem } from '@pennon/engine/catalog/parse-catalog';
import { readJson } from '@pennon/engine/catalog/read-json';
import { sourceFile } from '@pennon/engine/catalog/source-node';
import type { JsonObject, JsonValue } from '@pennon/engine/model/json';
import { isJsonObject } from '@pennon/engine/model/json';
import { itemId } from '../store/catalog-rows.js';
import { lastPosition } from './assign-positions.js';
import { toFaultItem } from './catalog-fault.js';
import { catalogOf, type LiveItem } from './catalog-items.js';
import { changeOf, type LiveItems, removalOf, wantedOf } from './merge-document.js';
import type { EditOutcome } from './plan-edit.js';
import type { ItemEdit, PlanRequest, Refusal } from './publish-plan.js';
import type { FaultItem } from './service-error.js';

const NOTHING = { changes: [], conflicts: [], lacking: [], warnings: [] } as const;

/** One item created, replaced, patched or deleted on the head. */
export function planItem(request: PlanRequest, edit: ItemEdit, head: LiveItems): EditOutcome {
  const named = edit.key === null ? undefined : head.get(itemId({ kind: edit.kind, key: edit.key }));
  if (edit.key !== null) {
    const refused = precondition(edit, edit.key, named, head);
    if (refused !== null) return refused;
  }
  if (edit.method === 'delete') {
    return named === undefined
      ? refusal('not-found', missing(edit, head))
      : { ...NOTHING, changes: [removalOf(named)], errors: [], refusal: null };
  }
  const text = edit.method === 'patch' ? patchedText(edit, named) : { text: edit.file.text };
  if ('fault' in text) return refusal('invalid-document', text.fault);
  return written(request, edit, text.text, head);
}

function written(request: PlanRequest, edit: ItemEdit, text: string, head: LiveItems): EditOutcome {
  const options = { known: catalogOf(head.values()), environments: request.environments };
  const parsed = parseCatalogItem(edit.kind, text, options);
  const faults = parsed.issues.map((issue) => ({ issue, fault: located(edit, toFaultItem(issue)) }));
  const errors = faults.filter(({ issue }) => issue.severity === 'error').map(({ fault }) => fault);
  const warnings = faults.filter(({ issue }) => issue.severity !== 'error').map(({ fault }) => fault);
  if (parsed.item === null || parsed.key === null) {
    return { ...NOTHING, errors, refusal: 'invalid-document', warnings };
  }
  if (edit.key !== null && parsed.key !== edit.key) {
    return refusal('invalid-document', {
      code: 'OTHER_KEY',
      message: `The body is of \`${parsed.key}\` and was sent to \`${edit.key}\`; a key cannot be changed. Send the same one in both, or create a new item.`,
      pointer: '/key',
    });
  }
  const wanted = wantedOf(parsed.item);
  const live = head.get(itemId(wanted));
  if (edit.key === null && live !== undefined) {
    return refusal('exists', {
      code: 'ALREADY_EXISTS',
      message: `The ${edit.kind} \`${parsed.key}\` exists already; change it with PUT and \`If-Match\`.`,
      pointer: '/key',
    });
  }
  if (live?.hash === wanted.hash) return { ...NOTHING, errors: [], refusal: null, warnings };
  const sameKind = [...head.values()].filter((item) => item.kind === edit.kind);
  const position = live?.position ?? lastPosition(sameKind.map((item) => item.position));
  return { ...NOTHING, changes: [changeOf(wanted, live, position)], errors: [], refusal: null, warnings };
}

/** The place in a patched text is not a place in what was sent; the pointer is. */
function located(edit: ItemEdit, fault: FaultItem): FaultItem {
  if (edit.method !== 'patch') return fault;
  const { file: _file, line: _line, column: _column, ...rest } = fault;
  return rest;
}

function precondition(
  edit: ItemEdit,
  key: string,
  live: LiveItem | undefined,
  head: LiveItems,
): EditOutcome | null {
  const { precondition: wanted } = edit;
  if (live === undefined) {
    const creates = edit.method === 'replace' && (wanted.kind === 'none' || wanted.kind === 'absent');
    if (creates) return null;
    if (wanted.kind === 'none' || edit.method === 'patch' || edit.method === 'delete') {
      return refusal('not-found', missing(edit, head));
    }
    return conflict(edit, key, live);
  }
  if (wanted.kind === 'none') {
    return refusal('precondition-required', {
      code: 'PRECONDITION_REQUIRED',
      message: `The ${edit.kind} \`${key}\` exists. To change it, send \`If-Match\` with the \`ETag\` that you read, or \`If-Match: *\` to overwrite whatever is there.`,
    });
  }
  const matches = wanted.kind === 'exists' || (wanted.kind === 'match' && wanted.tags.includes(live.hash));
  return matches ? null : conflict(edit, key, live);
}

function conflict(edit: ItemEdit, key: string, live: LiveItem | undefined): EditOutcome {
  return {
    ...NOTHING,
    errors: [],
    refusal: 'conflict',
    conflicts: [
      {
        kind: edit.kind,
        key,
        mine: edit.method === 'delete' ? null : textAsJson(edit.file.text),
        theirs: live === undefined ? null : (live.document as JsonValue),
        theirHash: live?.hash ?? null,
      },
    ],
  };
}

function missing(edit: ItemEdit, head: LiveItems): FaultItem {
  const versioned = edit.kind === 'plan' || edit.kind === 'addon';
  const versions =
    versioned && edit.key !== null && !edit.key.includes('@')
      ? [...head.values()].filter((item) => item.kind === edit.kind && item.key.startsWith(`${edit.key}@`))
      : [];
  const hint =
    versions.length > 0
      ? `name one of its versions: ${versions.map((item) => `\`${item.key}\``).join(', ')}`
      : 'list what there is, or create it with PUT';
  return {
    code: 'ITEM_NOT_FOUND',
    message: `The ${edit.kind} \`${edit.key ?? ''}\` does not exist; ${hint}.`,
  };
}

function refusal(kind: Refusal, fault: FaultItem): EditOutcome {
  return { ...NOTHING, errors: [fault], refusal: kind };
}

function textAsJson(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return text;
  }
}

/** RFC 7396: members of the patch replace those of the item, `null` removes one, objects are merged. */
function patchedText(
  edit: ItemEdit,
  live: LiveItem | undefined,
): { readonly text: string } | { readonly fault: FaultItem } {
  const issues = new IssueSink();
  readJson(sourceFile(edit.file.name, edit.file.text), issues);
  const [fault] = issues.sorted([edit.file]);
  if (fault !== undefined) return { fault: toFaultItem(fault) };
  const patch = textAsJson(edit.file.text);
  if (!isJsonObject(patch) || live === undefined) {
    const message = 'A patch is a JSON object with the members to change; `null` removes a member.';
    return { fault: { code: 'SYNTAX', message, file: edit.file.name, line: 1, column: 1 } };
  }
  return { text: JSON.stringify(mergePatch(live.document as JsonObject, patch, 0)) };
}

/** Deeper than any item may be: what is nested further is refused by the parser afterwards. */
const MAXIMUM_DEPTH = 64;

function mergePatch(target: JsonValue | undefined, patch: JsonValue, depth: number): JsonValue {
  if (!isJsonObject(patch) || depth > MAXIMUM_DEPTH) return patch;
  const merged = new Map<string, JsonValue>(isJsonObject(target) ? Object.entries(target) : []);
  for (const [member, value] of Object.entries(patch)) {
    if (value === null) merged.delete(member);
    else merged.set(member, mergePatch(merged.get(member), value, depth + 1));
  }
  return Object.fromEntries(merged);
}
