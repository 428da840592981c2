import { Command, CommanderError } from 'commander';
import { apply } from './commands/apply.js';
import { exportCustomerFile, importCustomerFile } from './commands/customers.js';
import { diff } from './commands/diff.js';
import { evaluate, explain } from './commands/explain.js';
import { exportCatalog } from './commands/export.js';
import { start } from './commands/start.js';
import { test } from './commands/test.js';
import { exportUsageFile, nearUsage, showUsage } from './commands/usage.js';
import { validate } from './commands/validate.js';
import { CommandFailure, EXIT_CODES, type ExitCodeName } from './exit-codes.js';
import { ProblemFailure } from './management-client.js';
import { type Output, processOutput } from './output.js';
import { version } from './version.js';

/** Runs one command line and says with which code to end; it never ends the process by itself. */
export async function main(argv: readonly string[], output: Output = processOutput()): Promise<number> {
  let result: ExitCodeName = 'success';
  const finish = (code: ExitCodeName): void => {
    result = code;
  };
  try {
    await program(output, finish).parseAsync(argv as string[]);
  } catch (failure) {
    return EXIT_CODES[report(failure, output)];
  }
  return EXIT_CODES[result];
}

function report(failure: unknown, output: Output): ExitCodeName {
  if (failure instanceof CommanderError) return failure.exitCode === 0 ? 'success' : 'usage';
  if (failure instanceof CommandFailure) {
    output.note(`error: ${failure.message}`);
    if (failure instanceof ProblemFailure) {
      for (const item of failure.problem.errors) {
        const place = item.line === undefined ? (item.pointer ?? '') : `${item.line}:${item.column ?? 1}`;
        output.note(`  ${[place, item.code, item.message].filter((part) => part !== '').join(' ')}`);
      }
    }
    return failure.exitCode;
  }
  output.note(`error: ${failure instanceof Error ? (failure.stack ?? failure.message) : String(failure)}`);
  return 'failure';
}

function program(output: Output, finish: (code: ExitCodeName) => void): Command {
  const pennon = new Command('pennon')
    .description('Feature flags and entitlements from one catalog')
    .version(version, '--version', 'print the version')
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => output.print(text.trimEnd()),
      writeErr: (text) => output.note(text.trimEnd()),
    });

  const withServer = (command: Command): Command =>
    command
      .option('--url <url>', 'the server (PENNON_URL; default http://127.0.0.1:8080)')
      .option('--key <key>', 'an admin key (PENNON_ADMIN_KEY; the environment is the better place)')
      .option('--product <product>', 'the product (PENNON_PRODUCT, or what the document says)')
      .option('--json', 'answer as JSON');

  const withSubject = (command: Command): Command =>
    withServer(command)
      .option('--environment <environment>', 'the environment', 'production')
      .option('--customer <key>', 'who pays')
      .option('--user <key>', 'the person')
      .option('--instance <key>', 'the deployment')
      .option('--team <key>', 'the team')
      .option('--context <json>', 'further parts of the context, as a JSON object');

  pennon
    .command('start')
    .description('run the server; settings come from the environment')
    .action(async () => finish(await start()));

  pennon
    .command('validate')
    .description('check catalog files, every fault with its place; needs no server')
    .argument('<paths...>', 'files or folders; - is standard input')
    .option('--strict', 'warnings fail as well')
    .option('--json', 'answer as JSON')
    .action(async (paths: string[], options) => finish(await validate(paths, options, output)));

  pennon
    .command('test')
    .description("run the catalog's own assertions; needs no server")
    .argument('<paths...>', 'files or folders; - is standard input')
    .option('--json', 'answer as JSON')
    .action(async (paths: string[], options) => finish(await test(paths, options, output)));

  withServer(pennon.command('diff').description('what apply would change'))
    .argument('<paths...>', 'files or folders; - is standard input')
    .option('--prune', 'also remove what the files lack')
    .option('--exit-code', 'end with 4 if anything differs')
    .action(async (paths: string[], options) => finish(await diff(paths, options, output)));

  withServer(pennon.command('apply').description('show the difference, ask, publish'))
    .argument('<paths...>', 'files or folders; - is standard input')
    .option('--prune', 'also remove what the files lack')
    .option('--yes', 'do not ask')
    .option('--reason <text>', 'why, for the audit trail')
    .option(
      '--environment <keys>',
      'publish to these environments only, with commas (default: all that are not protected)',
    )
    .action(async (paths: string[], options) => finish(await apply(paths, options, output)));

  withServer(pennon.command('export').description('the published catalog as a document'))
    .option('--format <format>', 'yaml or json', 'yaml')
    .option('--output <file>', 'write to a file')
    .action(async (options) => finish(await exportCatalog(options, output)));

  const customers = pennon.command('customers').description('customers as files of lines (NDJSON)');
  withServer(customers.command('import').description('take customers over; bad lines refuse only themselves'))
    .argument('<file>', 'a file; - is standard input')
    .option('--environment <environment>', 'the environment', 'production')
    .option('--mode <mode>', 'upsert, or create (refuse those that are there)', 'upsert')
    .option('--dry-run', 'say what would be done')
    .option('--reason <text>', 'why, for the audit trail')
    .action(async (file: string, options) => finish(await importCustomerFile(file, options, output)));
  withServer(customers.command('export').description('every customer as a line'))
    .option('--environment <environment>', 'the environment', 'production')
    .option('--output <file>', 'write to a file')
    .action(async (options) => finish(await exportCustomerFile(options, output)));

  const usage = pennon.command('usage').description('what is used, and who is near a limit');
  const withProduct = (command: Command) =>
    withServer(command)
      .option('--environment <environment>', 'the environment', 'production')
      .option('--feature <feature>', 'one metered feature');
  withProduct(usage.command('show').description('how the metered features of a customer stand'))
    .argument('<customer>', 'the key of a customer')
    .action(async (customer: string, options) => finish(await showUsage(customer, options, output)));
  withProduct(usage.command('near').description('who is near or over a limit, most first'))
    .option('--percent <percent>', 'at least so much of the limit', '80')
    .option('--limit <count>', 'at most so many, up to 100', '50')
    .action(async (options) => finish(await nearUsage(options, output)));
  withProduct(usage.command('export').description('what every customer used'))
    .requiredOption('--from <time>', 'RFC 3339, for example 2027-01-01T00:00:00Z')
    .option('--to <time>', 'up to there; default now')
    .option('--window <window>', 'hour, day or month')
    .option('--by <attributes>', 'attributes to take amounts apart by, with commas between')
    .option('--format <format>', 'csv or ndjson', 'csv')
    .option('--output <file>', 'write to a file')
    .action(async (options) => finish(await exportUsageFile(options, output)));

  withSubject(pennon.command('explain').description('why a flag or an entitlement answers what it answers'))
    .argument('<key>', 'a flag or a feature')
    .action(async (key: string, options) => finish(await explain(key, options, output)));

  withSubject(pennon.command('eval').description('the value of a flag or an entitlement'))
    .argument('<key>', 'a flag or a feature')
    .action(async (key: string, options) => finish(await evaluate(key, options, output)));

  return pennon;
}
