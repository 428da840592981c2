import { randomUUID } from 'node:crypto';

/* The decisions of the sample server: everything in memory, and so every decision alone. */

const MAXIMUM = Number.MAX_SAFE_INTEGER;

/** A fault of the protocol: status, code, and what to say. */
export class Refusal extends Error {
  constructor(status, errorCode, message) {
    super(message);
    this.status = status;
    this.errorCode = errorCode;
  }
}

/** @param {ReadonlySet<string>} faults what is done wrong on purpose */
export function createAccounts(fixture, faults) {
  const features = new Map(fixture.features.map((one) => [one.key, one]));
  const accounts = new Map();
  const seen = new Set();

  function featureOf(key) {
    const feature = features.get(key);
    if (feature === undefined) throw new Refusal(404, 'ENTITLEMENT_NOT_FOUND', `There is no \`${key}\`.`);
    return feature;
  }

  function accountOf(feature, { customer, user }) {
    if (feature.per === 'user' && user === undefined) {
      throw new Refusal(400, 'TARGETING_KEY_MISSING', `\`${feature.key}\` counts per user.`);
    }
    const scope = feature.per === 'user' && !faults.has('users-shared') ? user : '';
    const owner = faults.has('customers-shared') ? 'all' : customer;
    const name = JSON.stringify([owner, feature.key, scope]);
    if (!accounts.has(name)) accounts.set(name, newAccount());
    return accounts.get(name);
  }

  function reservedOf(account) {
    let sum = 0;
    for (const hold of account.holds.values()) {
      if (hold.state !== 'held') continue;
      if (hold.expiresAt <= Date.now() && !faults.has('holds-endless')) hold.state = 'expired';
      else sum += hold.amount;
    }
    return faults.has('holds-free') ? 0 : sum;
  }

  function amountOf(feature, { amount, attributes }) {
    if (amount !== undefined && amount !== null) {
      if (!Number.isSafeInteger(amount) || (amount < 0 && !faults.has('negative-amount'))) {
        throw new Refusal(400, 'TYPE_MISMATCH', '`amount` must be a whole number from 0 on.');
      }
      return amount;
    }
    if (feature.measure === undefined || faults.has('no-measure')) return 1;
    const parts = feature.measure.map((name) => attributes?.[name]);
    if (!parts.every(Number.isSafeInteger))
      throw new Refusal(400, 'TYPE_MISMATCH', 'The attributes do not fit.');
    return parts.reduce((sum, part) => sum + part, 0);
  }

  function meteredOf(key) {
    const feature = featureOf(key);
    if (feature.type !== 'metered') throw new Refusal(400, 'TYPE_MISMATCH', `\`${key}\` is not counted.`);
    return feature;
  }

  /** How much of `amount` may be taken now. */
  function roomOf(feature, account) {
    const free = feature.limit === 'unlimited' || feature.enforcement === 'observe';
    if (free || (feature.enforcement === 'soft' && !faults.has('soft-refuses'))) return MAXIMUM;
    return Math.max(0, feature.limit - account.used - reservedOf(account));
  }

  function entitlementOf(feature, account, amount = 1) {
    const metered = feature.type === 'metered';
    const granted = feature.value !== undefined || feature.limit !== undefined;
    const used = metered ? account.used : 0;
    const reserved = metered ? reservedOf(account) : 0;
    const unlimited = feature.limit === 'unlimited';
    const over = unlimited || feature.limit === undefined ? 0 : Math.max(0, used + reserved - feature.limit);
    const fits =
      feature.limit === undefined ||
      (metered ? roomOf(feature, account) : feature.limit) >= amount ||
      unlimited;
    return {
      key: feature.key,
      type: feature.type,
      hasAccess: granted && fits,
      reason: reasonOf(feature, granted, fits, over),
      value: feature.value ?? null,
      limit: limitOf(feature),
      usage: used,
      reserved,
      balance: unlimited ? MAXIMUM : Math.max(0, (feature.limit ?? 0) - used - reserved),
      overage: over,
      period: feature.reset === undefined || feature.reset === 'never' ? null : periodOf(feature.reset),
      validUntil: null,
      sources: granted
        ? [
            {
              type: 'plan',
              key: 'standard',
              effect: 'set',
              value: feature.value ?? feature.limit,
              until: null,
            },
          ]
        : [],
      remedy: null,
      asOf: new Date().toISOString(),
      revision: 1,
      isFallback: false,
      metadata: {},
    };
  }

  function limitOf({ limit, enforcement = 'hard' }) {
    if (limit === undefined) return null;
    if (limit !== 'unlimited') return { kind: 'finite', value: limit, enforcement };
    return faults.has('unlimited-number')
      ? { kind: 'finite', value: -1, enforcement }
      : { kind: limit, enforcement };
  }

  /** Decides all items or none; `upTo` takes what fits of each. @param rooms by item, where they were read before */
  function take(who, items, mode, rooms) {
    const planned = new Map();
    const decided = items.map((item, index) => {
      const feature = meteredOf(item.key);
      const account = accountOf(feature, who);
      const amount = amountOf(feature, item);
      const before = faults.has('items-apart') ? 0 : (planned.get(account) ?? 0);
      const holds =
        item.holder !== undefined && account.holders.has(item.holder) && !faults.has('holder-twice');
      if (item.holder !== undefined && feature.reset !== 'never') {
        throw new Refusal(400, 'TYPE_MISMATCH', `\`${item.key}\` is refilled by time and has no holders.`);
      }
      const wanted = holds && !faults.has('holder-refused') ? 0 : amount;
      const room = (rooms?.[index] ?? roomOf(feature, account)) - before;
      const taken = mode === 'upTo' && !faults.has('up-to-all') ? Math.min(wanted, room) : wanted;
      const allowed = taken <= room && (taken > 0 || wanted === 0);
      if (allowed) planned.set(account, before + (holds ? 0 : taken));
      return { item, feature, account, allowed, taken: holds ? 0 : taken, wanted };
    });
    const all = decided.every((one) => one.allowed);
    for (const one of decided) {
      if (!(all || (faults.has('partial-items') && one.allowed))) continue;
      one.account.used += one.taken;
      if (one.item.holder !== undefined && !one.account.holders.has(one.item.holder)) {
        one.account.holders.set(one.item.holder, one.taken);
      }
    }
    seen.add(who.customer);
    return { allowed: all, decided };
  }

  function answerOf({ feature, account, wanted, taken }, allowed, refusedAlone) {
    const entitlement = entitlementOf(feature, account);
    const reason = allowed ? accessReason(feature, entitlement) : 'LIMIT_REACHED';
    return {
      key: feature.key,
      allowed,
      reason: allowed || refusedAlone ? reason : 'LIMIT_REACHED',
      consumed: allowed ? taken : 0,
      entitlement: { ...entitlement, hasAccess: entitlement.hasAccess && (allowed || wanted <= 1) },
    };
  }

  return {
    evaluate(who, key, amount) {
      const feature = featureOf(key);
      if (amount !== undefined) amountOf(feature, { amount });
      const account = feature.type === 'metered' ? accountOf(feature, who) : null;
      const answer = entitlementOf(feature, account, faults.has('amount-ignored') ? 1 : (amount ?? 1));
      if (faults.has('evaluate-takes') && account !== null) account.used += 1;
      return answer;
    },
    bulk(who) {
      const listed = [...features.values()].filter((one) => one.per !== 'user' || who.user !== undefined);
      const sorted = faults.has('unsorted')
        ? listed
        : listed.sort((one, other) => (one.key < other.key ? -1 : 1));
      return sorted.map((one) => entitlementOf(one, one.type === 'metered' ? accountOf(one, who) : null));
    },
    async consume(who, items, mode, single) {
      let read;
      if (faults.has('race')) {
        read = items.map((item) => roomOf(meteredOf(item.key), accountOf(meteredOf(item.key), who)));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      const { allowed, decided } = take(who, items, mode, read);
      if (single) {
        const { key: _, ...answer } = answerOf(decided[0], allowed, true);
        return answer;
      }
      const listed = decided.map((one) =>
        answerOf(one, allowed || (faults.has('partial-items') && one.allowed), true),
      );
      return { allowed, ...(allowed ? {} : { reason: 'LIMIT_REACHED' }), items: listed };
    },
    release(who, item) {
      const feature = meteredOf(item.key);
      if (feature.reset !== 'never' && !faults.has('release-quota')) {
        throw new Refusal(400, 'TYPE_MISMATCH', `\`${item.key}\` is refilled by time.`);
      }
      if (!seen.has(who.customer))
        throw new Refusal(404, 'CUSTOMER_NOT_FOUND', 'Nobody of that key was seen.');
      const account = accountOf(feature, who);
      let amount =
        item.holder === undefined ? amountOf(feature, item) : (account.holders.get(item.holder) ?? 0);
      if (!faults.has('release-below-zero')) amount = Math.min(amount, account.used);
      if (item.holder !== undefined && !faults.has('holder-gives-twice')) account.holders.delete(item.holder);
      account.used -= amount;
      return { released: amount, entitlement: entitlementOf(feature, account) };
    },
    reserve(who, item, mode, ttlSeconds) {
      const feature = meteredOf(item.key);
      const account = accountOf(feature, who);
      const wanted = amountOf(feature, item);
      const room = roomOf(feature, account);
      const amount = mode === 'upTo' ? Math.min(wanted, room) : wanted;
      seen.add(who.customer);
      if (amount > room || (amount === 0 && wanted > 0)) {
        return {
          allowed: false,
          reason: 'LIMIT_REACHED',
          key: feature.key,
          entitlement: entitlementOf(feature, account),
        };
      }
      const hold = {
        id: randomUUID(),
        feature,
        account,
        amount,
        state: 'held',
        settled: null,
        expiresAt: Date.now() + ttlSeconds * 1000,
      };
      account.holds.set(hold.id, hold);
      return { hold, answer: holdAnswer(hold) };
    },
    settle(hold, sent) {
      const { feature, account } = hold;
      reservedOf(account);
      if (hold.state === 'settled' || hold.state === 'released') {
        if (!faults.has('final-again'))
          throw new Refusal(409, 'RESERVATION_FINAL', `\`${hold.id}\` is final.`);
      }
      const { more, late } = feature.settle ?? {};
      if (hold.state === 'expired' && !faults.has('late-settled')) {
        if (late !== 'consume') throw new Refusal(410, 'RESERVATION_EXPIRED', `\`${hold.id}\` has ended.`);
        if (sent > roomOf(feature, account)) return holdAnswer(hold, false);
      } else if (sent > hold.amount) {
        if (more === undefined && !faults.has('settle-more'))
          throw new Refusal(400, 'TYPE_MISMATCH', 'More than is held.');
        const room = roomOf(feature, account) + hold.amount;
        if (more === 'all' && sent > room) return holdAnswer(hold, false);
        return finish(hold, 'settled', more === 'upTo' ? Math.min(sent, room) : sent);
      }
      return finish(hold, 'settled', faults.has('settle-keeps') ? hold.amount : sent);
    },
    releaseHold(hold) {
      reservedOf(hold.account);
      if (hold.state === 'settled' || (hold.state === 'released' && faults.has('release-once'))) {
        throw new Refusal(409, 'RESERVATION_FINAL', `\`${hold.id}\` is final.`);
      }
      return hold.state === 'held' ? finish(hold, 'released', 0) : holdAnswer(hold);
    },
    record(who, key, amount, thisPeriod, happened) {
      const feature = meteredOf(key);
      const account = accountOf(feature, who);
      seen.add(who.customer);
      if (faults.has('event-room') && amount > roomOf(feature, account))
        throw new Refusal(400, 'LIMIT_REACHED', 'Full.');
      const isCounted = thisPeriod || faults.has('late-now');
      if (isCounted) account.used += amount;
      if (isCounted && amount !== 0) account.log.pop();
      account.log.push({ at: happened, amount });
    },
    /** Windows are of UTC, as all that is refilled here. */
    history(who, key, { from, to, window }) {
      const feature = meteredOf(key);
      const account = accountOf(feature, who);
      const points = [];
      for (let start = startOf(window, from); start < to && start <= Date.now(); ) {
        const end = nextOf(window, start);
        const own = account.log.filter(({ at }) => at >= start && at < end);
        if (own.length > 0 || !faults.has('history-gaps'))
          points.push(pointOf(feature, account, own, start, end));
        start = end;
      }
      return { targetingKey: who.customer, key, window, timeZone: 'UTC', points };
    },
    amountOfEvent: (key, data) => amountOf(meteredOf(key), data),
    periodOf: (key) => periodOf(meteredOf(key).reset),
  };

  function pointOf(feature, { log }, own, start, end) {
    const { reset, limit } = feature;
    const seenUntil = Math.min(end - 1, Date.now());
    const period = reset === undefined || reset === 'never' ? null : periodOf(reset, new Date(seenUntil));
    const since = period === null ? 0 : Date.parse(period.start);
    const usage = sumOf(log.filter(({ at }) => at >= since && at < end));
    const left = limit === 'unlimited' ? MAXIMUM : Math.max(0, limit - usage);
    return {
      start: new Date(start).toISOString(),
      end: new Date(end).toISOString(),
      amount: sumOf(own),
      events: own.length,
      usage: faults.has('history-window-usage') ? sumOf(own) : usage,
      limit: limit === 'unlimited' ? { kind: limit } : { kind: 'finite', value: limit },
      balance: faults.has('history-no-balance') ? 0 : left,
      overage: limit === 'unlimited' ? 0 : Math.max(0, usage - limit),
      reset: since >= start,
      period: period === null ? null : { start: period.start, end: period.end },
    };
  }

  function finish(hold, state, amount) {
    hold.state = state;
    hold.settled = state === 'settled' ? amount : null;
    hold.account.used += state === 'settled' ? amount : 0;
    return holdAnswer(hold);
  }

  function holdAnswer(hold, allowed = true) {
    const { id, feature, account, amount, settled, state, expiresAt } = hold;
    const entitlement = entitlementOf(feature, account);
    const reason = allowed ? accessReason(feature, entitlement) : 'LIMIT_REACHED';
    return {
      allowed,
      reason,
      id,
      key: feature.key,
      amount,
      settled,
      state,
      expiresAt: new Date(expiresAt).toISOString(),
      entitlement,
    };
  }
}

function reasonOf(feature, granted, fits, over) {
  if (!granted) return 'NOT_ENTITLED';
  return fits ? accessReason(feature, { overage: over }) : 'LIMIT_REACHED';
}

function accessReason({ limit, enforcement }, { overage }) {
  if (limit === 'unlimited') return 'UNLIMITED';
  if (overage > 0 && enforcement === 'soft') return 'SOFT_LIMIT_EXCEEDED';
  return overage > 0 && enforcement === 'observe' ? 'OBSERVE_ONLY' : 'PLAN';
}

/** Every change of `used` is kept with its time. */
function newAccount() {
  let used = 0;
  const log = [];
  return {
    get used() {
      return used;
    },
    set used(value) {
      if (value !== used) log.push({ at: Date.now(), amount: value - used });
      used = value;
    },
    log,
    holds: new Map(),
    holders: new Map(),
  };
}

function sumOf(entries) {
  return entries.reduce((sum, { amount }) => sum + amount, 0);
}

function startOf(window, instant) {
  const at = new Date(instant);
  const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()];
  if (window === 'month') return Date.UTC(year, month, 1);
  return Date.UTC(year, month, day, window === 'hour' ? at.getUTCHours() : 0);
}

function nextOf(window, start) {
  const at = new Date(start);
  if (window === 'month') return Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1, 1);
  return start + (window === 'hour' ? 3_600_000 : 86_400_000);
}

function periodOf(reset, now = new Date()) {
  const parts = [now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate(), now.getUTCHours()];
  const [year, month, day, hour] = parts;
  const [start, end, interval] =
    reset === 'hour'
      ? [Date.UTC(year, month, day, hour), Date.UTC(year, month, day, hour + 1), 'PT1H']
      : [Date.UTC(year, month, 1), Date.UTC(year, month + 1, 1), 'P1M'];
  return {
    start: new Date(start).toISOString(),
    end: new Date(end).toISOString(),
    interval,
    anchor: 'calendar[UTC]',
  };
}
