#!/usr/bin/env node
import { exit, stdout } from 'node:process';
import { createAsk } from './ask.mjs';
import { FAULTS } from './sample/faults.mjs';
import { CLIENT_KEY, SERVER_KEY, startSampleServer } from './sample/server.mjs';
import { readCases, runSuite } from './suite.mjs';

/*
 * Whether the suite can fail: it must pass on the sample server, and must fail on it with each planted fault, in the area where that
 * one shows. `npm run prove:oep-suite`
 */

const cases = readCases();
const problems = [];

const whole = await runOn(new Set(), cases);
for (const { area, name, why } of whole.filter((one) => one.result === 'fail')) {
  problems.push(`the sample server fails ${area}: ${name}\n  ${why.join('\n  ')}`);
}
const skipped = whole.filter((one) => one.result === 'skip' && one.area !== 'history');
for (const { area, name, why } of skipped) problems.push(`skipped ${area}: ${name} (${why.join(', ')})`);
stdout.write(`${whole.length} cases on the sample server\n`);

// The waits of all of them go by together.
const found = await Promise.all(
  FAULTS.map(async ({ fault, area }) =>
    runOn(
      new Set([fault]),
      cases.filter((one) => one.area === area),
    ),
  ),
);
for (const [index, { what, area, fault }] of FAULTS.entries()) {
  const failed = found[index].filter((one) => one.result === 'fail');
  if (failed.length === 0) problems.push(`not noticed in ${area}: ${what} (${fault})`);
  stdout.write(
    `${failed.length > 0 ? 'noticed' : 'MISSED '}  ${what}: ${failed.map((one) => one.name).join('; ')}\n`,
  );
}
stdout.write(`\n${problems.map((one) => `${one}\n`).join('')}`);
stdout.write(`${FAULTS.length} faults planted, ${problems.length} problems\n`);
exit(problems.length === 0 ? 0 : 1);

async function runOn(faults, some) {
  const server = await startSampleServer(faults);
  const ask = createAsk({
    url: server.url,
    key: SERVER_KEY,
    clientKey: CLIENT_KEY,
    headers: {},
    timeoutSeconds: 30,
  });
  try {
    return await runSuite(ask, some, { customers: null, burst: 20, hasClientKey: true, only: '' });
  } catch (error) {
    return [{ area: '', name: `it ends at once (${error.message})`, result: 'fail', why: [] }];
  } finally {
    await server.stop();
  }
}
