import { MEMBER_KINDS, type MemberKind } from '@pennon/engine/model/customer';
import { LIMITS } from '@pennon/engine/model/limits';
import { DATA_KEY_PATTERN } from '@pennon/protocol/management/customers';
import type { MembersImportOutcome, MembersImportQuery } from '@pennon/protocol/management/memberships';
import type { ChangeContext, Credential } from '../credential.js';
import { ServiceError } from '../service-error.js';
import { isStorableKey } from '../storable-key.js';
import {
  applyMembers,
  checkMemberKind,
  type MembersScope,
  membersScopeOf,
  readSpan,
  type WantedMember,
} from './change-members.js';
import { type Changed, type ContractServices, changeData } from './data-change.js';
import { type ContainerName, checkContainer } from './memberships.js';
import { PublishedItems } from './published-items.js';
import { refuse } from './refusals.js';

/** One line of a file of members, as text; what a column does not say is empty. */
export interface MemberLine {
  readonly line: number;
  readonly kind: string;
  readonly key: string;
  readonly startsAt: string;
  readonly endsAt: string;
  readonly reason: string;
}

/** One transaction each: small enough to hold no lock for long, large enough that a million lines take minutes. */
const LINES_PER_CHANGE = 1000;
/** More refused lines than these are counted and not told. */
const TOLD_FAULTS = 100;

interface WantedLine extends WantedMember {
  readonly line: number;
}

const COUNTED = ['created', 'replaced', 'unchanged', 'removed', 'absent'] as const;

interface Tally {
  created: number;
  replaced: number;
  unchanged: number;
  removed: number;
  absent: number;
  refused: number;
  readonly faults: { line: number; code: string; message: string }[];
}

/**
 * Puts the members of a file in, or takes them out, some lines at a time: a line that is wrong refuses only itself, and what
 * was taken stands when the rest never comes. The same file again changes nothing.
 */
export async function importMembers(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: ContainerName,
  query: MembersImportQuery,
  lines: AsyncIterable<MemberLine>,
): Promise<Changed<MembersImportOutcome>> {
  const scope = membersScopeOf(services, credential, named);
  const tally: Tally = {
    created: 0,
    replaced: 0,
    unchanged: 0,
    removed: 0,
    absent: 0,
    refused: 0,
    faults: [],
  };
  const mode = query.mode ?? 'put';
  let batch = new Map<string, WantedLine>();
  // Each batch is a change of its own, and none of them is what the call answers.
  const { call: _call, ...ofBatch } = context;
  let consistency = await flush(services, ofBatch, scope, mode, batch, tally);
  try {
    for await (const line of lines) {
      const wanted = readLine(line, scope, query.reason, tally);
      if (wanted === null) continue;
      const name = nameOf(wanted.member);
      // A member that comes twice is said anew by its later line.
      if (batch.size >= LINES_PER_CHANGE || batch.has(name)) {
        consistency = await flush(services, ofBatch, scope, mode, batch, tally);
        batch = new Map();
      }
      batch.set(name, wanted);
    }
  } catch (error) {
    if (!(error instanceof UnreadableLine)) throw error;
    refuseLine(tally, error.line, error.code, error.message);
  }
  if (batch.size > 0) consistency = await flush(services, ofBatch, scope, mode, batch, tally);
  return { item: tally, created: false, consistency };
}

/** What follows cannot be told apart into lines any more. */
export class UnreadableLine extends Error {
  readonly line: number;
  readonly code: string;

  constructor(line: number, code: string, message: string) {
    super(message);
    this.line = line;
    this.code = code;
  }
}

async function flush(
  services: ContractServices,
  context: ChangeContext,
  scope: MembersScope,
  mode: 'put' | 'remove',
  batch: ReadonlyMap<string, WantedLine>,
  tally: Tally,
): Promise<string> {
  const all = [...batch.values()];
  const { item: applied, consistency } = await changeData(
    services,
    context,
    scope.environment.id,
    async (change) => {
      const items = await PublishedItems.open(change.transaction, scope.product, scope.environment);
      await checkContainer(items, scope.container);
      const wanted =
        mode === 'put' ? { put: all, remove: [] } : { put: [], remove: all.map(({ member }) => member) };
      return { item: await applyMembers(change, scope, wanted), created: false };
    },
  );
  for (const name of COUNTED) tally[name] += applied.outcome[name];
  for (const { member, error } of applied.refused) {
    refuseLine(tally, batch.get(nameOf(member))?.line ?? 0, error.code, error.message);
  }
  return consistency;
}

function readLine(
  line: MemberLine,
  { container }: MembersScope,
  reason: string,
  tally: Tally,
): WantedLine | null {
  try {
    const kind = readKind(line.kind, container.kind);
    const key = readKey(line.key);
    const span = readSpan(
      {
        ...(line.startsAt === '' ? {} : { startsAt: line.startsAt }),
        endsAt: line.endsAt === '' ? null : line.endsAt,
      },
      '',
    );
    return { line: line.line, member: { kind, key }, ...span, reason: readReason(line.reason, reason) };
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    refuseLine(tally, line.line, error.code, error.message);
    return null;
  }
}

function nameOf({ kind, key }: WantedMember['member']): string {
  return `${kind}/${key}`;
}

function refuseLine(tally: Tally, line: number, code: string, message: string): void {
  tally.refused += 1;
  if (tally.faults.length < TOLD_FAULTS) tally.faults.push({ line, code, message });
}

function readKind(text: string, container: 'group' | 'segment'): MemberKind {
  const kind = text === '' && container === 'group' ? 'customer' : text;
  const found = MEMBER_KINDS.find((one) => one === kind);
  if (found === undefined) {
    throw refuse(
      'unprocessable',
      'MEMBER_KIND_UNKNOWN',
      `\`${kind.slice(0, 40)}\` is no kind of member. It is one of ${MEMBER_KINDS.map((one) => `\`${one}\``).join(', ')}.`,
      'kind',
    );
  }
  checkMemberKind(container, found, 'kind');
  return found;
}

const KEY = new RegExp(DATA_KEY_PATTERN);

function readKey(text: string): string {
  if (text.length > LIMITS.keyLength.value || !KEY.test(text) || !isStorableKey(text)) {
    throw refuse(
      'unprocessable',
      'MEMBER_KEY_REFUSED',
      `A key has 1 to ${LIMITS.keyLength.value} characters: no control characters, no space at its ends, none of \`/ \\ ; %\`.`,
      'key',
    );
  }
  return text;
}

function readReason(text: string, otherwise: string): string {
  if (text === '') return otherwise;
  if (text.length > LIMITS.textLength.value || text.trim() === '') {
    throw refuse(
      'unprocessable',
      'REASON_REFUSED',
      `A reason has 1 to ${LIMITS.textLength.value} characters, not only spaces. Leave it out to use the call's.`,
      'reason',
    );
  }
  return text;
}
