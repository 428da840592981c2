import { createTestDatabase, type TestDatabase } from '@pennon/testkit/test-database';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prepare, type RunningProcess, startProcess } from './publish-support.js';

const CATALOG = `
product: { key: saleshub, name: Sales Hub, defaultPlan: free }
features:
  - { key: analytics, type: boolean, category: subscription, owner: a@example.com, purpose: Reports, removal: permanent }
  - { key: seats, type: limit, category: limit, owner: a@example.com, purpose: Seats, removal: permanent }
plans:
  - { key: free, version: 0, rank: 0, entitlements: [{ feature: seats, value: 1 }] }
  - { key: pro, version: 0, rank: 1, entitlements: [{ feature: analytics, value: true }, { feature: seats, value: 10 }] }
flags:
  - { key: new-menu, type: boolean, category: release, owner: w@example.com, purpose: Menu, removal: With the old one, default: true }
  - { key: other, type: boolean, category: release, owner: w@example.com, purpose: Other, removal: Soon, default: false }
`;

describe('publishing a whole document', () => {
  let database: TestDatabase;
  let server: RunningProcess;
  beforeAll(async () => {
    database = await createTestDatabase();
    await prepare(database.url);
    server = await startProcess(database.url);
  });
  afterAll(async () => {
    await server.stop();
    await database.drop();
  });

  it('is served from memory by the process that wrote it, before it answers', async () => {
    const result = await server.apply(CATALOG);
    expect(result.revision).toBe(1);
    expect(server.current()?.revision).toBe(1);
    expect([...(server.current()?.flags.keys() ?? [])]).toEqual(['new-menu', 'other']);
  });
});
