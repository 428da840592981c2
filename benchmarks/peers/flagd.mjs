import { FlagdCore, MemoryStorage } from '@openfeature/flagd-core';

const logger = { error() {}, warn() {}, info() {}, debug() {} };

export async function flagd() {
  const core = new FlagdCore(new MemoryStorage(logger), logger);
  core.setConfigurations(
    JSON.stringify({
      flags: {
        screen: {
          state: 'ENABLED',
          variants: { on: true, off: false },
          defaultVariant: 'off',
          targeting: {
            if: [
              {
                and: [
                  { in: [{ var: 'plan.tier' }, ['pro', 'enterprise']] },
                  { in: [{ var: 'plan.tier' }, ['pro', 'enterprise']] },
                  { '==': [{ var: 'user.country' }, 'DE'] },
                  { '>=': [{ var: 'user.age' }, 18] },
                  { ends_with: [{ var: 'user.email' }, '@acme.example'] },
                ],
              },
              { fractional: [{ var: 'team.key' }, ['on', 50], ['off', 50]] },
              'off',
            ],
          },
        },
      },
    }),
  );
  return {
    name: 'flagd',
    asynchronous: false,
    prepare: (context) => context,
    evaluate: (context) => core.resolveBooleanEvaluation('screen', false, context, logger).value,
    close: () => {},
  };
}
