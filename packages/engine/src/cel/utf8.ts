/** UTF-8 without ambient encoders, because the engine runs wherever ECMAScript does. Lone surrogates become U+FFFD. */
export function encodeUtf8(text: string): Uint8Array {
  const octets = new Uint8Array(text.length * 3);
  let length = 0;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) {
      octets[length] = unit;
      length += 1;
      continue;
    }
    const point = text.codePointAt(index) ?? 0xfffd;
    if (point > 0xffff) index += 1;
    length = putCodePoint(octets, length, point >= 0xd800 && point <= 0xdfff ? 0xfffd : point);
  }
  return octets.slice(0, length);
}

function putCodePoint(octets: Uint8Array, at: number, point: number): number {
  const size = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  for (let index = size - 1; index > 0; index -= 1)
    octets[at + index] = 0x80 | ((point >> (6 * (size - 1 - index))) & 0x3f);
  const marks = [0, 0, 0xc0, 0xe0, 0xf0];
  octets[at] = (marks[size] ?? 0) | (point >> (6 * (size - 1)));
  return at + size;
}

/** `undefined` for anything that is not well-formed UTF-8 (overlong forms and surrogates included). */
export function decodeUtf8(octets: Uint8Array): string | undefined {
  let text = '';
  for (let index = 0; index < octets.length; ) {
    const first = octets[index] ?? 0;
    const length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : (first & 0xf0) === 0xe0 ? 3 : 4;
    if (length === 4 && (first < 0xf0 || first > 0xf4)) return undefined;
    let point = length === 1 ? first : first & (0xff >> (length + 1));
    for (let next = 1; next < length; next += 1) {
      const octet = octets[index + next];
      if (octet === undefined || (octet & 0xc0) !== 0x80) return undefined;
      point = (point << 6) | (octet & 0x3f);
    }
    const smallest = length === 3 ? 0x800 : length === 4 ? 0x10000 : 0;
    if (point < smallest || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return undefined;
    text += String.fromCodePoint(point);
    index += length;
  }
  return text;
}
