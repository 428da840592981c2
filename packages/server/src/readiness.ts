import type { Parts } from './compose.js';
import type { Readiness } from './http/routes/operations.js';
import { schemaProblems } from './service/schema-watch.js';
import type { StoreAwayReport } from './service/store-away/store-away.js';

/** The change feed polls about once a second; this long without an answer means that the database is away. */
const SILENT_SECONDS = 5;

/**
 * A process is ready while it can answer evaluations, from the database or from what it has. With the database away it stays in
 * rotation and says so: taking every process out would turn a loss of freshness into an outage (law 1).
 */
export function readinessOf(parts: Parts, draining: boolean): Readiness {
  const { lastPolledMillisecondsAgo } = parts.feed.report();
  const ageSeconds = lastPolledMillisecondsAgo === null ? null : lastPolledMillisecondsAgo / 1000;
  const reachable = ageSeconds !== null && ageSeconds < SILENT_SECONDS;
  const source = parts.installation.source();
  const snapshots = parts.snapshots.report();
  const problems: string[] = [];
  if (draining) problems.push('The process is shutting down.');
  if (!reachable) problems.push('The database does not answer; evaluation goes on from memory and disk.');
  problems.push(...awayProblems(parts.storeAway.report()));
  if (source === 'none') problems.push('Nothing was loaded yet, neither from the database nor from disk.');
  const schema = parts.schema.difference();
  problems.push(...schemaProblems(schema));
  for (const snapshot of snapshots) {
    for (const item of snapshot.contained) {
      problems.push(
        `${snapshot.environment} revision ${snapshot.revision}: the ${item.kind} \`${item.key}\` is ${item.handling}: ${item.problem}`,
      );
    }
  }
  const now = parts.clock.now();
  return {
    // What an older schema lacks, statements fail on; what a newer one has beside it, they do not ask for.
    ready: !draining && source !== 'none' && (schema === null || schema.missing.length === 0),
    databaseReachable: reachable,
    databaseAgeSeconds: ageSeconds === null ? null : Math.round(ageSeconds * 1000) / 1000,
    snapshots: snapshots.map((snapshot) => ({
      productId: snapshot.productId,
      environment: snapshot.environment,
      revision: snapshot.revision,
      ageSeconds: Math.max(0, Math.round((now - snapshot.readAtMilliseconds) / 1000)),
      source: snapshot.source,
    })),
    problems,
  };
}

function awayProblems({
  awayMilliseconds,
  waiting,
  oldestMilliseconds,
  refused,
  refusal,
}: StoreAwayReport): string[] {
  const problems: string[] = [];
  if (awayMilliseconds !== null) {
    problems.push(
      `Consumes have not reached the database for ${seconds(awayMilliseconds)} s; only features with \`onStoreAway\` are answered.`,
    );
  }
  if (waiting > 0) {
    problems.push(
      `${waiting} consumes were answered without the database and are not counted in it yet, the oldest since ${seconds(oldestMilliseconds ?? 0)} s.`,
    );
  }
  if (refused > 0) {
    problems.push(`${refused} of them cannot be counted: ${refusal ?? ''}`);
  }
  return problems;
}

function seconds(milliseconds: number): number {
  return Math.round(milliseconds / 1000);
}
