import type { ByteWriter } from './byte-writer.js';

/* The frame of a binary COPY as the protocol wants it: CopyData that holds the header, the rows and their end, then CopyDone. */

const SIGNATURE = Buffer.from(
  'PGCOPY\n\u00ff\r\n\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000',
  'latin1',
);
const COPY_DATA = 'd'.charCodeAt(0);
const COPY_DONE = Buffer.from([0x63, 0, 0, 0, 4]);
const END_OF_ROWS = -1;

/** The message whole, as a view of the writer's bytes: valid until it is written to again. */
export function copyMessage(writer: ByteWriter, writeRows: () => void): Buffer {
  writer.reset();
  writer.int8(COPY_DATA);
  const lengthAt = writer.length;
  writer.int32(0);
  writer.bytes(SIGNATURE);
  writeRows();
  writer.int16(END_OF_ROWS);
  writer.int32At(lengthAt, writer.length - lengthAt);
  writer.bytes(COPY_DONE);
  return writer.written();
}
