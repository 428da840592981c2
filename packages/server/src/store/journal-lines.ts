import { crc32 } from 'node:zlib';

/* Lines of a journal: a checksum in hex, a space, a text without line ends. A line that a crash cut short proves nothing and is passed over. */

const CHECKSUM_CHARACTERS = 8;
const NEW_LINE = 0x0a;
const SPACE = 0x20;

export function toJournalLine(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  return Buffer.concat([Buffer.from(`${checksum(bytes)} `, 'latin1'), bytes, Buffer.of(NEW_LINE)]);
}

export interface ReadJournal {
  readonly texts: readonly string[];
  /** Broken lines with whole ones behind them: no cut at the end, but damage. */
  readonly damaged: number;
}

/** Whatever is whole; any prefix of the bytes gives a prefix of the texts. */
export function fromJournalBytes(bytes: Buffer): ReadJournal {
  const texts: string[] = [];
  let damaged = 0;
  let broken = 0;
  let start = 0;
  for (;;) {
    const end = bytes.indexOf(NEW_LINE, start);
    if (end === -1) return { texts, damaged };
    const text = textOf(bytes.subarray(start, end));
    if (text === null) {
      broken += 1;
    } else {
      texts.push(text);
      damaged += broken;
      broken = 0;
    }
    start = end + 1;
  }
}

function textOf(line: Buffer): string | null {
  const text = line.subarray(CHECKSUM_CHARACTERS + 1);
  if (line.length <= CHECKSUM_CHARACTERS || line[CHECKSUM_CHARACTERS] !== SPACE) return null;
  return line.toString('latin1', 0, CHECKSUM_CHARACTERS) === checksum(text) ? text.toString('utf8') : null;
}

function checksum(bytes: Buffer): string {
  return crc32(bytes).toString(16).padStart(CHECKSUM_CHARACTERS, '0');
}
