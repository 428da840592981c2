import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress } from 'node:zlib';
import { type Browser, chromium } from 'playwright-core';

/*
 * A real Chromium for tests: the one that `CHROME_PATH` names, one of the machine's, else the one from npm (x64 glibc only),
 * unpacked once into the temporary folder.
 */

const INSTALLED = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** Our own flags: the package's would switch off web security, and CORS is what is to be proven. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

interface FoundBrowser {
  readonly executablePath: string;
  /** Folders of shared libraries that the machine may lack. */
  readonly libraryPath: string | null;
}

/** Throws, saying what to install, where no Chromium can be had. */
export async function launchBrowser(): Promise<Browser> {
  const found = await findBrowser();
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined) {
      env[name] = value;
    }
  }
  if (found.libraryPath !== null) {
    env['LD_LIBRARY_PATH'] = [found.libraryPath, env['LD_LIBRARY_PATH']].filter(Boolean).join(':');
  }
  return chromium.launch({ executablePath: found.executablePath, args: FLAGS, env, headless: true });
}

async function findBrowser(): Promise<FoundBrowser> {
  const named = process.env['CHROME_PATH'];
  if (named !== undefined && named !== '') {
    return { executablePath: named, libraryPath: null };
  }
  const installed = INSTALLED.find((path) => existsSync(path));
  if (installed !== undefined) {
    return { executablePath: installed, libraryPath: null };
  }
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error('No Chromium was found. Install one, or name it by CHROME_PATH.');
  }
  return unpackFromNpm();
}

async function unpackFromNpm(): Promise<FoundBrowser> {
  const entry = createRequire(import.meta.url).resolve('@sparticuz/chromium');
  const packageFolder = entry.slice(
    0,
    entry.lastIndexOf(join('@sparticuz', 'chromium')) + '@sparticuz/chromium'.length,
  );
  const folder = join(tmpdir(), 'pennon-test-chromium-147');
  const found = { executablePath: join(folder, 'chromium'), libraryPath: join(folder, 'lib') };
  if (existsSync(found.executablePath)) {
    return found;
  }
  // Unpacked beside and renamed, so that two test runs never see half of it.
  const beside = `${folder}.${process.pid}`;
  mkdirSync(beside, { recursive: true });
  await decompress(join(packageFolder, 'bin', 'chromium.br'), join(beside, 'chromium'));
  chmodSync(join(beside, 'chromium'), 0o755);
  for (const archive of ['al2023.tar', 'swiftshader.tar']) {
    const tar = join(beside, archive);
    await decompress(join(packageFolder, 'bin', `${archive}.br`), tar);
    execFileSync('tar', ['-xf', tar, '-C', beside]);
    rmSync(tar);
  }
  try {
    renameSync(beside, folder);
  } catch {
    rmSync(beside, { recursive: true, force: true });
  }
  return found;
}

async function decompress(from: string, to: string): Promise<void> {
  mkdirSync(dirname(to), { recursive: true });
  await pipeline(createReadStream(from), createBrotliDecompress(), createWriteStream(to));
}
