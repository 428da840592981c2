import { describe, expect, it } from 'vitest';
import { proofCommand } from './proof-command.js';

const prove = proofCommand('@pennon/testkit/prove/billing/main');

describe('the proof of billing, in its short form', () => {
  it('K-12 histories that are shuffled, repeated, delayed and full of gaps come to what order gives, on two processes', async () => {
    const { code, said } = await prove('histories', '--short');
    expect(said).toMatch(
      /^billing-histories cases=60 kills=0 violations=0 seed=1 events=\d{3} deliveries=\d{4} gaps=\d+$/m,
    );
    expect(code).toBe(0);
  }, 180_000);

  it('K-12 what was acknowledged survives kill -9 of processes and of the database, and is worked on once', async () => {
    const { code, said } = await prove('kills', '--short');
    expect(said).toMatch(/^billing-kills cases=[1-9]\d* kills=3 violations=0 seed=1 database-kills=1 /m);
    expect(code).toBe(0);
  }, 180_000);

  it('fails where nothing was tried', async () => {
    const { code, said } = await prove('histories', '--histories', '0');
    expect(said).toContain('billing-histories cases=0 ');
    expect(code).toBe(1);
  }, 60_000);
});
