import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Writes a small file so that after a crash it is there whole or not at all: another name, fsync, rename, fsync of the folder.
 * Throws the system's error (`ENOSPC`, `EROFS`, …); then the old content, if any, is untouched.
 */
export function writeWhole(path: string, text: string, mode: number): void {
  const making = `${path}.${randomBytes(6).toString('hex')}.making`;
  try {
    const file = openSync(making, 'wx', mode);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(making, path);
  } catch (error) {
    rmSync(making, { force: true });
    throw error;
  }
  syncFolder(dirname(path));
}

export function syncFolder(path: string): void {
  // Windows opens no folders; there the rename itself is journalled.
  if (process.platform === 'win32') return;
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
