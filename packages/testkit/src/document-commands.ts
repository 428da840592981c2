import { spawn } from 'node:child_process';

/** A block of commands of a document, with the lines that its output must show. */
export interface CommandBlock {
  /** The line of the document on which the block begins, counting from 1. */
  readonly line: number;
  readonly commands: string;
  /** The block of `text` that follows, line by line; `…` stands for anything. Empty where the document shows none. */
  readonly expected: readonly string[];
}

/**
 * The `sh` blocks of a markdown text. A `text` block that follows one shows what it prints. Blocks of any other language are
 * shown and not run.
 */
export function commandBlocks(markdown: string): readonly CommandBlock[] {
  const blocks: { line: number; commands: string; expected: string[] }[] = [];
  let fence: { language: string; line: number; lines: string[] } | null = null;
  let follows = false;
  for (const [index, line] of markdown.split('\n').entries()) {
    if (fence !== null) {
      if (line.trim() !== '```') {
        fence.lines.push(line);
        continue;
      }
      const last = blocks.at(-1);
      if (fence.language === 'sh')
        blocks.push({ line: fence.line, commands: fence.lines.join('\n'), expected: [] });
      else if (fence.language === 'text' && follows && last !== undefined) last.expected.push(...fence.lines);
      follows = fence.language === 'sh';
      fence = null;
    } else if (line.startsWith('```')) {
      fence = { language: line.slice(3).trim(), line: index + 1, lines: [] };
    }
  }
  return blocks;
}

export interface BlockRun extends CommandBlock {
  readonly output: string;
}

const MARK = '---- end of block ----';

/**
 * Runs the blocks one after the other in one shell, as a reader would in one terminal, so that variables and functions live
 * on. Resolves to what each block printed (both streams); a block whose shell ended early rejects with all of the output.
 */
export async function runBlocks(
  blocks: readonly CommandBlock[],
  options: {
    readonly directory: string;
    readonly environment: NodeJS.ProcessEnv;
    readonly timeoutMilliseconds?: number;
  },
): Promise<readonly BlockRun[]> {
  const script = blocks.map((block) => `${block.commands}\nprintf '\\n%s\\n' '${MARK}'`).join('\n');
  const shell = spawn('sh', ['-eu', '-c', `exec 2>&1\n${script}`], {
    cwd: options.directory,
    env: options.environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: options.timeoutMilliseconds ?? 120_000,
  });
  const chunks: Buffer[] = [];
  shell.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  shell.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  const exitCode = await new Promise<number | null>((resolve) => shell.once('close', resolve));
  const output = Buffer.concat(chunks).toString('utf8');
  const parts = output.split(`\n${MARK}\n`);
  if (exitCode !== 0 || parts.length !== blocks.length + 1) {
    const failed = blocks[Math.min(parts.length - 1, blocks.length - 1)];
    throw new Error(`the block at line ${failed?.line ?? 0} ended the shell with ${exitCode}:\n${output}`);
  }
  return blocks.map((block, index) => ({ ...block, output: parts[index] ?? '' }));
}

/** The lines of a block's expectation that its output lacks. */
export function missingLines(run: BlockRun): readonly string[] {
  return run.expected.filter((line) => {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed === '…') return false;
    const pattern = trimmed
      .split('…')
      .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*');
    return !new RegExp(pattern).test(run.output);
  });
}
