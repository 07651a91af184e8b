// TrafficPort over an Envoy gateway that reads its route table from a file. The file is the state: the epoch in it is
// compared before it is replaced, and a call returns only when Envoy says that it routes by it.

import { open, readFile, rename } from 'node:fs/promises';
import { dirname, join, basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { RegionId } from '@continuum/core';
import type { Result, TrafficPort, Weights } from '@continuum/ports';
import { failure, success } from '@continuum/ports';
import { request } from 'undici';
import { z } from 'zod';
import type { Endpoint } from './bootstrap.ts';
import { HTTP_STAT_PREFIX } from './bootstrap.ts';
import type { RouteTableOptions } from './route-table.ts';
import { LOCAL_CLUSTER, ROUTE_CONFIG_NAME, parseRouteFile, renderRouteFile, renderVersion } from './route-table.ts';

/** Envoy takes a new file in about 2 ms; asked so often until it says so. */
const CONFIRM_EVERY_MS = 5;
const ADMIN_TIMEOUT_MS = 2_000;
const ADMIN_BYTES_MAX = 65_536;
const WEIGHT_MAX = 1_000_000;

export type EnvoyTrafficOptions = RouteTableOptions & {
  /** In a folder that Envoy watches and that holds nothing else. */
  readonly routeFile: string;
  readonly admin: Endpoint;
};

export type EnvoyTraffic = TrafficPort & {
  /**
   * Before Envoy starts: writes the table with no weights when there is no file, and leaves an existing one alone.
   * Failure: `CTM_TRAFFIC_WRITE`.
   */
  prepare(): Promise<Result<null>>;
};

const stats = z.object({ stats: z.array(z.looseObject({ name: z.string().optional(), value: z.unknown() })) });

/**
 * Failures besides the port's: `CTM_TRAFFIC_WRITE` (the disk refused), `CTM_TRAFFIC_UNCONFIRMED` (written, but Envoy does
 * not say that it is in force within the deadline: call again), `CTM_TRAFFIC_ADMIN` (Envoy's admin address is silent).
 */
export function createEnvoyTraffic(options: EnvoyTrafficOptions): EnvoyTraffic {
  const known = new Set<RegionId>([options.region, ...options.peers]);
  let last: Promise<unknown> = Promise.resolve();
  /** One write at a time: reading the epoch and replacing the file belong together. */
  const alone = <T>(work: () => Promise<T>): Promise<T> => {
    const run = last.then(work);
    last = run.catch(() => undefined);
    return run;
  };

  const replaceFile = async (weights: Weights | null): Promise<Result<null>> => {
    try {
      await writeAtomically(options.routeFile, renderRouteFile(options, weights));
      return success(null);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return failure('CTM_TRAFFIC_WRITE', `cannot write the route file ${options.routeFile}: ${reason}`, error);
    }
  };

  return {
    observe: () => readWeights(options.routeFile),
    prepare: () =>
      alone(async () => {
        const text = await readText(options.routeFile);
        if (!text.ok) return text;
        return text.value === null ? replaceFile(null) : success(null);
      }),
    setWeights: (weights, signal) =>
      alone(async () => {
        const problem = findProblem(weights, known);
        if (problem !== null) return failure('CTM_WEIGHTS_INVALID', problem);
        const inForce = await readWeights(options.routeFile);
        if (!inForce.ok) return inForce;
        if (inForce.value !== null && weights.epoch < inForce.value.epoch) {
          const message = `weights of epoch ${weights.epoch} refused: epoch ${inForce.value.epoch} is in force`;
          return failure('CTM_EPOCH_STALE', message);
        }
        if (inForce.value === null || renderVersion(weights) !== renderVersion(inForce.value)) {
          const replaced = await replaceFile(weights);
          if (!replaced.ok) return replaced;
        }
        return confirm(options.admin, renderVersion(weights), signal);
      }),
    inFlight: (signal) => countInFlight(options.admin, signal),
  };
}

function findProblem({ weights }: Weights, known: ReadonlySet<RegionId>): string | null {
  const entries = Object.entries(weights) as [RegionId, number][];
  const listed = `known regions are ${[...known].join(', ')}`;
  const unknown = entries.find(([region]) => !known.has(region));
  if (unknown !== undefined) return `weights name the unknown region ${unknown[0]}; ${listed}`;
  const bad = entries.find(([, weight]) => !Number.isInteger(weight) || weight < 0 || weight > WEIGHT_MAX);
  if (bad !== undefined) return `weight ${bad[1]} of region ${bad[0]} is not a whole number from 0 to ${WEIGHT_MAX}`;
  const sum = entries.reduce((total, [, weight]) => total + weight, 0);
  return sum === 0 ? `weights sum to 0, which would serve nobody; give at least one region more than 0; ${listed}` : null;
}

async function readText(file: string): Promise<Result<string | null>> {
  try {
    return success(await readFile(file, 'utf8'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return success(null);
    return failure('CTM_TRAFFIC_STATE_CORRUPT', `the route file ${file} cannot be read: ${message}`, error);
  }
}

async function readWeights(file: string): Promise<Result<Weights | null>> {
  const text = await readText(file);
  if (!text.ok) return text;
  if (text.value === null) return success(null);
  const parsed = parseRouteFile(text.value);
  if (parsed.ok) return success(parsed.weights);
  const message = `the route file ${file} is damaged (${parsed.reason}); Envoy keeps the last good one. Remove the file and set the weights again`;
  return failure('CTM_TRAFFIC_STATE_CORRUPT', message);
}

/** On disk before it is in place, and in place before this returns; a crash leaves the old or the new file. */
async function writeAtomically(file: string, text: string): Promise<void> {
  const folder = dirname(file);
  // Not in the watched folder: Envoy would look at every half-written step.
  const next = join(dirname(folder), `.${basename(file)}.next`);
  const handle = await open(next, 'w', 0o644);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(next, file);
  const folderHandle = await open(folder, 'r');
  try {
    await folderHandle.sync();
  } finally {
    await folderHandle.close();
  }
}

async function confirm(admin: Endpoint, version: string, signal: AbortSignal): Promise<Result<null>> {
  let seen = 'nothing yet';
  while (!signal.aborted) {
    const found = await readStat(admin, 'TextReadouts', `http.${HTTP_STAT_PREFIX}.rds.${ROUTE_CONFIG_NAME}.version_text`, signal);
    if (found.ok && found.value[0]?.value === version) return success(null);
    seen = found.ok ? `version ${JSON.stringify(found.value[0]?.value ?? null)}` : found.failure.message;
    await delay(CONFIRM_EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
  return failure('CTM_TRAFFIC_UNCONFIRMED', `Envoy did not confirm ${version} in time; last seen: ${seen}`);
}

async function countInFlight(admin: Endpoint, signal: AbortSignal): Promise<Result<number>> {
  const names = ['upstream_rq_active', 'upstream_rq_pending_active'].map((name) => `cluster.${LOCAL_CLUSTER}.${name}`);
  const found = await readStat(admin, 'Gauges', names.join('|'), signal);
  if (!found.ok) return found;
  const values = names.map((name) => found.value.find((stat) => stat.name === name)?.value);
  if (!values.every((value) => typeof value === 'number')) {
    return failure('CTM_TRAFFIC_ADMIN', `Envoy shows no ${names.join(' or ')}: is it started from our bootstrap?`);
  }
  return success(values.reduce((sum, value) => sum + value, 0));
}

async function readStat(
  admin: Endpoint,
  type: 'Gauges' | 'TextReadouts',
  filter: string,
  signal: AbortSignal,
): Promise<Result<readonly { name?: string | undefined; value?: unknown }[]>> {
  const pattern = `^(${filter.replaceAll('.', '\\.')})$`;
  const url = `http://${admin.address}:${admin.port}/stats?format=json&type=${type}&filter=${encodeURIComponent(pattern)}`;
  try {
    // A connection of its own: one kept from before Envoy's restart would fail the first question after it.
    const { statusCode, body } = await request(url, {
      reset: true,
      signal: AbortSignal.any([signal, AbortSignal.timeout(ADMIN_TIMEOUT_MS)]),
    });
    const parsed = stats.safeParse(JSON.parse(await boundedText(body)));
    if (statusCode === 200 && parsed.success) return success(parsed.data.stats);
    return failure('CTM_TRAFFIC_ADMIN', `Envoy's admin address ${admin.address}:${admin.port} answered ${statusCode}`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return failure('CTM_TRAFFIC_ADMIN', `Envoy's admin address ${admin.address}:${admin.port} does not answer: ${reason}`, error);
  }
}

async function boundedText(body: AsyncIterable<Buffer>): Promise<string> {
  let text = '';
  for await (const chunk of body) {
    text += chunk.toString('utf8');
    if (text.length > ADMIN_BYTES_MAX) throw new Error(`more than ${ADMIN_BYTES_MAX} bytes`);
  }
  return text;
}
