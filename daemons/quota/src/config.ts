// The gate's configuration: one YAML file, checked whole. Every problem is reported, each with its path, the value found
// and what to write instead, because whoever repairs a gate at night should not have to start it five times.

import { readFileSync } from 'node:fs';
import { absolutePath, endpoint, logLevel, parseConfigFile, socketPath } from '@continuum/wire/config-file';
import type { ConfigFile } from '@continuum/wire/config-file';
import { z } from 'zod';

const duration = (least: number, most: number, fallback: number) =>
  z
    .number({ error: `write a number of milliseconds from ${least} to ${most}` })
    .int(`write whole milliseconds from ${least} to ${most}`)
    .min(least, `write at least ${least}`)
    .max(most, `write at most ${most}`)
    .default(fallback);

const name = (what: string) =>
  z
    .string({ error: `write ${what}` })
    .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, `write ${what} in lower-case letters, digits and inner hyphens`);

const gateConfig = z.strictObject({
  region: name('the name of this region'),
  leaseName: name('the name of the lease'),
  listen: endpoint('where Envoy asks'),
  metricsListen: endpoint('where metrics are read'),
  controllerSocket: socketPath("the controller's unix socket"),
  epochFile: absolutePath('the file that remembers the highest epoch'),
  askIntervalMs: duration(10, 10_000, 100),
  heldMax: z
    .number({ error: 'write a number of requests' })
    .int('write a whole number of requests')
    .min(0, 'write 0 or more')
    .max(100_000, 'write at most 100000')
    .default(10_000),
  holdMsLimit: duration(0, 120_000, 15_000),
  firstAnswerMsMax: duration(0, 60_000, 1_000),
  logLevel,
});

export type GateConfig = z.infer<typeof gateConfig>;

/** Reads and checks the file. Never throws for what a user can write. */
export function loadConfig(file: string): ConfigFile<GateConfig> {
  try {
    return parseConfig(readFileSync(file, 'utf8'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return { ok: false, problems: [{ path: '(file)', value: code, fix: 'give --config a file that can be read', line: null }] };
  }
}

export function parseConfig(text: string): ConfigFile<GateConfig> {
  return parseConfigFile(text, gateConfig);
}
