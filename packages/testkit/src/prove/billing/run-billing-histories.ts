import type { ProofLine } from '../proof-line.js';
import { type Seeded, seeded } from '../seeded.js';
import type { BillingSite } from './billing-site.js';
import { drawLife, type Life, type LifeEnd, type ToldEvent } from './draw-subscription.js';
import { type Outcome, readOutcome } from './read-outcome.js';

/*
 * Each life is told twice, to two processes: once in order, and once shuffled, with duplicates, delays and gaps. Both must come to the
 * same, and to what was drawn.
 */

export interface BillingHistoriesOptions {
  readonly site: BillingSite;
  readonly count: number;
  readonly firstSeed: number;
  readonly onViolation?: (seed: number, violations: readonly string[]) => void;
  readonly onProgress?: (done: number) => void;
}

const AT_ONCE = 100;
const DAY_SECONDS = 86_400;

interface Told {
  readonly seed: number;
  readonly inOrder: Life;
  readonly shuffled: Life;
  readonly names: readonly [Names, Names];
  readonly waves: readonly (readonly ToldEvent[])[];
}

interface Names {
  readonly key: string;
  readonly prefix: string;
}

export async function runBillingHistories(options: BillingHistoriesOptions): Promise<ProofLine> {
  const { site, count, firstSeed } = options;
  const totals = { events: 0, deliveries: 0, gaps: 0, violated: 0 };
  // Long past: nothing that is drawn lies near the clock.
  const begin = Math.floor(Date.now() / 1000 / DAY_SECONDS) * DAY_SECONDS - 300 * DAY_SECONDS;
  for (let first = 0; first < count; first += AT_ONCE) {
    const seeds = Array.from(
      { length: Math.min(AT_ONCE, count - first) },
      (_, index) => firstSeed + first + index,
    );
    const lives = seeds.map((seed) => drawTold(seed, begin));
    await Promise.all(lives.flatMap(({ names }) => names.map(({ key }) => site.makeCustomer(key))));
    const waves = Math.max(...lives.map((one) => one.waves.length));
    await Promise.all(lives.map(({ inOrder, seed }) => tellInOrder(site, inOrder, seed)));
    for (let wave = 0; wave < waves; wave += 1) {
      const sent = await Promise.all(lives.map((one) => tellAtOnce(site, one.waves[wave] ?? [], one.seed)));
      totals.deliveries += sent.reduce((sum, one) => sum + one, 0);
      // What was delayed arrives when everything before it was worked on.
      await site.settle();
    }
    for (const one of lives) {
      totals.events += one.inOrder.events.length;
      totals.deliveries += one.inOrder.events.length;
      totals.gaps += one.shuffled.events.length - new Set(one.waves.flat()).size;
      const violations = await compare(site, one);
      if (violations.length === 0) continue;
      totals.violated += 1;
      options.onViolation?.(one.seed, violations);
    }
    options.onProgress?.(first + seeds.length);
  }
  const { events, deliveries, gaps } = totals;
  return {
    name: 'billing-histories',
    cases: count,
    kills: 0,
    violations: totals.violated,
    seed: firstSeed,
    more: { events, deliveries, gaps },
  };
}

function drawTold(seed: number, begin: number): Told {
  const names: readonly [Names, Names] = [
    { key: `life-${seed}-a`, prefix: `in${seed}a` },
    { key: `life-${seed}-b`, prefix: `in${seed}b` },
  ];
  const inOrder = drawLife(seeded(seed), names[0], begin);
  const shuffled = drawLife(seeded(seed), names[1], begin);
  return { seed, inOrder, shuffled, names, waves: disorder(shuffled.events, seeded(seed ^ 0x5bd1e995)) };
}

/** Some never arrive, some several times, some late, and none in its place. */
function disorder(events: readonly ToldEvent[], chance: Seeded): readonly (readonly ToldEvent[])[] {
  const waves: ToldEvent[][] = [[], [], []];
  for (const event of events) {
    if (event.isDispensable && chance.chance(0.2)) continue;
    const copies = chance.chance(0.4) ? 2 + chance.below(3) : 1;
    const first = chance.pick([0, 0, 1, 2]);
    for (let copy = 0; copy < copies; copy += 1) {
      waves[copy === 0 ? first : first + chance.below(waves.length - first)]?.push(event);
    }
  }
  return waves.map((wave) => shuffle(wave, chance));
}

function shuffle<Item>(items: readonly Item[], chance: Seeded): Item[] {
  const left = [...items];
  const shuffled: Item[] = [];
  while (left.length > 0) shuffled.push(...left.splice(chance.below(left.length), 1));
  return shuffled;
}

async function tellInOrder(site: BillingSite, life: Life, seed: number): Promise<void> {
  // One process takes them in, so that the inbox holds them in their order.
  for (const { body } of life.events) await deliverSurely(site, body, seed);
}

async function tellAtOnce(site: BillingSite, wave: readonly ToldEvent[], seed: number): Promise<number> {
  await Promise.all(wave.map(({ body }, index) => deliverSurely(site, body, seed + index)));
  return wave.length;
}

async function deliverSurely(site: BillingSite, body: ToldEvent['body'], number: number): Promise<void> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    if (await site.deliver(body, number + attempt)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('A delivery was not taken in.');
}

async function compare(site: BillingSite, { seed, names, inOrder }: Told): Promise<string[]> {
  const [first, second] = names;
  const [expected, found] = await Promise.all(
    names.map(({ key, prefix }) => readOutcome(site.tables, key, prefix)),
  );
  if (expected === undefined || found === undefined) return ['Nothing was read.'];
  const violations: string[] = [];
  for (const part of ['known', 'licenses', 'problems'] as const) {
    if (expected[part].join('\n') !== found[part].join('\n'))
      violations.push(
        `${part}\n    in order: ${expected[part].join(' ')}\n    otherwise: ${found[part].join(' ')}`,
      );
  }
  const answers = [await site.answersOf(first.key, seed), await site.answersOf(second.key, seed + 1)];
  if (answers[0] !== answers[1])
    violations.push(`answers\n    in order: ${answers[0]}\n    otherwise: ${answers[1]}`);
  return [...violations, ...checkEnds(expected, inOrder.ends, first.prefix)];
}

/** That both are right, and not only alike: what was drawn last is what is licensed. */
function checkEnds(outcome: Outcome, ends: readonly LifeEnd[], prefix: string): string[] {
  const licenses = outcome.licenses.map((text) => JSON.parse(text) as Record<string, unknown>);
  return ends.flatMap((end) => {
    const name = end.subscription.replaceAll(prefix, '');
    const own = licenses.filter(({ subscription }) => subscription === name);
    const isNone = end.status === 'canceled' || end.status === 'incomplete';
    const [license] = own;
    if (own.length > 1) return [`${name} has ${own.length} licenses`];
    if (end.status === 'canceled')
      return license === undefined ? [] : [`${name} is over, and ${license.status}`];
    if (license === undefined) return isNone ? [] : [`${name} is ${end.status}, and has no license`];
    const isRight = license.plan_key === end.plan && Number(license.quantity) === end.quantity;
    return isRight && license.status === statusOf(end)
      ? []
      : [`${name} is ${JSON.stringify(end)}, and its license ${JSON.stringify(license)}`];
  });
}

function statusOf({ status, isEnding }: LifeEnd): string {
  switch (status) {
    case 'past_due':
      return 'past_due';
    case 'unpaid':
    case 'paused':
    case 'incomplete':
      return 'paused';
    case 'trialing':
      return isEnding ? 'canceled' : 'trialing';
    default:
      return isEnding ? 'canceled' : 'active';
  }
}
