import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromFileError, systemErrorCode } from './embedded-database-error.js';
import { identityOf, isAlive, type ProcessIdentity } from './process-identity.js';

/**
 * Says which process starts or supervises the database of a directory. It spares two starts at the same time from treading on each
 * other's feet; the authority is the advisory lock in the database, because a file outlives its writer.
 */
export interface Claim {
  release(): void;
}

interface ClaimRecord extends ProcessIdentity {
  readonly token: string;
}

/** Takes the claim, or answers the living process that has it. A claim of a dead process is taken over. */
export function takeClaim(directory: string, token: string): { claim: Claim } | { heldBy: number } {
  const path = join(directory, 'supervisor.json');
  const whole = `${path}.${token}`;
  const record: ClaimRecord = { ...identityOf(process.pid), token };
  try {
    // Written whole under another name first: a claim that is seen half-written would count as nobody's.
    writeFileSync(whole, JSON.stringify(record), { mode: 0o600 });
    for (;;) {
      if (linkUnlessThere(whole, path)) return { claim: { release: () => releaseClaim(path, token) } };
      const holder = readClaim(path);
      if (holder !== null && isAlive(holder)) return { heldBy: holder.pid };
      rmSync(path, { force: true });
    }
  } catch (error) {
    throw fromFileError(error, directory);
  } finally {
    rmSync(whole, { force: true });
  }
}

function linkUnlessThere(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

function releaseClaim(path: string, token: string): void {
  if (readClaim(path)?.token === token) rmSync(path, { force: true });
}

/** Null for a file that is gone or was cut short by a full disk or a crash: nobody living stands behind such a claim. */
function readClaim(path: string): ClaimRecord | null {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof value !== 'object' || value === null) return null;
    const { pid, startedAt, token } = value as Record<string, unknown>;
    if (typeof pid !== 'number' || typeof token !== 'string') return null;
    return { pid, startedAt: typeof startedAt === 'string' ? startedAt : null, token };
  } catch {
    return null;
  }
}
