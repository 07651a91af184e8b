// Two real PostgreSQL members with their adapters, for tests of the adapter and of its port's contract.

import { chmodSync, mkdirSync, mkdtempSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { epoch, lsnDiffBytes, regionId } from '@continuum/core';
import type { DatabaseObservation, RegionId } from '@continuum/core';
import { createPostgresDatabase } from '@continuum/adapters/postgres/index';
import type { PostgresDatabase, PostgresOptions } from '@continuum/adapters/postgres/index';
import { appClient, initPrimary, killPostgres, postgresOptions, postmasterPid } from './postgres.ts';
import type { PrimaryOptions } from './postgres.ts';
import { adopt, freePort, runFolder, waitFor } from './process.ts';

export type PairMember = {
  readonly region: RegionId;
  readonly options: PostgresOptions & PrimaryOptions;
  readonly database: PostgresDatabase;
  /** As `rejoin` wants its source. */
  readonly address: { readonly region: RegionId; readonly host: string; readonly port: number };
  /** The adapter of a controller that was started again. */
  readonly again: (changes?: Partial<PostgresOptions>) => PostgresDatabase;
  readonly client: () => Promise<pg.Client>;
  readonly pid: () => number;
  /** SIGKILL to the whole server. */
  readonly kill: () => Promise<void>;
};

export type Pair = {
  readonly folder: string;
  readonly one: PairMember;
  readonly two: PairMember;
  readonly close: () => Promise<void>;
};

export const soon = (timeoutMs = 20_000): AbortSignal => AbortSignal.timeout(timeoutMs);

/** One for all pairs of a test file; removed at exit. */
let root: string | null = null;

/** `one` holds a fresh cluster, `two` nothing; neither runs. */
export async function createPair(changes: Partial<PostgresOptions> = {}): Promise<Pair> {
  root ??= runFolder('postgres');
  const folder = mkdtempSync(join(root, 'pair-'));
  chmodSync(folder, 0o711);
  const port = await freePort('127.10.0.1', '127.20.0.1');
  const one = createMember(folder, 'r1', '127.10.0.1', port, changes);
  const two = createMember(folder, 'r2', '127.20.0.1', port, changes);
  await initPrimary(one.options);
  const close = async (): Promise<void> => {
    for (const member of [one, two]) {
      await member.kill();
      member.database.close();
    }
  };
  return { folder, one, two, close };
}

/** `one` is the primary at epoch 1, `two` streams from it; commits wait for `two` when asked for. */
export async function startPair(options: { synchronous: boolean; changes?: Partial<PostgresOptions> }): Promise<Pair> {
  const pair = await createPair(options.changes);
  const { one, two } = pair;
  expectOk(await one.database.promote({ epoch: epoch(1), region: one.region, token: null }, soon()));
  expectOk(await two.database.rejoin({ epoch: epoch(1), source: one.address, preserve: false }, soon()));
  if (options.synchronous) {
    expectOk(await one.database.setSynchronous({ epoch: epoch(1), standbys: [two.region] }, soon()));
  }
  return pair;
}

type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure: { readonly code: string; readonly message: string } };

export function expectOk<T>(result: Outcome<T>): T {
  if (!result.ok) throw new Error(`${result.failure.code} ${result.failure.message}`);
  return result.value;
}

/** Waits for an observation; the error shows the last one. */
export async function observed(
  member: { readonly database: PostgresDatabase },
  what: string,
  wanted: (observation: DatabaseObservation) => boolean,
): Promise<DatabaseObservation> {
  let last: DatabaseObservation | undefined;
  return waitFor(what, async () => {
    last = await member.database.observe(soon(2_000));
    if (wanted(last)) return last;
    throw new Error(JSON.stringify(last));
  });
}

export const INSERT = 'INSERT INTO counter (write_id, region) VALUES (gen_random_uuid(), $1) RETURNING id';

/** Writes one row after another until `stop`; `acknowledged` are the ids that the server confirmed. */
export function startWriter(client: pg.Client, region: string): { acknowledged: string[]; stop: () => Promise<void> } {
  const acknowledged: string[] = [];
  let stopped = false;
  const write = async (): Promise<void> => {
    while (!stopped) {
      try {
        const { rows } = await client.query<{ id: string }>(INSERT, [region]);
        acknowledged.push(String(rows[0]?.id));
      } catch (error) {
        // The server was killed under it: unknown, so never counted as acknowledged.
        if (error instanceof Error) return;
        throw error;
      }
    }
  };
  const done = write();
  return {
    acknowledged,
    stop: async () => {
      stopped = true;
      await done;
    },
  };
}

export async function idsIn(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ id: string }>('SELECT id FROM counter ORDER BY id');
  return rows.map((row) => String(row.id));
}

/** No log is held back, so a few segments later the old ones are gone. */
export const FORGETFUL = { settings: { wal_keep_size: '0', max_wal_size: '32MB', min_wal_size: '32MB' } };

/** Rows that the member acknowledged. */
export async function insert(member: PairMember, rows: number): Promise<string[]> {
  const client = await member.client();
  const { rows: found } = await client.query<{ id: string }>(
    `INSERT INTO counter (write_id, region) SELECT gen_random_uuid(), $1 FROM generate_series(1, $2) RETURNING id`,
    [member.region, rows],
  );
  await client.end();
  return found.map((row) => String(row.id));
}

export async function ids(member: PairMember): Promise<string[]> {
  const client = await member.client();
  const found = await idsIn(client);
  await client.end();
  return found;
}

/** Fills the log of a primary until nothing is left of what it had so far. */
export async function forgetLog(member: PairMember): Promise<void> {
  const segments = async (): Promise<string[]> =>
    (await readdir(join(member.options.dataDir, 'pg_wal'))).filter((name) => /^[0-9A-F]{24}$/.test(name)).map((name) => name.slice(8)).sort();
  const newest = (await segments()).at(-1) ?? '';
  await waitFor(
    'the log so far to be dropped',
    async () => {
      await insert(member, 60_000);
      expectOk(await member.database.prewarm(soon(60_000)));
      return ((await segments())[0] ?? '') > newest;
    },
    { timeoutMs: 60_000 },
  );
}

/** Waits until both members show the same rows. */
export async function sameRows(one: PairMember, two: PairMember): Promise<string[]> {
  return waitFor('both to have the same rows', async () => {
    const [left, right] = [await ids(one), await ids(two)];
    return left.join() === right.join() ? left : null;
  });
}

/** `one` wrote rows that `two`, the new primary at epoch 2, does not have. Both know `kept`. `one` was killed. */
export async function diverge({ one, two }: Pair): Promise<{ kept: string[]; lost: string[] }> {
  const kept = await insert(one, 3);
  const { lsn } = await one.database.observe(soon());
  await observed(two, 'the rows to arrive', (seen) => (lsnDiffBytes(seen.replayLsn, lsn) ?? -1) >= 0);
  await two.kill();
  const lost = await insert(one, 5);
  await one.kill();
  expectOk(await two.database.promote({ epoch: epoch(2), region: two.region, token: null }, soon()));
  return { kept, lost };
}

/** True when `promise` has not settled although the server had a good while for it. Not a wait for anything to happen. */
export async function stillWaits(promise: Promise<unknown>, forMs = 400): Promise<boolean> {
  const settled = promise.then(
    () => false,
    () => false,
  );
  return Promise.race([settled, delay(forMs, true)]);
}

function createMember(folder: string, name: string, host: string, port: number, changes: Partial<PostgresOptions>): PairMember {
  const region = regionId(name);
  const home = join(folder, name);
  mkdirSync(home, { mode: 0o711 });
  const passFile = join(folder, 'passwords');
  const options = { ...postgresOptions({ region, host, port, dataDir: join(home, 'data'), passFile }), ...changes };
  const running = (): number[] => {
    const pid = postmasterPid(options.dataDir);
    return pid === null ? [] : [pid];
  };
  adopt(running);
  return {
    region,
    options,
    database: createPostgresDatabase(options),
    address: { region, host, port },
    again: (more = {}) => createPostgresDatabase({ ...options, ...more }),
    client: async () => {
      const client = appClient(host, port, passFile);
      await client.connect();
      return client;
    },
    pid: () => {
      const [pid] = running();
      if (pid === undefined) throw new Error(`${name}: no postmaster runs`);
      return pid;
    },
    kill: () => killPostgres(options.dataDir),
  };
}
