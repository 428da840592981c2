/** What a script may rely on. Documented in docs/reference/command-line.md; never renumbered. */
export const EXIT_CODES = {
  success: 0,
  /** Something unexpected; the message says what. */
  failure: 1,
  /** The command line itself was wrong. */
  usage: 2,
  /** The catalog has errors, an assertion failed, or the server refused the change. */
  invalid: 3,
  /** `diff` with `--exit-code`: the two differ. */
  different: 4,
  /** No key, a wrong one, or one that may not do this. */
  unauthorised: 5,
  /** The server cannot be reached, or says that it cannot answer now. */
  unavailable: 6,
  /** The named thing does not exist. */
  notFound: 7,
  /** The person said no. */
  declined: 8,
} as const;

export type ExitCodeName = keyof typeof EXIT_CODES;

/** Ends the command with a code and one clear sentence; no stack is shown for it. */
export class CommandFailure extends Error {
  readonly exitCode: ExitCodeName;

  constructor(exitCode: ExitCodeName, message: string) {
    super(message);
    this.name = 'CommandFailure';
    this.exitCode = exitCode;
  }
}
