import type { Price } from '@pennon/engine/model/catalog';
import { priceOf } from '@pennon/engine/remedy/offers';
import type { CompiledFeature } from '@pennon/engine/snapshot/snapshot';
import type { ApiPublicPrice } from '@pennon/protocol/management/public-catalog';

/* Numbers and money as people of a locale write them. The words around them are the catalog's own and English. */

export interface OfferTexts {
  readonly locale: string;
  price(price: Price | null): ApiPublicPrice | null;
  /** `100 minutes` */
  amount(feature: CompiledFeature, amount: number): string;
  /** `3,000 minutes per month`; `most`: where not all get the same. */
  limit(feature: CompiledFeature, limit: number | 'unlimited', most: number | 'unlimited' | null): string;
}

export const DEFAULT_LOCALE = 'en';

/** `null`: not a language tag. A language that this runtime does not know falls back to English. */
export function supportedLocale(tag: string): string | null {
  try {
    return Intl.NumberFormat.supportedLocalesOf([tag])[0] ?? DEFAULT_LOCALE;
  } catch {
    return null;
  }
}

export function createOfferTexts(locale: string): OfferTexts {
  const numbers = new Intl.NumberFormat(locale);
  const money = new Map<string, (amount: number) => string>();
  const moneyText = (amount: number, currency: string): string => {
    let format = money.get(currency);
    if (format === undefined) {
      format = moneyFormat(locale, currency);
      money.set(currency, format);
    }
    return format(amount);
  };
  return {
    locale,
    price(price) {
      const shown = priceOf(price);
      return shown === null ? null : { ...shown, text: moneyText(shown.amount, shown.currency) };
    },
    amount: ({ document: { unit } }, amount) =>
      unit === undefined
        ? numbers.format(amount)
        : `${numbers.format(amount)} ${amount === 1 ? unit.one : unit.other}`,
    limit(feature, limit, most) {
      if (limit === 'unlimited') return 'Unlimited';
      if (limit === 0 && most === null) return 'Not included';
      const { unit } = feature.document;
      const word = unit === undefined ? '' : ` ${limit === 1 && most === null ? unit.one : unit.other}`;
      const amount = most === null ? numbers.format(limit) : `From ${numbers.format(limit)}`;
      return `${amount}${word}${perText(feature)}${periodText(feature)}`;
    },
  };
}

function perText({ type, per }: CompiledFeature): string {
  return type === 'metered' && per !== 'customer' ? ` per ${per}` : '';
}

function periodText({ reset }: CompiledFeature): string {
  if (reset === 'never') return '';
  const count = reset.count ?? 1;
  return count === 1 ? ` per ${reset.every}` : ` every ${count} ${reset.every}s`;
}

/** Minor units as a decimal text, so that no amount is rounded on its way into words. */
function moneyFormat(locale: string, currency: string): (amount: number) => string {
  const format = new Intl.NumberFormat(locale, {
    style: 'currency',
    currency,
    trailingZeroDisplay: 'stripIfInteger',
  });
  const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
  return (amount) => {
    const text = String(amount).padStart(digits + 1, '0');
    const decimal = digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
    return format.format(decimal as Intl.StringNumericLiteral);
  };
}
