import { Readable } from 'node:stream';
import type { MemberKind } from '@pennon/engine/model/customer';
import { PreconditionHeadersSchema, ReasonQuerySchema } from '@pennon/protocol/management/common';
import {
  type ApiMembership,
  ContainerParamsSchema,
  GroupMemberParamsSchema,
  MembersChangeSchema,
  MembershipListQuerySchema,
  MembershipPageSchema,
  MembershipSchema,
  MembershipWriteSchema,
  MembersImportOutcomeSchema,
  MembersImportQuerySchema,
  MembersOutcomeSchema,
  SegmentMemberParamsSchema,
} from '@pennon/protocol/management/memberships';
import { type Static, Type } from 'typebox';
import { changeMembers } from '../../service/contracts/change-members.js';
import type { ContractServices } from '../../service/contracts/data-change.js';
import { importMembers } from '../../service/contracts/import-members.js';
import {
  type ContainerName,
  exportMembers,
  getMember,
  listMembers,
  type MembershipName,
  putMember,
  removeMember,
} from '../../service/contracts/memberships.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { toCsvLine } from '../csv.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { MEMBER_CSV_HEADING, readMemberCsv } from '../member-csv.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged, sendRemoved } from '../send-changed.js';
import { bodyOf } from '../streamed-body.js';

const config = { access: ['admin'] } as const;
const tags = ['Memberships'];

/** Groups hold customers; segments hold customers, teams, users and instances. */
export function registerMembershipRoutes(app: App, services: ContractServices): void {
  registerContainerRoutes(app, services, 'group');
  registerContainerRoutes(app, services, 'segment');
}

type ContainerParams = Static<typeof ContainerParamsSchema>;

interface MemberParams extends ContainerParams {
  readonly kind: MemberKind;
  readonly member: string;
}

function registerContainerRoutes(app: App, services: ContractServices, kind: 'group' | 'segment'): void {
  const LIST = `/api/v1/environments/:environment/products/:product/${kind}s/:key/members`;
  const ONE = `${LIST}/:kind/:member`;
  const Name = kind === 'group' ? 'Group' : 'Segment';
  const params = kind === 'group' ? GroupMemberParamsSchema : SegmentMemberParamsSchema;
  const containerOf = ({ environment, product, key }: ContainerParams): ContainerName => ({
    environment,
    product,
    container: { kind, key },
  });
  const nameOf = (sent: MemberParams): MembershipName => ({
    ...containerOf(sent),
    member: { kind: sent.kind, key: sent.member },
  });

  app.get(
    LIST,
    {
      config,
      schema: {
        operationId: `list${Name}Members`,
        tags,
        summary: `List the members of a ${kind}`,
        params: ContainerParamsSchema,
        querystring: MembershipListQuerySchema,
        response: { 200: MembershipPageSchema, ...PROBLEMS },
      },
    },
    (request) => {
      const named = containerOf(request.params);
      return listMembers(services, credentialOf(request), named, request.query);
    },
  );

  app.post(
    LIST,
    {
      config,
      schema: {
        operationId: `change${Name}Members`,
        tags,
        summary: `Put many members into a ${kind} and take many out, all of them or none`,
        params: ContainerParamsSchema,
        body: MembersChangeSchema,
        response: { 200: MembersOutcomeSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const named = containerOf(request.params);
      return sendChanged(
        reply,
        await changeMembers(services, credentialOf(request), context, named, request.body),
      );
    },
  );

  app.post(
    `${LIST}/import`,
    {
      config: { ...config, body: 'csv' },
      schema: {
        operationId: `import${Name}Members`,
        tags,
        summary: `Put the members of a CSV file into a ${kind}, or take them out`,
        description:
          'The first line names the columns: `kind`, `key`, `startsAt`, `endsAt`, `reason`. A wrong line refuses only itself; what was taken stands when the rest never comes, and the same file again changes nothing.',
        consumes: ['text/csv'],
        params: ContainerParamsSchema,
        querystring: MembersImportQuerySchema,
        response: { 200: MembersImportOutcomeSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { query } = request;
      const context = changeContextOf(request, query.reason);
      const named = containerOf(request.params);
      const lines = readMemberCsv(bodyOf(request));
      return sendChanged(
        reply,
        await importMembers(services, credentialOf(request), context, named, query, lines),
      );
    },
  );

  app.get(
    `${LIST}/export`,
    {
      config,
      schema: {
        operationId: `export${Name}Members`,
        tags,
        summary: `Every member of a ${kind} as CSV`,
        produces: ['text/csv'],
        params: ContainerParamsSchema,
        response: { 200: Type.String(), ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const pages = exportMembers(services, credentialOf(request), containerOf(request.params));
      // The framework sends a stream as it is; the schema says what is in it.
      return reply.type('text/csv; charset=utf-8').send(Readable.from(toCsv(pages)) as unknown as string);
    },
  );

  app.get(
    ONE,
    {
      config,
      schema: {
        operationId: `read${Name}Member`,
        tags,
        summary: `Read one membership of a ${kind}`,
        params,
        response: { 200: MembershipSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const member = await getMember(services, credentialOf(request), nameOf(request.params));
      return sendWithEtag(request, reply, member.version, member);
    },
  );

  app.put(
    ONE,
    {
      config,
      schema: {
        operationId: `put${Name}Member`,
        tags,
        summary: `Put a member into a ${kind}, for a time or until it is taken out`,
        params,
        headers: PreconditionHeadersSchema,
        body: MembershipWriteSchema,
        response: { 200: MembershipSchema, 201: MembershipSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const named = nameOf(request.params);
      const precondition = preconditionOf(request);
      return sendChanged(
        reply,
        await putMember(services, credentialOf(request), context, named, request.body, precondition),
      );
    },
  );

  app.delete(
    ONE,
    {
      config,
      schema: {
        operationId: `remove${Name}Member`,
        tags,
        summary: `Take a member out of a ${kind}`,
        params,
        headers: PreconditionHeadersSchema,
        querystring: ReasonQuerySchema,
        response: { 204: Type.Null(), ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.query.reason);
      const named = nameOf(request.params);
      const precondition = preconditionOf(request);
      return sendRemoved(
        reply,
        await removeMember(services, credentialOf(request), context, named, precondition),
      );
    },
  );
}

async function* toCsv(pages: AsyncIterable<readonly ApiMembership[]>): AsyncGenerator<string> {
  yield MEMBER_CSV_HEADING;
  for await (const page of pages) yield page.map(toLine).join('');
}

function toLine({ member, startsAt, endsAt, reason }: ApiMembership): string {
  return toCsvLine([member.kind, member.key, startsAt, endsAt ?? '', reason]);
}
