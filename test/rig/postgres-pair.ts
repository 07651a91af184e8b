// Two real PostgreSQL members with their adapters, for tests of the adapter and of its port's contract.

import { chmodSync, mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { epoch, regionId } from '@continuum/core';
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
