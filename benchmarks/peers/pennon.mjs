import { parseCatalog } from '@pennon/engine/catalog/parse-catalog';
import { evaluateFlag } from '@pennon/engine/flag/evaluate-flag';
import { compileSnapshot } from '@pennon/engine/snapshot/compile-snapshot';
import { namedParts } from '@pennon/engine/subject/named-parts';
import { resolveSubject } from '@pennon/engine/subject/resolve-subject';

const CATALOG = `
product: { key: bench, name: Benchmark }
features:
  - { key: analytics, type: boolean, category: subscription, owner: a@example.com, purpose: Reports, removal: permanent }
plans:
  - { key: free, version: 0, rank: 0, entitlements: [] }
  - { key: pro, version: 0, rank: 1, entitlements: [{ feature: analytics, value: true }] }
  - { key: enterprise, version: 0, rank: 2, entitlements: [{ feature: analytics, value: true }] }
flags:
  - key: screen
    type: boolean
    category: release
    owner: a@example.com
    purpose: A screen
    removal: Later
    expires: '2099-01-01'
    requires: [analytics]
    default: false
    rules:
      - if: 'plan.tier in ["pro", "enterprise"] && user.country == "DE" && user.age >= 18.0 && user.email.endsWith("@acme.example")'
        rollout: { by: team.key, percentage: 50 }
`;

/** Compiled once: a process holds one snapshot, whomever it is asked about. */
function snapshotOf() {
  const { catalog, issues } = parseCatalog([{ name: 'benchmark', text: CATALOG }]);
  if (catalog === null) throw new Error(JSON.stringify(issues));
  return compileSnapshot({ catalog, environment: 'production', revision: 1, productId: 'bench' }).snapshot;
}
const snapshot = snapshotOf();

/** Gate, four conditions and a rollout by team; the plan is a license of the customer, not a word of the caller. */
export async function pennon({ name = 'Pennon', customers = 100 } = {}) {
  const now = Date.now();
  const states = new Map();
  let prepared = 0;
  return {
    name,
    asynchronous: false,
    prepare: (context) => {
      const read = namedParts(context);
      if (!read.ok) throw new Error(read.message);
      // The plan of a customer is that of its first user: the contexts repeat every four.
      const key = `customer-${prepared % customers}`;
      prepared += 1;
      if (!states.has(key)) states.set(key, customerWith(key, context.plan.tier, now));
      return {
        snapshot,
        customer: states.get(key),
        subject: {
          proven: true,
          customerKey: key,
          instance: null,
          userKey: context.user.key,
          teamKey: context.team.key,
          sku: null,
        },
        context: read.context,
        now,
      };
    },
    evaluate: (request) => evaluateFlag(request, 'screen').value,
    close: () => {},
  };
}

/**
 * The same from the context as it was sent, each time: read, told whose user it is about, and the customer found, as a server does
 * that keeps its customers in memory.
 */
export async function pennonFromContext({ customers = 100 } = {}) {
  const now = Date.now();
  const states = new Map();
  const customersOfUsers = new Map();
  const lookup = { customers: states, instance: null, customersOfUsers };
  return {
    name: 'Pennon, from the context as sent',
    asynchronous: false,
    prepare: (context) => {
      const key = `customer-${customersOfUsers.size % customers}`;
      customersOfUsers.set(context.user.key, [key]);
      if (!states.has(key)) states.set(key, customerWith(key, context.plan.tier, now));
      return context;
    },
    evaluate: (raw) => {
      const read = namedParts(raw);
      if (!read.ok) throw new Error(read.message);
      const found = resolveSubject({
        credential: 'server',
        context: read.context,
        named: read.named,
        lookup,
      });
      if (!found.ok) throw new Error(found.message);
      const { subject, context } = found;
      const customer = states.get(subject.customerKey) ?? null;
      return evaluateFlag({ snapshot, customer, subject, context, now }, 'screen').value;
    },
    close: () => {},
  };
}

function customerWith(key, plan, now) {
  return {
    id: key,
    key,
    version: 1,
    createdAt: now - 1000,
    timeZone: null,
    attributes: {},
    licenses: [
      {
        id: `license-${key}`,
        product: 'bench',
        plan,
        planVersion: 0,
        quantity: 1,
        kind: 'paid',
        status: 'active',
        startsAt: now - 1000,
        endsAt: null,
        graceEndsAt: null,
        anchor: '2026-01-01T00:00:00[UTC]',
        timeZone: null,
        sku: null,
        addons: [],
      },
    ],
    groups: [],
    memberships: [],
    grants: [],
    accounts: [],
  };
}
