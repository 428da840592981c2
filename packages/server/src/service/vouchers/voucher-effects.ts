import type { GrantEffect } from '@pennon/engine/model/customer';
import type { VoucherCreate, VoucherKind, VoucherTarget } from '@pennon/protocol/management/vouchers';
import { readEffect } from '../contracts/grant-effect.js';
import type { PublishedItems } from '../contracts/published-items.js';
import { refuse } from '../contracts/refusals.js';
import { ServiceError } from '../service-error.js';

type NamedEffects = VoucherCreate['effects'];

/** What each kind gives. INVARIANT: a voucher never takes away, so that no kind has a `deny`. */
const GIVES: Readonly<Record<VoucherKind, string>> = {
  FLAG_GRANT: 'exactly one effect of type `flag`',
  ENTITLEMENT_BOOST:
    'exactly one effect of type `set`, `add`, `multiply`, `unlimited` or `topUp` on a boolean, limit or metered feature',
  CONFIG_GRANT: 'exactly one effect of type `set` on a config feature',
  COMPOSITE: 'at least two effects, which are given all or not at all',
};

/**
 * The effects as they are stored, checked one by one against the catalog that is published to the environment, as a grant's is; then
 * together, against the voucher's kind.
 */
export async function readEffects(
  items: PublishedItems,
  kind: VoucherKind,
  target: VoucherTarget,
  named: NamedEffects,
): Promise<readonly GrantEffect[]> {
  const effects: GrantEffect[] = [];
  for (const [index, effect] of named.entries()) {
    if (effect.type === 'deny') {
      throw refuse(
        'unprocessable',
        'EFFECT_NOT_OF_VOUCHER',
        'A voucher gives and never takes away. To deny a feature, make a grant.',
        `/effects/${index}/type`,
      );
    }
    effects.push(await readEffect(items, effect, target).catch((error: unknown) => throwAt(error, index)));
  }
  checkTwice(effects);
  await checkKind(items, kind, effects);
  return effects;
}

/** A grant's refusal names `/effect` and `/target/kind`. */
function throwAt(error: unknown, index: number): never {
  if (!(error instanceof ServiceError)) throw error;
  const { kind, code, message, details } = error;
  const moved = error.items.map((item) => ({
    ...item,
    ...(item.pointer === undefined
      ? {}
      : {
          pointer: item.pointer
            .replace(/^\/effect(?=\/|$)/, `/effects/${index}`)
            .replace('/target/kind', '/target'),
        }),
  }));
  throw new ServiceError(kind, code, message, { items: moved, details });
}

/** One flag has one variant, one feature one value: of two nobody could say which was given. */
function checkTwice(effects: readonly GrantEffect[]): void {
  const seen = new Set<string>();
  for (const [index, effect] of effects.entries()) {
    const name = effect.type === 'flag' ? `flag ${effect.flag}` : `${effect.type} ${effect.feature}`;
    if (seen.has(name)) {
      const what = effect.type === 'flag' ? effect.flag : effect.feature;
      throw refuse(
        'unprocessable',
        'EFFECT_TWICE',
        `\`${what}\` is given twice by the same kind of effect. Leave one.`,
        `/effects/${index}`,
      );
    }
    seen.add(name);
  }
}

async function checkKind(
  items: PublishedItems,
  kind: VoucherKind,
  effects: readonly GrantEffect[],
): Promise<void> {
  if (await fits(items, kind, effects)) return;
  throw refuse(
    'unprocessable',
    'EFFECTS_NOT_OF_KIND',
    `A voucher of kind \`${kind}\` has ${GIVES[kind]}. Change the effects, or the \`kind\`.`,
    '/effects',
  );
}

async function fits(
  items: PublishedItems,
  kind: VoucherKind,
  effects: readonly GrantEffect[],
): Promise<boolean> {
  if (kind === 'COMPOSITE') return effects.length >= 2;
  const [effect] = effects;
  if (effect === undefined || effects.length > 1) return false;
  if (kind === 'FLAG_GRANT' || effect.type === 'flag') return kind === 'FLAG_GRANT' && effect.type === 'flag';
  const feature = await items.findOne('feature', effect.feature);
  return (feature?.type === 'config') === (kind === 'CONFIG_GRANT');
}

/** The effects as a caller would name them again, to be checked against the catalog of another day. */
export function toNamedEffects(effects: readonly GrantEffect[]): NamedEffects {
  return effects.map((effect) => ({ ...effect })) as NamedEffects;
}
