import { createCatalogWorkshop } from '@pennon/server/service/catalog-workshop';
import type { PlanRequest, PublishPlan } from '@pennon/server/service/publish-plan';
import { createPublishingThread, type PublishingThread } from '@pennon/server/service/publishing-thread';
import { createMigratedDatabase, type TestDatabase } from '@pennon/testkit/test-database';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PRODUCT, prepare } from './publish-support.js';

let databases: readonly TestDatabase[];
let thread: PublishingThread;
beforeAll(async () => {
  databases = await Promise.all([createMigratedDatabase(), createMigratedDatabase()]);
  for (const { url } of databases) await prepare(url);
  thread = createPublishingThread();
});
afterAll(async () => {
  await thread.stop();
  for (const database of databases) await database.drop();
});

const workshopOf = (url: string) => createCatalogWorkshop({ connectionString: url, sharedThread: thread });

const request = (key: string): PlanRequest => ({
  product: PRODUCT,
  move: [],
  environments: [],
  now: 0,
  edit: {
    type: 'document',
    files: [{ name: 'catalog.yaml', text: `flags:\n  - { key: ${key}, type: boolean, default: true }\n` }],
    base: null,
    prune: false,
  },
});

const keysOf = ({ changes }: PublishPlan) =>
  changes.filter(({ kind }) => kind === 'flag').map(({ key }) => key);

describe('one publishing thread for two databases', () => {
  it('keeps them apart, and goes on for one when the other leaves', async () => {
    const [first, second] = databases.map(({ url }) => workshopOf(url));
    if (first === undefined || second === undefined) throw new Error('Two databases were made.');
    const plans = await Promise.all([first.plan(request('one')), second.plan(request('two'))]);
    expect(plans.map(keysOf)).toEqual([['one'], ['two']]);

    const left = first.plan(request('one'));
    const leaving = first.stop();
    await expect(left).rejects.toMatchObject({ code: 'PUBLISHING_UNAVAILABLE' });
    await leaving;
    expect(keysOf(await second.plan(request('three')))).toEqual(['three']);
    // Whoever comes back finds the thread at work.
    const again = workshopOf(databases[0]?.url ?? '');
    expect(keysOf(await again.plan(request('four')))).toEqual(['four']);
  });

  it('says of a product that is not there that it is not there', async () => {
    const workshop = workshopOf(databases[0]?.url ?? '');
    const asked = { ...request('one'), product: { ...PRODUCT, id: '0190a000-0000-7000-8000-00000000ffff' } };
    await expect(workshop.plan(asked)).rejects.toMatchObject({ code: 'PRODUCT_NOT_FOUND' });
  });
});
