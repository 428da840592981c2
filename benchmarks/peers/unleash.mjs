import { InMemStorageProvider, Unleash } from 'unleash-client';

const constraint = (contextName, operator, rest) => ({
  contextName,
  operator,
  inverted: false,
  caseInsensitive: false,
  ...rest,
});

export async function unleash() {
  const client = new Unleash({
    appName: 'benchmark',
    url: 'http://127.0.0.1:9/api',
    refreshInterval: 0,
    disableMetrics: true,
    disableAutoStart: false,
    storageProvider: new InMemStorageProvider(),
    bootstrap: {
      data: [
        {
          name: 'gate',
          type: 'release',
          enabled: true,
          strategies: [
            {
              name: 'default',
              parameters: {},
              constraints: [constraint('tier', 'IN', { values: ['pro', 'enterprise'] })],
            },
          ],
        },
        {
          name: 'screen',
          type: 'release',
          enabled: true,
          dependencies: [{ feature: 'gate', enabled: true }],
          strategies: [
            {
              name: 'flexibleRollout',
              parameters: { groupId: 'screen', rollout: '50', stickiness: 'team' },
              constraints: [
                constraint('tier', 'IN', { values: ['pro', 'enterprise'] }),
                constraint('country', 'IN', { values: ['DE'] }),
                constraint('age', 'NUM_GTE', { value: '18', values: [] }),
                constraint('email', 'STR_ENDS_WITH', { values: ['@acme.example'] }),
              ],
            },
          ],
        },
      ],
    },
  });
  client.on('error', () => {});
  client.on('warn', () => {});
  await new Promise((resolve) => client.once('ready', resolve));
  return {
    name: 'Unleash',
    asynchronous: false,
    prepare: (context) => ({
      userId: context.user.key,
      properties: {
        tier: context.plan.tier,
        country: context.user.country,
        age: String(context.user.age),
        email: context.user.email,
        team: context.team.key,
      },
    }),
    evaluate: (context) => client.isEnabled('screen', context, false),
    close: () => client.destroy(),
  };
}
