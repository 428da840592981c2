/*
 * How a billing key such as `us-starter-myproduct-01-v0` is split into facts (P-2). The pattern names its parts in braces
 * with fixed text between them; the text between two parts is their separator, and no part contains it.
 */

export interface SkuPart {
  readonly name: string;
  readonly type: 'string' | 'int';
}

export interface SkuPattern {
  readonly ok: true;
  readonly parts: readonly SkuPart[];
  /** Fixed text before, between and after the parts: one more than there are parts. */
  readonly texts: readonly string[];
  /** The part that names the plan: `tier`, else `plan`. */
  readonly planPart: 'tier' | 'plan';
}

export interface SkuPatternFault {
  readonly ok: false;
  readonly message: string;
  /** Offset in the pattern. */
  readonly offset: number;
}

const PART = /\{([^{}]*)\}/g;
const PART_BODY = /^([A-Za-z][A-Za-z0-9_]{0,63})(?::([a-z]+))?$/;
/** Set by the server whatever the SKU says. */
const TAKEN = new Set(['key']);

export function readSkuPattern(pattern: string): SkuPattern | SkuPatternFault {
  const parts: SkuPart[] = [];
  const texts: string[] = [];
  let end = 0;
  for (const match of pattern.matchAll(PART)) {
    const text = pattern.slice(end, match.index);
    const fault = textFault(text, parts.length) ?? partFault(match[1] ?? '', parts);
    if (fault !== null) return { ok: false, message: fault, offset: match.index };
    texts.push(text);
    const [, name = '', type] = PART_BODY.exec(match[1] ?? '') ?? [];
    parts.push({ name, type: type === 'int' ? 'int' : 'string' });
    end = match.index + match[0].length;
  }
  texts.push(pattern.slice(end));
  const stray = /[{}]/.exec(texts.join('\u0000'));
  if (stray) {
    const offset = Math.max(pattern.search(/\{[^{}]*(?:\{|$)|^[^{]*\}|\}[^{]*\}/), 0);
    return { ok: false, message: `a \`${stray[0]}\` without its partner`, offset };
  }
  const planPart = parts.some(({ name }) => name === 'tier') ? 'tier' : 'plan';
  if (!parts.some(({ name }) => name === planPart)) {
    return { ok: false, message: 'no part names the plan; add `{tier}` or `{plan}`', offset: 0 };
  }
  return { ok: true, parts, texts, planPart };
}

function textFault(text: string, index: number): string | null {
  return index > 0 && text === '' ? 'two parts touch; put a separator such as `-` between them' : null;
}

function partFault(body: string, before: readonly SkuPart[]): string | null {
  const [, name, type] = PART_BODY.exec(body) ?? [];
  if (name === undefined) return `\`{${body}}\` is not a part; write \`{name}\` or \`{name:int}\``;
  if (type !== undefined && type !== 'int') return `\`${type}\` is not a type of a part; only \`int\` is`;
  if (TAKEN.has(name)) return `\`{${name}}\` is taken: \`plan.${name}\` is the whole billing key`;
  if (name === 'version' && type !== 'int') return '`{version}` is the plan version; write `{version:int}`';
  if (before.some((part) => part.name === name)) return `\`{${name}}\` stands twice`;
  return null;
}

/**
 * The parts of a billing key, or `null` when it is not of the pattern. A part is never empty and never contains a separator
 * that stands beside it; `:int` parts are digits and become integers (`01` is 1).
 */
export function splitSku(pattern: SkuPattern, sku: string): Readonly<Record<string, string | number>> | null {
  const result: Record<string, string | number> = {};
  let at = pattern.texts[0]?.length ?? 0;
  if (!sku.startsWith(pattern.texts[0] ?? '')) return null;
  for (const [index, { name, type }] of pattern.parts.entries()) {
    const before = index === 0 ? '' : (pattern.texts[index] ?? '');
    const after = pattern.texts[index + 1] ?? '';
    const last = index === pattern.parts.length - 1;
    const end = last ? sku.length - after.length : sku.indexOf(after, at);
    if (end <= at || !sku.startsWith(after, end)) return null;
    const text = sku.slice(at, end);
    if ((before !== '' && text.includes(before)) || (after !== '' && text.includes(after))) return null;
    if (type === 'int' && !/^[0-9]{1,15}$/.test(text)) return null;
    result[name] = type === 'int' ? Number(text) : text;
    at = end + after.length;
  }
  return result;
}
