#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { argv, env, exit, stderr, stdout } from 'node:process';
import { parseArgs } from 'node:util';

/*
 * Puts the fixture into a server of Pennon: a product of its own with the features of `fixture.json` and one plan, which every new
 * customer gets, and a server key for it. May be run again.
 */

const fixture = JSON.parse(readFileSync(new URL('fixture.json', import.meta.url), 'utf8'));
const REASON = 'The fixture of the conformance suite of OEP.';

try {
  const { url, key } = readOptions();
  const call = createCall(url, key);
  const { capabilities } = await call('GET', '/oep/v1/configuration');
  const features = fixture.features.filter(
    (one) => one.optional !== true || capabilities.reservations === true,
  );
  const product = { key: fixture.product, name: 'Conformance of OEP', reason: REASON };
  await call('POST', '/api/v1/products', product, [409]);
  const reason = encodeURIComponent(REASON);
  await call('PUT', `/api/v1/products/${fixture.product}/catalog?reason=${reason}`, toCatalog(features));
  const made = await call('POST', '/api/v1/keys', {
    kind: 'server',
    environment: 'production',
    product: fixture.product,
    name: 'Conformance of OEP',
    reason: REASON,
  });
  stdout.write(
    `${features.length} features, plan \`${fixture.plan}\`, product \`${fixture.product}\`. Now:\n\n`,
  );
  stdout.write(`npm run conformance:oep -- --url ${url} --key ${made.key}\n`);
} catch (error) {
  stderr.write(`${error instanceof Error ? error.message : error}\n`);
  exit(1);
}

function readOptions() {
  const { values } = parseArgs({
    args: argv.slice(2),
    options: { url: { type: 'string' }, key: { type: 'string' } },
  });
  const key = values.key ?? env.PENNON_ADMIN_KEY;
  if (values.url === undefined || key === undefined) {
    throw new Error(
      'npm run conformance:oep:load -- --url http://127.0.0.1:8080 --key <admin key, or PENNON_ADMIN_KEY>',
    );
  }
  return { url: values.url.replace(/\/+$/, ''), key };
}

function createCall(url, key) {
  return async (method, path, body, alsoFine = []) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok && !alsoFine.includes(response.status)) {
      throw new Error(`${method} ${path} answers ${response.status}: ${text}`);
    }
    return JSON.parse(text);
  };
}

/** The fixture in the words of a catalog document. */
function toCatalog(features) {
  return {
    product: { key: fixture.product, name: 'Conformance of OEP', defaultPlan: fixture.plan },
    features: features.map(toFeature),
    plans: [
      {
        key: fixture.plan,
        entitlements: features
          .filter((one) => one.value !== undefined || one.limit !== undefined)
          .map((one) => ({ feature: one.key, value: one.value ?? one.limit })),
      },
    ],
  };
}

function toFeature({ key, type, what, reset, enforcement, measure, per, settle }) {
  const metered = type === 'metered' || type === 'limit';
  return {
    key,
    type,
    category: metered ? 'limit' : 'subscription',
    owner: 'conformance@example.com',
    purpose: what,
    removal: 'permanent',
    ...(reset === undefined
      ? {}
      : { reset: reset === 'never' ? 'never' : { every: reset, anchor: 'calendar' } }),
    ...(enforcement === undefined ? {} : { enforcement }),
    ...(measure === undefined ? {} : { measure: measure.join(' + ') }),
    ...(per === undefined ? {} : { per }),
    ...(settle === undefined ? {} : { settle }),
  };
}
