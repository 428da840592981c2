import type {} from '@pennon/testkit/global-setup';
import { describe, expect, inject, it } from 'vitest';
import { proofCommand } from './proof-command.js';

const prove = proofCommand('@pennon/testkit/prove/main');

describe('the proof of limits, in its short form', () => {
  const database = inject('adminDatabaseUrl');

  it('X-5 histories of the production batcher agree with the sequential model, and its simulated store with PostgreSQL', async () => {
    const { code, said } = await prove('a', 'd', '--short', '--database', database);
    expect(said).toMatch(/^simulated-histories cases=60 kills=[1-9]\d* violations=0 seed=1 /m);
    expect(said).toMatch(/^batch-behind-batch cases=20 kills=[1-9]\d* violations=0 seed=1 /m);
    expect(said).toMatch(/^holders-and-lots cases=25 kills=[1-9]\d* violations=0 seed=1 /m);
    expect(said).toMatch(/^reservations-racing cases=25 kills=[1-9]\d* violations=0 seed=1 /m);
    expect(said).toMatch(/^scripted-interleavings cases=8 kills=0 violations=0 seed=1 /m);
    expect(code).toBe(0);
  }, 120_000);

  it('X-5 real processes survive kill -9, of the database too, and a stopped one holds nobody up', async () => {
    const { code, said } = await prove('b', 'c', '--short');
    expect(said).toMatch(/^real-histories cases=1 kills=[2-4] violations=0 seed=1 database-kills=1 /m);
    expect(said).toMatch(/^paused-processes cases=1 kills=0 violations=0 seed=1 holding=\d /m);
    expect(code).toBe(0);
  }, 180_000);

  it('plays the same history again from the same seed', async () => {
    const [one, two] = [await prove('--trace', '--seed', '7'), await prove('--trace', '--seed', '7')];
    expect(one.said).toBe(two.said);
    expect(one.said.split('\n').length).toBeGreaterThan(10);
    expect((await prove('--trace', '--seed', '8')).said).not.toBe(one.said);
  }, 60_000);

  it('catches every planted fault', async () => {
    const { code, said } = await prove('e', '--short', '--database', database);
    expect(said).not.toContain('NOT CAUGHT');
    expect(said).toMatch(/^planted-faults cases=(\d+) kills=0 violations=0 seed=1 caught=\1$/m);
    expect(code).toBe(0);
  }, 180_000);

  it('fails where nothing was tried', async () => {
    const { code, said } = await prove('e', '--fault', 'no-such-fault', '--database', database);
    expect(said).toContain('planted-faults cases=0 ');
    expect(code).toBe(1);
  }, 60_000);
});
