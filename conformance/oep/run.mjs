#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { argv, env, exit, stderr, stdout } from 'node:process';
import { parseArgs } from 'node:util';
import { createAsk } from './ask.mjs';
import { readCases, runSuite } from './suite.mjs';

const USAGE = `Asks a server of OEP everything that the protocol promises.

  npm run conformance:oep -- --url http://127.0.0.1:8080 --key <server key>

  --url URL          the base below which /oep/v1/… lies
  --key KEY          a key that may evaluate and consume; or the variable OEP_KEY
  --client-key KEY   a key for browsers, which may not consume; or OEP_CLIENT_KEY
  --product KEY      sent as \`Pennon-Product\` with every call
  --header 'N: V'    another header to be sent with every call; may be repeated
  --customers FILE   keys of customers that have the plan, one a line, where the server does not give it to new ones
  --burst N          also asks N times at once, to be refused with 429 or 503
  --only TEXT        the cases whose area or name holds the text
  --timeout SECONDS  of one call; default 30
`;

try {
  const options = readOptions(argv.slice(2));
  const ask = createAsk(options);
  stdout.write(`${options.url}\n`);
  let area = '';
  const results = await runSuite(ask, readCases(), options, (one) => {
    if (one.area !== area) stdout.write(`\n${one.area}\n`);
    area = one.area;
    const words = one.result === 'skip' ? `skip  ${one.name} (${one.why[0]})` : `${one.result}  ${one.name}`;
    stdout.write(
      `  ${words}\n${one.result === 'fail' ? one.why.map((why) => `        ${why}\n`).join('') : ''}`,
    );
  });
  if (results.length === 0) throw new Error(`No case holds \`${options.only}\`.`);
  const count = (result) => results.filter((one) => one.result === result).length;
  stdout.write(`\n${count('pass')} passed, ${count('fail')} failed, ${count('skip')} skipped\n`);
  exit(count('fail') > 0 || count('pass') === 0 ? 1 : 0);
} catch (error) {
  stderr.write(`${error instanceof Error ? error.message : error}\n`);
  if (error instanceof Error && error.cause instanceof Error) stderr.write(`${error.cause.message}\n`);
  exit(1);
}

function readOptions(words) {
  const text = { type: 'string' };
  const { values } = parseArgs({
    args: words,
    options: {
      url: text,
      key: text,
      'client-key': text,
      product: text,
      header: { ...text, multiple: true },
      customers: text,
      burst: text,
      only: text,
      timeout: text,
      help: { type: 'boolean' },
    },
  });
  const key = values.key ?? env.OEP_KEY;
  if (values.help === true || values.url === undefined || key === undefined) {
    stdout.write(USAGE);
    exit(values.help === true ? 0 : 1);
  }
  const clientKey = values['client-key'] ?? env.OEP_CLIENT_KEY ?? null;
  const given = (values.header ?? []).map((line) => {
    const [, name, value] = /^([^:\s]+):\s*(.+)$/.exec(line) ?? [];
    if (name === undefined) throw new Error(`\`--header ${line}\` is not of the form 'Name: value'.`);
    return [name.toLowerCase(), value];
  });
  const product = values.product === undefined ? [] : [['pennon-product', values.product]];
  return {
    url: values.url,
    key,
    clientKey,
    hasClientKey: clientKey !== null,
    headers: Object.fromEntries([...product, ...given]),
    customers: values.customers === undefined ? null : linesOf(values.customers),
    burst: numberOf('burst', values.burst ?? '0'),
    only: values.only ?? '',
    timeoutSeconds: numberOf('timeout', values.timeout ?? '30'),
  };
}

function linesOf(file) {
  return readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

function numberOf(name, word) {
  const number = Number(word);
  if (!Number.isInteger(number) || number < 0)
    throw new Error(`\`--${name} ${word}\` is not a whole number.`);
  return number;
}
