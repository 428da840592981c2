/** UTF-8 without ambient encoders, because the engine runs wherever ECMAScript does. Lone surrogates become U+FFFD. */
export function encodeUtf8(text: string): Uint8Array {
  const octets: number[] = [];
  for (const character of text) pushCodePoint(octets, character.codePointAt(0) ?? 0xfffd);
  return Uint8Array.from(octets);
}

function pushCodePoint(octets: number[], codePoint: number): void {
  const point = codePoint >= 0xd800 && codePoint <= 0xdfff ? 0xfffd : codePoint;
  if (point < 0x80) octets.push(point);
  else if (point < 0x800) octets.push(0xc0 | (point >> 6), 0x80 | (point & 0x3f));
  else if (point < 0x10000)
    octets.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f));
  else {
    octets.push(
      0xf0 | (point >> 18),
      0x80 | ((point >> 12) & 0x3f),
      0x80 | ((point >> 6) & 0x3f),
      0x80 | (point & 0x3f),
    );
  }
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
