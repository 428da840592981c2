import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandFailure } from './exit-codes.js';

export interface CatalogFile {
  readonly name: string;
  readonly text: string;
}

const ENDINGS = ['.yaml', '.yml', '.json'];

/**
 * Reads the named files, and of named folders every YAML and JSON file below them in order of name. Hidden files and
 * `node_modules` are passed over. `-` reads standard input.
 */
export async function readCatalogFiles(paths: readonly string[]): Promise<readonly CatalogFile[]> {
  const files: CatalogFile[] = [];
  for (const path of paths) {
    if (path === '-') files.push({ name: '<standard input>', text: await readStandardInput() });
    else files.push(...(await readPath(path, true)));
  }
  if (files.length === 0) {
    throw new CommandFailure(
      'usage',
      `no YAML or JSON file in ${paths.map((path) => `\`${path}\``).join(', ')}`,
    );
  }
  return files;
}

async function readPath(path: string, named: boolean): Promise<CatalogFile[]> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw new CommandFailure('usage', `\`${path}\` does not exist`);
  if (!found.isDirectory()) {
    if (!named && !ENDINGS.some((ending) => path.endsWith(ending))) return [];
    return [{ name: path, text: decode(path, await readFile(path)) }];
  }
  const files: CatalogFile[] = [];
  for (const entry of (await readdir(path)).sort()) {
    if (entry.startsWith('.') || entry === 'node_modules') continue;
    files.push(...(await readPath(join(path, entry), false)));
  }
  return files;
}

function decode(path: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new CommandFailure('invalid', `\`${path}\` is not UTF-8 text; save it as UTF-8`);
  }
}

async function readStandardInput(): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Uint8Array);
  return decode('<standard input>', Buffer.concat(chunks));
}
