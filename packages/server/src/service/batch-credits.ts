import { type CreditLot, type Instant, inForce } from '@pennon/engine/model/customer';
import type { EntitlementDecision } from '@pennon/engine/model/decision';
import { burn, refill, remainingOf, type Stock } from '@pennon/engine/usage/lots';
import type { LockedAccount } from '../store/account-transaction.js';
import type { LotsWrite, LotWrite, NewLot } from '../store/lot-statements.js';
import { newId } from './new-id.js';

/** What an account's row says of its credits. */
type CreditedAccount = Pick<LockedAccount, 'feature' | 'scope' | 'covered' | 'hasLots'>;

/** The lots of one account of a batch, and what of its use they cover, as they stand between two decisions. */
export class LiveCredits {
  readonly #account: CreditedAccount;
  /** As they were read; `null`: the account has none, or nobody decides about it. */
  readonly #before: readonly CreditLot[] | null;
  #made: readonly CreditLot[] = [];
  #opened = false;
  covered: number;
  lots: readonly CreditLot[];

  constructor(account: CreditedAccount, lots: readonly CreditLot[] | null) {
    this.#account = account;
    this.#before = lots;
    this.covered = account.covered;
    this.lots = lots ?? [];
  }

  /** A period begins: nothing of it is used yet, and what earlier ones left is there to be used. */
  open(rolledOver: readonly CreditLot[]): void {
    this.covered = 0;
    this.#opened = true;
    if (rolledOver.length === 0) return;
    const stored = rolledOver.map((lot) => ({ ...lot, id: newId() }));
    this.#made = [...this.#made, ...stored];
    this.lots = [...this.lots, ...stored];
  }

  /**
   * Follows a decision: what more is used is taken out of the lots and the allowance in their order, what is given back goes back.
   *
   * @returns whether the limit is less afterwards: what came out of a lot that has ended is gone with it
   */
  takeOver(entitlement: EntitlementDecision, used: number, usedAfter: number, now: Instant): boolean {
    const { allowance, limit, period, enforcement } = entitlement;
    const more = usedAfter - used;
    if (more > 0 && allowance !== undefined) {
      this.#set(burn(this.#stock(allowance, used, period?.end ?? null), more, now, enforcement !== 'hard'));
    } else if (more < 0 && this.covered > 0) {
      const added = this.#added(now);
      const allowed = allowance ?? (limit?.kind === 'finite' ? limit.value : Number.MAX_SAFE_INTEGER);
      this.#set(refill(this.#stock(allowed, used, period?.end ?? null), -more, now));
      return this.#added(now) < added;
    }
    return false;
  }

  /** What lots add to the limit. */
  #added(now: Instant): number {
    return this.covered + remainingOf(this.lots, now);
  }

  #stock(allowance: number, used: number, periodEnd: Instant | null): Stock {
    const { covered, lots } = this;
    return { allowance, allowanceUsed: used - covered, periodEnd, covered, lots };
  }

  #set({ covered, lots }: Stock): void {
    this.covered = covered;
    this.lots = lots;
  }

  /** Nothing to write for an account without lots, which is nearly every one. */
  write(now: Instant): LotsWrite | null {
    const { covered: coveredBefore, hasLots, feature, scope } = this.#account;
    const isRead = this.#before !== null || !hasLots;
    if (!isRead) return null;
    const standing = this.lots.filter((lot) => !this.#isOver(lot, now));
    const changed = (this.#before ?? []).flatMap((lot): LotWrite[] => {
      const after = this.lots.find((one) => one.id === lot.id) ?? lot;
      const closed = !standing.includes(after);
      if (after.remaining === lot.remaining && !closed) return [];
      return [{ id: lot.id, remainingBefore: lot.remaining, remaining: after.remaining, closed }];
    });
    const made = this.#made.flatMap(({ id }): NewLot[] => {
      const lot = this.lots.find((one) => one.id === id);
      return lot === undefined ? [] : [{ feature, scope, lot }];
    });
    this.lots = standing;
    const stillHasLots = standing.length > 0;
    const same = this.covered === coveredBefore && stillHasLots === hasLots;
    if (same && changed.length === 0 && made.length === 0) return null;
    const credits = same ? [] : [{ feature, scope, covered: this.covered, hasLots: stillHasLots }];
    return { credits, changed, made };
  }

  /**
   * Ended, or used up in a period that is over: what was used out of it can come back no more. What never resets keeps its lots, because
   * a release refills them.
   */
  #isOver(lot: CreditLot, now: Instant): boolean {
    if (lot.startsAt <= now && !inForce(lot, now)) return true;
    const before = this.#before?.find((one) => one.id === lot.id);
    return this.#opened && before?.remaining === 0 && lot.remaining === 0;
  }
}
