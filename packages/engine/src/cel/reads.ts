import type { CelReads } from './types.js';

const PLAIN = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** `user.email`; parts that are no identifiers stand in backquotes. */
export function pathText(root: string, keys: readonly string[]): string {
  return [root, ...keys.map((key) => (PLAIN.test(key) ? key : `\`${key}\``))].join('.');
}

export class ReadsRecorder {
  readonly #attributes = new Set<string>();
  readonly #calls = new Map<string, { function: string; argument: string | undefined }>();
  #now = false;

  attribute(path: string): void {
    this.#attributes.add(path);
  }

  call(name: string, argument: string | undefined): void {
    this.#calls.set(JSON.stringify([name, argument]), { function: name, argument });
  }

  clock(): void {
    this.#now = true;
  }

  result(): CelReads {
    return { attributes: [...this.#attributes].sort(), calls: [...this.#calls.values()], now: this.#now };
  }
}
