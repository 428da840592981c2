import type pg from 'pg';

/* What a process is in the middle of, as PostgreSQL sees it: a kill shall hit each of them. */

/**
 * `lock`: it waits for, or takes, the locks of a batch. `decide`: it holds them and decides. `commit`: what it has written is being
 * committed. `idle`: nothing is open; answers may be on their way.
 */
export const PHASES = ['idle', 'lock', 'decide', 'commit'] as const;
export type Phase = (typeof PHASES)[number];

/** By the role that a process logs in as: the phase of whichever of its transactions is furthest. */
export async function lookAtPhases(tables: pg.Pool): Promise<ReadonlyMap<string, Phase>> {
  const { rows } = await tables.query(
    `select usename, state, wait_event_type, wait_event, left(ltrim(query), 400) as query from pg_stat_activity
     where application_name in ('pennon consume', 'pennon record')`,
  );
  const phases = new Map<string, Phase>();
  for (const row of rows) {
    const phase = phaseOf(row);
    const before = phases.get(String(row.usename)) ?? 'idle';
    phases.set(String(row.usename), PHASES.indexOf(phase) > PHASES.indexOf(before) ? phase : before);
  }
  return phases;
}

interface Activity {
  readonly state: string | null;
  readonly wait_event_type: string | null;
  readonly wait_event: string | null;
  readonly query: string | null;
}

function phaseOf({ state, wait_event_type, wait_event, query }: Activity): Phase {
  if (state === 'idle in transaction') return 'decide';
  if (state !== 'active') return 'idle';
  if (wait_event_type === 'Lock') return 'lock';
  const isWrite = /^(?:commit|insert|update|delete|with|copy)/i.test(query ?? '');
  return isWrite || /^(?:WAL|SyncRep)/i.test(wait_event ?? '') ? 'commit' : 'lock';
}
