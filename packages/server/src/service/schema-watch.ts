/** How the schema of the database differs from the one that this process was built for; both empty: not at all. */
export interface SchemaDifference {
  /** Migrations of this release that the database does not have, in their order. */
  readonly missing: readonly string[];
  /** Migrations of the database that this release does not know. */
  readonly unknown: readonly string[];
}

export interface SchemaWatch {
  start(): void;
  /** Asks now. A database that is away leaves what was known. */
  check(): Promise<void>;
  /** `null`: the database was not asked yet, or has not answered. */
  difference(): SchemaDifference | null;
  stop(): void;
}

/** Soon enough for a supervisor to act on, and one look-up of a table with a handful of rows. */
const CHECK_MILLISECONDS = 10_000;

/**
 * A process brings the schema up to its own as it starts; afterwards another may replace it under the running process: a newer
 * release, which is how releases are rolled out, or a backup that was restored, which is older.
 */
export function createSchemaWatch(options: {
  readonly read: () => Promise<SchemaDifference>;
  readonly onProblem: (problem: string, error: unknown) => void;
}): SchemaWatch {
  let known: SchemaDifference | null = null;
  let timer: NodeJS.Timeout | null = null;

  async function check(): Promise<void> {
    try {
      known = await options.read();
    } catch (error) {
      options.onProblem('the version of the schema cannot be read', error);
    }
  }

  return {
    start() {
      timer ??= setInterval(() => void check(), CHECK_MILLISECONDS).unref();
      void check();
    },
    check,
    difference: () => known,
    stop() {
      if (timer !== null) clearInterval(timer);
    },
  };
}

/** What `/readyz` says about it. */
export function schemaProblems(difference: SchemaDifference | null): readonly string[] {
  if (difference === null) return [];
  const { missing, unknown } = difference;
  const named = (names: readonly string[]) => names.map((name) => `\`${name}\``).join(', ');
  return [
    ...(missing.length === 0
      ? []
      : [
          `The schema of the database is older than this process: it lacks ${named(missing)}. Restart this process; a start brings the schema up to date.`,
        ]),
    ...(unknown.length === 0
      ? []
      : [
          `The schema of the database is newer than this process: it has ${named(unknown)}. This process goes on; replace it by the release that made them, as it cannot be started again.`,
        ]),
  ];
}
