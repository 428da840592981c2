import { mkdir, open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Writes a whole file so that a reader sees the old one or the new one, also after a power cut. Owner-readable only. */
export async function writeFileDurably(
  path: string,
  chunks: readonly (string | Uint8Array)[],
): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const temporary = join(folder, `${basename(path)}.${process.pid}.${nextNumber()}.tmp`);
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      for (const chunk of chunks) await file.writeFile(chunk);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  // The rename itself must survive too; file systems that cannot sync a folder do not need it.
  const handle = await open(folder, 'r').catch(() => null);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

let counter = 0;

/** Two writers of one process never share a temporary file. */
function nextNumber(): number {
  counter += 1;
  return counter;
}
