import { GrowthBookClient } from '@growthbook/growthbook';

export async function growthBook() {
  const client = new GrowthBookClient().initSync({
    payload: {
      features: {
        gate: {
          defaultValue: false,
          rules: [{ condition: { 'plan.tier': { $in: ['pro', 'enterprise'] } }, force: true }],
        },
        screen: {
          defaultValue: false,
          rules: [
            {
              condition: {
                'plan.tier': { $in: ['pro', 'enterprise'] },
                'user.country': 'DE',
                'user.age': { $gte: 18 },
                'user.email': { $regex: '@acme\\.example$' },
              },
              parentConditions: [{ id: 'gate', condition: { value: true }, gate: true }],
              hashAttribute: 'teamKey',
              coverage: 0.5,
              force: true,
            },
          ],
        },
      },
    },
  });
  return {
    name: 'GrowthBook',
    asynchronous: false,
    prepare: (context) => ({ attributes: { ...context, teamKey: context.team.key } }),
    evaluate: (context) => client.evalFeature('screen', context).value,
    close: () => client.destroy(),
  };
}
