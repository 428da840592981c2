import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { at, differences } from './match.mjs';

const NEEDS_KEY = /^POST \/oep\/v1\/(consume|release|reservations)(\/|$)/;

/** The cases of `cases/`, in the order in which they are shown. */
export function readCases() {
  const folder = new URL('cases/', import.meta.url);
  const order = ['configuration', 'evaluate', 'errors', 'consume', 'idempotency', 'release', 'limits'];
  const rank = (area) => (order.includes(area) ? order.indexOf(area) : order.length);
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(new URL(name, folder), 'utf8')))
    .sort((one, other) => rank(one.area) - rank(other.area) || (one.area < other.area ? -1 : 1))
    .flatMap(({ area, needs = [], cases }) =>
      cases.map((one) => ({ ...one, area, needs: [...needs, ...(one.needs ?? [])] })),
    );
}

/**
 * Runs the cases one after the other and tells each result. A case has customers of its own, so that none finds what another left.
 * @param ask as `createAsk` makes it
 * @param {{ customers: string[] | null, burst: number, hasClientKey: boolean, only: string }} options
 *   `customers`: keys to be used, one after the other; `null`: new ones are made up.
 * @returns {Promise<{ area: string, name: string, result: 'pass' | 'fail' | 'skip', why: string[] }[]>}
 */
export async function runSuite(ask, cases, options, onResult = () => {}) {
  const run = `oep-${randomUUID().slice(0, 8)}`;
  const given = options.customers === null ? null : [...options.customers];
  let made = 0;
  const newCustomer = () => {
    made += 1;
    if (given === null) return `${run}-${made}`;
    const next = given.shift();
    if (next === undefined) throw new Error('the list of customers is used up; give more of them');
    return next;
  };
  const server = { ask, options, newCustomer, run, present: new Map(), capabilities: {} };
  server.capabilities = await capabilitiesOf(ask);
  await checkFixture(server);
  const results = [];
  for (const one of cases) {
    if (!`${one.area}: ${one.name}`.includes(options.only)) continue;
    const result = { area: one.area, name: one.name, ...(await resultOf(server, one)) };
    results.push(result);
    onResult(result);
  }
  return results;
}

async function capabilitiesOf(ask) {
  const { status, body } = await ask({ method: 'GET', path: '/oep/v1/configuration', credential: 'bearer' });
  if (status !== 200) throw new Error(`GET /oep/v1/configuration answers ${status}: ${JSON.stringify(body)}`);
  return body?.capabilities ?? {};
}

/** Throws where the server lacks what every case builds on, because nothing that fails then says anything about the protocol. */
async function checkFixture({ ask, newCustomer }) {
  const { features } = JSON.parse(readFileSync(new URL('fixture.json', import.meta.url), 'utf8'));
  const text = JSON.stringify({ context: { targetingKey: newCustomer() } });
  const lacks = [];
  for (const { key, optional } of features) {
    if (optional === true) continue;
    const path = `/oep/v1/evaluate/entitlements/${key}`;
    const { status, body } = await ask({ method: 'POST', path, text, credential: 'bearer' });
    if (status === 404 && body?.errorCode === 'CUSTOMER_NOT_FOUND')
      throw new Error(
        'The server knows no new customers. Give it some that have the plan: --customers FILE.',
      );
    if (status === 404) lacks.push(`\`${key}\``);
  }
  if (lacks.length === 0) return;
  throw new Error(
    `The server, or the product of this key, has no ${lacks.join(', ')}. conformance/oep/README.md says what it must have; in Pennon \`npm run conformance:oep:load\` makes it, and prints the key.`,
  );
}

async function resultOf(server, one) {
  try {
    for (const need of one.needs) {
      const lack = await lackOf(server, need);
      if (lack !== null) return { result: 'skip', why: [lack] };
    }
    const state = { ids: new Map(), customers: new Map(), saved: {} };
    for (const [index, step] of one.steps.entries()) {
      const { faults, skip } = await runStep(server, state, step);
      if (faults.length > 0)
        return { result: 'fail', why: faults.map((fault) => `step ${index + 1}: ${fault}`) };
      if (skip !== undefined) return { result: 'skip', why: [skip] };
    }
    return { result: 'pass', why: [] };
  } catch (error) {
    return {
      result: 'fail',
      why: [error instanceof Error ? `${error.message}${causeOf(error)}` : String(error)],
    };
  }
}

function causeOf(error) {
  return error.cause instanceof Error ? ` (${error.cause.message})` : '';
}

/** Why a case cannot be asked of this server, or null. */
async function lackOf(server, need) {
  const { options, capabilities } = server;
  if (need === 'client-key') return options.hasClientKey ? null : 'no --client-key was given';
  if (need === 'burst') return options.burst > 0 ? null : 'no --burst was given';
  if (need === 'new-customers')
    return options.customers === null ? null : 'the customers were given by --customers';
  if (need.startsWith('feature:')) return lackOfFeature(server, need.slice('feature:'.length));
  return capabilities[need] === true ? null : `the server says that it has no \`${need}\``;
}

async function lackOfFeature({ ask, newCustomer, present }, key) {
  if (!present.has(key)) {
    const { status } = await ask({
      method: 'POST',
      path: `/oep/v1/evaluate/entitlements/${key}`,
      text: JSON.stringify({ context: { targetingKey: newCustomer() } }),
      credential: 'bearer',
    });
    present.set(key, status !== 404);
  }
  return present.get(key) ? null : `the catalog has no \`${key}\``;
}

async function runStep(server, state, step) {
  if (step.wait !== undefined) {
    await sleep(step.wait * 1000);
    return { faults: [] };
  }
  if (step.parallel === undefined) return { faults: (await runAsk(server, state, step)).faults };
  const asks = step.parallel.flatMap((one) =>
    Array.from({ length: one.times === '{burst}' ? server.options.burst : (one.times ?? 1) }, () => one),
  );
  const answers = await Promise.all(asks.map((one) => runAsk(server, state, one)));
  const faults = [...new Set(answers.flatMap((one) => one.faults))];
  const bodies = answers.map((one) => one.body);
  for (const all of step.together ?? []) faults.push(...together(bodies, all));
  const refused = answers.some((one) => step.skipUnless?.includes(one.status));
  return step.skipUnless === undefined || refused || faults.length > 0
    ? { faults }
    : { faults, skip: `of ${asks.length} at once none was refused` };
}

/** What must hold of all answers of calls that were made at once. */
function together(bodies, { count, sum, is }) {
  const pointers = sum === undefined ? [] : [sum].flat();
  const found =
    sum === undefined
      ? bodies.filter((body) => differences(body, count).length === 0).length
      : bodies.reduce(
          (total, body) => total + pointers.reduce((part, pointer) => part + (at(body, pointer) ?? 0), 0),
          0,
        );
  const what =
    sum === undefined
      ? `${JSON.stringify(count)} to be answered`
      : `the sum of ${pointers.join(' and ')} to be`;
  return found === is ? [] : [`expected ${what} ${is}${sum === undefined ? ' times' : ''}, got ${found}`];
}

async function runAsk(server, state, step) {
  const fill = (value) => filled(server, state, value);
  const [method, path] = step.ask.split(' ');
  const text =
    step.text === undefined
      ? step.body === undefined
        ? undefined
        : JSON.stringify(fill(step.body))
      : fill(step.text);
  const headers = { ...fill(step.headers ?? {}) };
  if (step.contentType !== undefined) headers['content-type'] = step.contentType;
  if (NEEDS_KEY.test(step.ask) && step.idempotency !== null) {
    headers['idempotency-key'] =
      step.idempotency === undefined ? randomUUID() : fill(`{id:${step.idempotency}}`);
  }
  const request = { method, path: fill(path), headers, text, credential: step.credential ?? 'bearer' };
  const answer = await server.ask(request, { retry: step.retry ?? true });
  const { status, body } = answer;
  const expected = fill(step.expect);
  const faults = [...answer.faults, ...differences(status, expected.status, 'the status')];
  // A body of another status has other members: what it says is worth more than what it lacks.
  if (faults.length > 0)
    return {
      status,
      body,
      faults: faults.map((fault) => `${step.ask}: ${fault}: ${answer.text.slice(0, 300)}`),
    };
  for (const [name, one] of Object.entries(expected.headers ?? {})) {
    // Who had to ask a second time may be told that the first one was done.
    if (name === 'idempotency-replayed' && answer.attempts > 1) continue;
    faults.push(...differences(answer.headers.get(name) ?? undefined, one, `the header ${name}`));
  }
  if (expected.body !== undefined) faults.push(...differences(body, expected.body));
  for (const [name, place] of Object.entries(step.save ?? {})) {
    const [kind, where] = [place.slice(0, place.indexOf(':')), place.slice(place.indexOf(':') + 1)];
    state.saved[name] = kind === 'header' ? answer.headers.get(where) : at(body, where);
  }
  return { status, body, faults: faults.map((fault) => `${step.ask}: ${fault}`) };
}

const PLACE = /\{(customer|id|saved|time)(?:[:.]([^}]*))?\}/g;

/** Fills `{customer}`, `{id:…}`, `{saved.…}` and `{time:…}` in every text of a value. */
function filled(server, state, value) {
  if (Array.isArray(value)) return value.map((one) => filled(server, state, one));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, filled(server, state, one)]));
  }
  if (typeof value !== 'string') return value;
  const whole = /^\{saved\.([^}]+)\}$/.exec(value);
  if (whole !== null) return state.saved[whole[1]];
  return value.replace(PLACE, (_all, kind, name = '') => {
    switch (kind) {
      case 'customer':
        return once(state.customers, name, server.newCustomer);
      case 'id':
        return once(state.ids, name, () => `${server.run}-${randomUUID()}`);
      case 'time':
        return new Date(Date.now() + Number(name) * 1000).toISOString();
      default:
        return state.saved[name];
    }
  });
}

function once(map, name, make) {
  if (!map.has(name)) map.set(name, make());
  return map.get(name);
}
