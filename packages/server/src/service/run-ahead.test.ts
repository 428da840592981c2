import { parseCatalog } from '@pennon/engine/catalog/parse-catalog';
import type { CustomerState, Instant } from '@pennon/engine/model/customer';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import { compileSnapshot } from '@pennon/engine/snapshot/compile-snapshot';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { NOTHING_TOLD } from '@pennon/engine/usage/notices';
import { describe, expect, it } from 'vitest';
import type { LockedAccount, LockedFrame, LockRequest } from '../store/account-transaction.js';
import type { Accounts } from '../store/accounts.js';
import { NOTHING_ENDED } from '../store/reservation-statements.js';
import type { AheadOutcome, AheadWrite } from '../store/write-ahead.js';
import { ByCall } from './by-call.js';
import type { ConsumeRequest } from './consume-request.js';
import type { SentBatch } from './decide-ahead.js';
import { createBatchDecider } from './decide-batch.js';
import type { CustomerStates } from './ports.js';
import { createAheadRunner } from './run-ahead.js';
import { settleAll } from './settle-batch.js';

/* When a batch is sent ahead, at which instant, and what a wrong guess costs. The store answers what each test says. */

const HEARD = Date.UTC(2027, 2, 10, 12);

const { catalog } = parseCatalog([
  {
    name: 'catalog.yaml',
    text: `
product: { key: test, name: Test }
features:
  - { key: seats, type: metered, reset: never, category: limit, owner: a@example.com, purpose: A test, removal: permanent }
plans:
  - { key: pro, entitlements: [{ feature: seats, value: 1000 }] }
`,
  },
]);
if (catalog === null) throw new Error('The catalog of the test does not stand.');
const { snapshot } = compileSnapshot({ catalog, environment: 'production', revision: 1, productId: 'p' });

const ACME = {
  ...{ id: 'c', key: 'acme', version: 1, createdAt: 0, timeZone: null, attributes: {} },
  ...{ groups: [], memberships: [], grants: [], accounts: [] },
  licenses: [
    {
      ...{ id: 'l', product: 'test', plan: 'pro', planVersion: 0, kind: 'paid', status: 'active' },
      ...{ startsAt: 0, endsAt: null, anchor: null, timeZone: null, addons: [], createdAt: 0 },
    },
  ],
} as unknown as CustomerState;

const SUBJECT = {
  ...{ targetingKey: 'acme', customerKey: 'acme', userKey: null, teamKey: null, instance: null, sku: null },
  proven: true,
};
const EVALUATION = {
  ...{ snapshot, customer: ACME, subject: SUBJECT, context: {}, now: HEARD },
} as unknown as EvaluationRequest<Snapshot>;

let calls = 0;

function request(more: Partial<ConsumeRequest> = {}): ConsumeRequest {
  calls += 1;
  const item = {
    ...{ key: 'seats', account: { feature: 'seats', scope: '' }, amount: 1, attributes: {}, holder: null },
  };
  const versions = { subjects: 0, shared: 0 };
  return {
    ...{ operation: 'consume', customerKey: 'acme', idempotencyKey: `call-${calls}`, requestHash: '00' },
    ...{ mode: 'all', actor: 'test', evaluation: { request: EVALUATION, versions, items: [item] } },
    ...{ environmentId: 'e', productId: 'p' },
    ...more,
  } as unknown as ConsumeRequest;
}

function lockRequest(customerId = 'c'): LockRequest {
  return {
    ...{ environmentId: 'e', productId: 'p', customerId, idempotencyKeys: [] },
    ...{ accounts: [{ feature: 'seats', scope: '' }], reservationIds: [], holders: [] },
  };
}

/** A batch of one that was decided under its locks at this instant, and is on its way to the store. */
function sentAt(now: Instant): SentBatch {
  const account: LockedAccount = {
    ...{ feature: 'seats', scope: '', used: 0, reserved: 0, nextHoldEnd: null, periodStart: null },
    ...{ periodEnd: null, covered: 0, hasLots: false, limitKnown: 1000, told: NOTHING_TOLD },
  };
  const frame: LockedFrame = {
    ...{ now, customer: { version: 1 }, revision: 1, versions: { subjects: 0, shared: 0 } },
    ...{ accounts: [account], earlier: [], reservations: [], holders: [] },
  };
  const decider = createBatchDecider(frame, NOTHING_ENDED, new Map());
  const one = request();
  settleAll([one], [one.evaluation], new ByCall(), frame, decider.decide);
  return { place: { of: now }, productId: 'p', frame, write: decider.write() };
}

interface Asked {
  readonly ahead: AheadWrite;
  readonly behind: object;
  readonly answer: (outcome: AheadOutcome) => void;
  readonly fail: (error: Error) => void;
}

/** A runner with a clock that stands still until it is moved, and a store that answers when it is told to. */
function runner() {
  let time = 50_000;
  const asked: Asked[] = [];
  const noted: unknown[] = [];
  const accounts: Pick<Accounts, 'writeAhead'> = {
    async writeAhead(_, ahead, behind) {
      const outcome = new Promise<AheadOutcome>((answer, fail) => {
        asked.push({ ahead, behind, answer, fail });
      });
      return { place: { sent: asked.length }, outcome };
    },
  };
  const customers = {
    noteBalance: (environmentId: string, customerKey: string, account: { used: number }) =>
      noted.push({ environmentId, customerKey, used: account.used }),
  } as unknown as CustomerStates;
  const ahead = createAheadRunner({ accounts, customers, clock: { now: () => time } });
  const run = (behind: SentBatch, onSent: (sent: SentBatch) => void = () => undefined, whose = 'c') => {
    const one = request();
    return ahead.run([one], [one.evaluation], lockRequest(whose), behind, onSent);
  };
  return {
    ...{ asked, noted, run, hear: ahead.hear },
    pass(milliseconds: number) {
      time += milliseconds;
    },
    /** One batch whose guess is right or wrong. `false`: none was made. */
    async guess(stood: boolean, whose = 'c'): Promise<boolean> {
      const before = asked.length;
      const running = run(sentAt(HEARD), () => undefined, whose);
      await Promise.resolve();
      if (asked.length === before) {
        expect(await running).toBeNull();
        return false;
      }
      asked.at(-1)?.answer({ stood, now: HEARD });
      expect((await running) !== null).toBe(stood);
      return true;
    },
  };
}

describe('X-5 a batch that is sent ahead of its locks', () => {
  it('is not sent before the time of the store was heard', async () => {
    const { asked, run, hear } = runner();
    expect(await run(sentAt(HEARD))).toBeNull();
    expect(asked).toEqual([]);
    hear(HEARD);
    void run(sentAt(HEARD));
    expect(asked).toHaveLength(1);
  });

  it('is decided at the time that was heard last, and so much later as passed since', async () => {
    const { asked, run, hear, pass } = runner();
    hear(HEARD);
    pass(12.9);
    const first = run(sentAt(HEARD));
    expect(asked[0]?.ahead.write.now).toBe(HEARD + 12);
    expect(asked[0]?.ahead.expected.now).toBe(HEARD + 12);
    // Its answer tells the time too, be it right or wrong.
    asked[0]?.answer({ stood: true, now: HEARD + 500 });
    await first;
    pass(3);
    void run(sentAt(HEARD));
    expect(asked[1]?.ahead.write.now).toBe(HEARD + 503);
    hear(HEARD + 600);
    pass(1);
    void run(sentAt(HEARD));
    expect(asked[2]?.ahead.write.now).toBe(HEARD + 601);
  });

  it('hears the time of a wrong guess too', async () => {
    const { asked, run, hear, pass } = runner();
    hear(HEARD);
    const first = run(sentAt(HEARD));
    asked[0]?.answer({ stood: false, now: HEARD - 7000 });
    await first;
    pass(100);
    void run(sentAt(HEARD - 9000));
    expect(asked[1]?.ahead.write.now).toBe(HEARD - 6900);
  });

  it('is never decided before the batch that it is behind', () => {
    const { asked, run, hear } = runner();
    hear(HEARD);
    const behind = sentAt(HEARD + 40);
    void run(behind);
    expect(asked[0]?.ahead.write.now).toBe(HEARD + 40);
    expect(asked[0]?.behind).toBe(behind.place);
  });

  it('says that it is sent before its outcome is known, and what the next one may rest on', async () => {
    const { asked, run, hear } = runner();
    hear(HEARD);
    const sent: SentBatch[] = [];
    const settled = run(sentAt(HEARD), (one) => sent.push(one));
    await new Promise((resolve) => setImmediate(resolve));
    expect(sent).toMatchObject([
      { place: { sent: 1 }, frame: { accounts: [{ used: 1 }] }, write: { accounts: [{ used: 2 }] } },
    ]);
    expect(sent[0]?.write).toBe(asked[0]?.ahead.write);
    asked[0]?.answer({ stood: true, now: HEARD });
    expect(await settled).toMatchObject([
      { ok: true, answer: { decidedAt: HEARD, decisions: [{ usedBefore: 1, usedAfter: 2 }] } },
    ]);
  });

  it('notes its balance when it stands, and none when the guess was wrong: then there is no answer either', async () => {
    const { asked, noted, run, hear } = runner();
    hear(HEARD);
    const right = run(sentAt(HEARD));
    const wrong = run(sentAt(HEARD));
    await Promise.resolve();
    expect(noted).toEqual([]);
    asked[0]?.answer({ stood: true, now: HEARD });
    asked[1]?.answer({ stood: false, now: HEARD });
    expect(await right).toHaveLength(1);
    expect(await wrong).toBeNull();
    expect(noted).toEqual([{ environmentId: 'e', customerKey: 'acme', used: 2 }]);
  });

  it('hands on what the store fails with, and doubts nobody for it', async () => {
    const { asked, noted, run, hear, guess } = runner();
    hear(HEARD);
    const running = run(sentAt(HEARD));
    asked[0]?.fail(new Error('away'));
    await expect(running).rejects.toThrow('away');
    expect(noted).toEqual([]);
    expect(await guess(true)).toBe(true);
  });

  it('is not sent where it is not worth a guess', async () => {
    const { asked, run, hear } = runner();
    hear(HEARD);
    const behind = sentAt(HEARD);
    expect(await run({ ...behind, frame: { ...behind.frame, revision: 2 } })).toBeNull();
    expect(asked).toEqual([]);
  });
});

describe('X-5 after a wrong guess', () => {
  it('none is made of that customer for 20 ms, after the next one for 40, and never longer than 5 s', async () => {
    const { hear, pass, guess } = runner();
    hear(HEARD);
    expect(await guess(false)).toBe(true);
    for (const pause of [20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000]) {
      pass(pause - 1);
      expect(await guess(false)).toBe(false);
      pass(1);
      expect(await guess(false)).toBe(true);
    }
  });

  it('a right one forgets it', async () => {
    const { hear, pass, guess } = runner();
    hear(HEARD);
    await guess(false);
    pass(20);
    await guess(false);
    pass(40);
    expect(await guess(true)).toBe(true);
    expect(await guess(true)).toBe(true);
    expect(await guess(false)).toBe(true);
    pass(19);
    expect(await guess(false)).toBe(false);
    pass(1);
    expect(await guess(true)).toBe(true);
  });

  it('others are followed as before', async () => {
    const { hear, guess } = runner();
    hear(HEARD);
    await guess(false);
    expect(await guess(true, 'c')).toBe(false);
    expect(await guess(true, 'other')).toBe(true);
  });
});
