import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';

interface Proved {
  readonly code: number | null;
  readonly said: string;
}

/** A command of the proof itself; it plants faults in what Node loads, which a test runner's loader would not show. */
export function proofCommand(module: string): (...words: readonly string[]) => Promise<Proved> {
  const program = createRequire(import.meta.url).resolve(module);
  return (...words) =>
    new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [program, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
      let said = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          said += text;
        });
      }
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, said }));
    });
}
