import { inspect } from 'node:util';

/**
 * A text that must not appear in a log, an error or an answer by accident: however it is printed, it prints as `***`. Only
 * `reveal` gives it away, which a reader of the code can search for.
 */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return '***';
  }

  toJSON(): string {
    return '***';
  }

  [inspect.custom](): string {
    return 'Secret(***)';
  }
}
