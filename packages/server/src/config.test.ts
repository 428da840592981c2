import { describe, expect, it } from 'vitest';
import { ConfigError, readConfig } from './config.js';

function faultsOf(environment: Record<string, string>): readonly string[] {
  try {
    readConfig(environment, '/work', false);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

describe('readConfig', () => {
  it('needs nothing', () => {
    expect(readConfig({}, '/srv', false)).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      dataDirectory: '/srv/.pennon',
      databaseUrl: null,
      example: true,
      logLevel: 'info',
      usageMonths: 13,
      historyMonths: 13,
      customersInMemory: 50_000,
      trustedProxies: [],
      webhookNetworks: [],
    });
    expect(readConfig({ PORT: '', PENNON_DATA_DIR: ' ' }, '/srv').port).toBe(8080);
  });

  it.each([
    ['10.0.0.7, fd00::/8,loopback', ['10.0.0.7', 'fd00::/8', 'loopback']],
    ['', []],
  ])('takes %j as proxies', (text, expected) => {
    expect(readConfig({ PENNON_TRUST_PROXY: text }).trustedProxies).toEqual(expected);
  });

  it.each(['true', '2', '10.0.0.0/33', '0.0.0.0/0', '::/129', 'proxy.internal', '10.0.0.1/8/8'])(
    'refuses %j as a proxy',
    (text) => {
      expect(faultsOf({ PENNON_TRUST_PROXY: text })).toHaveLength(1);
    },
  );

  it('S-6 takes networks that webhooks may reach, and refuses what is none', () => {
    const text = '10.0.0.0/8, fd00::/8,127.0.0.1';
    expect(readConfig({ PENNON_WEBHOOK_NETWORKS: text }).webhookNetworks).toEqual([
      '10.0.0.0/8',
      'fd00::/8',
      '127.0.0.1',
    ]);
    for (const wrong of ['10.0.0.1/8', 'loopback', 'intranet.example', '10.0.0.0/33', '10.0.0.0/8;x']) {
      expect(faultsOf({ PENNON_WEBHOOK_NETWORKS: wrong }), wrong).toHaveLength(1);
    }
  });

  it('logs less at a terminal, where the greeting shall be seen, unless told otherwise', () => {
    expect(readConfig({}, '/srv', true)).toMatchObject({ logLevel: 'warn', terminal: true });
    expect(readConfig({ PENNON_LOG_LEVEL: 'info' }, '/srv', true).logLevel).toBe('info');
    expect(readConfig({}, '/srv', false)).toMatchObject({ logLevel: 'info', terminal: false });
  });

  it('names every fault at once and shows no secret', () => {
    const faults = faultsOf({
      PORT: '80a',
      DATABASE_URL: 'mysql://root:hunter2@db/x',
      PENNON_ADMIN_KEY: 'too-short-secret',
      PENNON_EXAMPLE: 'no',
      PENNON_PRODUCT: 'a/b',
      PENNON_LOG_LEVEL: 'loud',
      PENNON_USAGE_MONTHS: '1',
      PENNON_CUSTOMERS_IN_MEMORY: '10',
      PENNON_TRUST_PROXY: '1',
      PENNON_SERVR_KEY: 'x'.repeat(40),
    });
    expect(faults).toHaveLength(10);
    const text = faults.join('\n');
    for (const name of [
      'PORT',
      'DATABASE_URL',
      'PENNON_ADMIN_KEY',
      'PENNON_EXAMPLE',
      'PENNON_PRODUCT',
      'PENNON_LOG_LEVEL',
      'PENNON_USAGE_MONTHS',
      'PENNON_CUSTOMERS_IN_MEMORY',
      'PENNON_TRUST_PROXY',
    ]) {
      expect(text).toContain(`\`${name}\` must`);
    }
    expect(text).toContain('Did you mean `PENNON_SERVER_KEY`?');
    expect(text).not.toMatch(/hunter2|too-short-secret/);
  });

  it('S-22 secrets print as stars, however they are printed', () => {
    const config = readConfig(
      { DATABASE_URL: 'postgres://u:hunter2@db/x', PENNON_ADMIN_KEY: 'k'.repeat(32) },
      '/srv',
    );
    expect(`${JSON.stringify(config)} ${String(config.adminKey)}`).not.toMatch(/hunter2|kkkk/);
    expect(config.databaseUrl?.reveal()).toContain('hunter2');
  });

  it('one key cannot be two kinds', () => {
    const same = 'k'.repeat(32);
    expect(faultsOf({ PENNON_ADMIN_KEY: same, PENNON_CLIENT_KEY: same })).toHaveLength(1);
  });

  it.each(['-1', '65536', '1e3', '0x10', '8080 8081'])('refuses the port %s', (port) => {
    expect(faultsOf({ PORT: port })).toHaveLength(1);
  });
});
