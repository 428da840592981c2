import LaunchDarkly from '@launchdarkly/node-server-sdk';
import { TestData } from '@launchdarkly/node-server-sdk/integrations';

const clause = (contextKind, attribute, op, values) => ({
  contextKind,
  attribute,
  op,
  values,
  negate: false,
});

/** Gate, four conditions and a rollout by team, evaluated in process; the context is built from ours as its users would. */
export async function launchDarkly() {
  const data = new TestData();
  data.usePreconfiguredFlag({
    key: 'gate',
    version: 1,
    on: true,
    variations: [true, false],
    salt: 'gate',
    rules: [{ id: 'g', variation: 0, clauses: [clause('plan', 'tier', 'in', ['pro', 'enterprise'])] }],
    fallthrough: { variation: 1 },
    offVariation: 1,
  });
  data.usePreconfiguredFlag({
    key: 'screen',
    version: 1,
    on: true,
    variations: [true, false],
    salt: 'screen',
    prerequisites: [{ key: 'gate', variation: 0 }],
    rules: [
      {
        id: 'r',
        clauses: [
          clause('plan', 'tier', 'in', ['pro', 'enterprise']),
          clause('user', 'country', 'in', ['DE']),
          clause('user', 'age', 'greaterThanOrEqual', [18]),
          clause('user', 'email', 'endsWith', ['@acme.example']),
        ],
        rollout: {
          contextKind: 'team',
          seed: 61,
          variations: [
            { variation: 0, weight: 50_000 },
            { variation: 1, weight: 50_000 },
          ],
        },
      },
    ],
    fallthrough: { variation: 1 },
    offVariation: 1,
  });
  const client = LaunchDarkly.init('sdk-key', {
    updateProcessor: data.getFactory(),
    sendEvents: false,
    diagnosticOptOut: true,
    logger: { error() {}, warn() {}, info() {}, debug() {} },
  });
  await client.waitForInitialization({ timeout: 5 });
  return {
    name: 'LaunchDarkly',
    asynchronous: true,
    prepare: (context) => ({
      kind: 'multi',
      user: context.user,
      team: context.team,
      plan: { key: 'plan', ...context.plan },
    }),
    evaluate: async (context) => (await client.boolVariationDetail('screen', context, false)).value,
    close: () => client.close(),
  };
}
