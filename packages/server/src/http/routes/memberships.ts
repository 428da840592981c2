import type { MemberKind } from '@pennon/engine/model/customer';
import { PreconditionHeadersSchema, ReasonQuerySchema } from '@pennon/protocol/management/common';
import {
  ContainerParamsSchema,
  GroupMemberParamsSchema,
  MembershipListQuerySchema,
  MembershipPageSchema,
  MembershipSchema,
  MembershipWriteSchema,
  SegmentMemberParamsSchema,
} from '@pennon/protocol/management/memberships';
import { Type } from 'typebox';
import type { ContractServices } from '../../service/contracts/data-change.js';
import {
  getMember,
  listMembers,
  type MembershipName,
  putMember,
  removeMember,
} from '../../service/contracts/memberships.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged, sendRemoved } from '../send-changed.js';

const config = { access: ['admin'] } as const;
const tags = ['Memberships'];

/** Groups hold customers; segments hold customers, teams, users and instances. */
export function registerMembershipRoutes(app: App, services: ContractServices): void {
  registerContainerRoutes(app, services, 'group');
  registerContainerRoutes(app, services, 'segment');
}

interface MemberParams {
  readonly environment: string;
  readonly product: string;
  readonly key: string;
  readonly kind: MemberKind;
  readonly member: string;
}

function registerContainerRoutes(app: App, services: ContractServices, kind: 'group' | 'segment'): void {
  const LIST = `/api/v1/environments/:environment/products/:product/${kind}s/:key/members`;
  const ONE = `${LIST}/:kind/:member`;
  const Name = kind === 'group' ? 'Group' : 'Segment';
  const params = kind === 'group' ? GroupMemberParamsSchema : SegmentMemberParamsSchema;
  const nameOf = (sent: MemberParams): MembershipName => ({
    environment: sent.environment,
    product: sent.product,
    container: { kind, key: sent.key },
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
      const { environment, product, key } = request.params;
      const named = { environment, product, container: { kind, key } };
      return listMembers(services, credentialOf(request), named, request.query);
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
