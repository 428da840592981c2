/* What real histories ask of the servers that they call, whether those are processes of their own or not. */

export const ADMIN_KEY = 'prove-admin-key-0123456789abcdef0123456789abcdef';
export const SERVER_KEY = 'prove-server-key-0123456789abcdef0123456789abcdef';
export const CLIENT_KEY = 'prove-client-key-0123456789abcdef0123456789abcdef';

export interface RealServer {
  readonly url: string;
  /** Whom PostgreSQL takes it for: each has a role of its own, so that its connections are told from those of others. */
  readonly role: string;
  /** Between it and the database nothing goes through, until it does again. */
  cutOff(away: boolean): void;
  isCutOff(): boolean;
}

export interface ServerPool {
  readonly alive: readonly RealServer[];
  /** How long a client asks before it gives up, which is an error. */
  readonly patienceMilliseconds: number;
  /** `kill -9`; another one takes its place, with what it has left on its disk. */
  kill(server: RealServer): Promise<void>;
  /** Once those that were killed have come back. */
  whole(): Promise<void>;
}
