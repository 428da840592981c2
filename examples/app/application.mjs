import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OpenFeature } from '@openfeature/server-sdk';
import Fastify from 'fastify';
import { limitsOf, meter } from './limits.mjs';
import { screen } from './screen.mjs';

/**
 * A sales application. There is no plan in it: it asks whether something is on (OpenFeature) and whether there is room
 * (OEP), and the same code serves every plan. Who is signed in comes from a header here; yours comes from a session.
 */
export async function createApplication({ pennonUrl, serverKey, domain = 'sales' }) {
  await OpenFeature.setProviderAndWait(
    domain,
    new OFREPProvider({ baseUrl: pennonUrl, headers: [['Authorization', `Bearer ${serverKey}`]] }),
  );
  const flags = OpenFeature.getClient(domain);
  const limits = limitsOf({ pennonUrl, serverKey });
  const application = Fastify();
  const professionals = new Map();

  const customerOf = (request) => request.headers['x-customer'] ?? request.query.customer ?? 'visitor';
  const subjectOf = (request) => ({ targetingKey: customerOf(request), team: { key: customerOf(request) } });
  const isOn = (request, key) => flags.getBooleanValue(key, false, subjectOf(request));

  /** Refuses in the backend, whatever the screen showed. */
  const requires = (key, what) => async (request, reply) => {
    if (!(await isOn(request, key))) {
      return reply
        .code(403)
        .send({ error: `${what} is not part of your plan`, feature: key, upgrade: '/upgrade' });
    }
  };

  application.get('/', async (request, reply) => {
    const customer = customerOf(request);
    const keys = [
      'features.smart-send-times',
      'advanced-reporting',
      'advanced-analytics-v2-ui',
      'ai-assistant-screen',
    ];
    const details = await Promise.all(
      keys.map((key) => flags.getBooleanDetails(key, false, subjectOf(request))),
    );
    const gates = Object.fromEntries(details.map(({ flagKey, value }) => [flagKey, value]));
    // What was not bought is offered; what is only being rolled out is none of the customer's business yet.
    const locked = details
      .filter(
        ({ value, flagMetadata }) => !value && ['NOT_ENTITLED', 'ENTITLEMENT'].includes(flagMetadata.cause),
      )
      .map(({ flagKey }) => flagKey);
    const meters = {
      'Calling minutes': meter(await limits.read(customer, 'calling-minutes')),
      Professionals: meter(await limits.read(customer, 'max_professionals')),
      'Assistant tokens': meter(await limits.read(customer, 'ai-tokens-per-month')),
    };
    if ((request.headers.accept ?? '').includes('application/json'))
      return { customer, gates, locked, meters };
    return reply.type('text/html; charset=utf-8').send(screen({ customer, gates, locked, meters }));
  });

  application.post('/calls', async (request, reply) => {
    const answer = await limits.consume(customerOf(request), 'calling-minutes', {
      amount: request.body.minutes,
      idempotencyKey: request.headers['idempotency-key'],
    });
    if (answer.allowed) return { minutes: answer.consumed, used: meter(answer.entitlement) };
    return reply.code(402).send({
      error: `No calling minutes left: ${meter(answer.entitlement)}. Upgrade, or wait until they are refilled.`,
      resetsAt: answer.entitlement.period?.end ?? null,
    });
  });

  application.post('/professionals', async (request, reply) => {
    const customer = customerOf(request);
    const answer = await limits.consume(customer, 'max_professionals', { amount: 1 });
    if (!answer.allowed) {
      return reply
        .code(402)
        .send({ error: `You are using ${meter(answer.entitlement)} professionals. Upgrade to add more.` });
    }
    const list = professionals.get(customer) ?? [];
    professionals.set(customer, [...list, request.body.name]);
    return reply.code(201).send({ name: request.body.name, used: meter(answer.entitlement) });
  });

  application.delete('/professionals/:name', async (request, reply) => {
    const customer = customerOf(request);
    const list = professionals.get(customer) ?? [];
    if (!list.includes(request.params.name)) return reply.code(404).send({ error: 'no such professional' });
    professionals.set(
      customer,
      list.filter((name) => name !== request.params.name),
    );
    await limits.release(customer, 'max_professionals', 1);
    return reply.code(204).send();
  });

  application.get(
    '/reports/export',
    { preHandler: requires('can_export_reports', 'Exporting reports') },
    async (request, reply) => reply.type('text/csv').send(`customer,revenue\n${customerOf(request)},42\n`),
  );

  application.post(
    '/users/:user/role',
    { preHandler: requires('can_change_roles', 'Changing roles') },
    async (request) => ({ user: request.params.user, role: request.body.role }),
  );

  application.post(
    '/assistant',
    { preHandler: requires('ai-assistant-screen', 'The assistant') },
    async (request, reply) => {
      const answer = await limits.consume(customerOf(request), 'ai-tokens-per-month', {
        attributes: { model: 'large', tokens_in: request.body.tokensIn, tokens_out: request.body.tokensOut },
      });
      if (answer.allowed) return { tokens: answer.consumed, used: meter(answer.entitlement) };
      return reply
        .code(402)
        .send({ error: `The assistant has used its tokens: ${meter(answer.entitlement)}` });
    },
  );

  return application;
}
