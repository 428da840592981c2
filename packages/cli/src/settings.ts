import { CommandFailure } from './exit-codes.js';

export interface ConnectionOptions {
  readonly url?: string | undefined;
  readonly key?: string | undefined;
}

export interface Connection {
  readonly url: string;
  readonly adminKey: string;
}

export const DEFAULT_URL = 'http://127.0.0.1:8080';

/**
 * Flags win over the environment. A key on the command line shows in the list of processes, so the environment is the
 * better place for it.
 */
export function connectionOf(
  options: ConnectionOptions,
  environment: NodeJS.ProcessEnv = process.env,
): Connection {
  const url = options.url ?? environment.PENNON_URL ?? DEFAULT_URL;
  if (!URL.canParse(url)) {
    throw new CommandFailure(
      'usage',
      `\`${url}\` is not a URL; set PENNON_URL or --url to the server's address, for example ${DEFAULT_URL}`,
    );
  }
  const adminKey = options.key ?? environment.PENNON_ADMIN_KEY;
  if (adminKey === undefined || adminKey === '') {
    throw new CommandFailure(
      'unauthorised',
      'no admin key: set PENNON_ADMIN_KEY, or pass --key (`npm start` keeps the keys in .pennon/keys.json)',
    );
  }
  return { url: url.replace(/\/+$/, ''), adminKey };
}
