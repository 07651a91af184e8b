// What the DNS register needs to know, checked once with every problem in one report. Secrets are never quoted.

import { isIP } from 'node:net';
import { assert, canonicalName, CLOCK_RATE_ERROR } from '@continuum/core';
import type { Failure } from '@continuum/ports';
import { fieldProblems, InvalidFieldsError, leaseName, regionName } from '@continuum/wire';
import type { FieldProblem } from '@continuum/wire';
import { z } from 'zod';
import type { CrossCheckOptions } from './cross-check.ts';
import type { Authority } from './session.ts';
import type { TsigKey } from './tsig.ts';

/** The highest state of the lease that this region has ever seen. It outlives the process. */
export type RegisterMemory = {
  readonly load: () => { readonly epoch: number; readonly change: number } | null;
  /** Durable when it returns; throws when the disk refuses. */
  readonly save: (highest: { readonly epoch: number; readonly change: number }) => void;
};

export type DnsRegisterOptions = {
  /** The authority itself, outside both regions. */
  readonly address: string;
  readonly port: number;
  /** The zone that holds leases and nothing else. The record is at `<lease>.<zone>`. */
  readonly zone: string;
  readonly lease: string;
  readonly region: string;
  /** Of this region alone. */
  readonly keyName: string;
  /** As `readTsigSecret` takes it; a function is asked at every exchange. */
  readonly keySecret: string | (() => string);
  readonly memory: RegisterMemory;
  /** Resolvers that are asked what they remember of the record; without them only this region's own memory tells an old copy. */
  readonly crossCheck?: Pick<CrossCheckOptions, 'voters' | 'onRound' | 'everyMs' | 'timeoutMs'>;
  /** Between two looks of a watch. */
  readonly pollMs?: number;
  /** How much the rates of two machines' clocks may differ. */
  readonly drift?: number;
  /** 0..1, for jitter. */
  readonly random?: () => number;
  /** Monotonic milliseconds. */
  readonly nowMs?: () => number;
  readonly wallSeconds?: () => number;
  /** Why a watch is blind. For logs and metrics only. */
  readonly onWatchProblem?: (failure: Failure) => void;
};

export type Checked = {
  readonly authority: Authority;
  readonly zone: string;
  readonly name: string;
  readonly lease: string;
  readonly region: string;
  readonly memory: RegisterMemory;
  readonly pollMs: number;
  readonly drift: number;
  readonly random: () => number;
  readonly nowMs: () => number;
};

const POLL_MS_DEFAULT = 100;
/** Shorter than the output of the hash, a secret can be guessed. */
const SECRET_BYTES_MIN = 16;

const dnsName = z.string().refine((text) => canonicalName(text) !== null, 'use a domain name');

const schema = z.object({
  address: z.string().refine((text) => isIP(text) !== 0, 'use the IP address of the authority: a name would have to be resolved first'),
  port: z.number().int().min(1).max(65_535),
  zone: dnsName,
  lease: leaseName,
  region: regionName,
  keyName: dnsName,
  pollMs: z.number().min(10, 'use 10 ms or more').max(60_000, 'use at most 60000 ms').optional(),
  drift: z.number().min(0).max(0.2).optional(),
});

export const TSIG_SECRET_FIX = `use base64 of at least ${SECRET_BYTES_MIN} bytes, as "pdnsutil generate-tsig-key NAME hmac-sha256" prints it`;

/** The bytes of a secret in base64; null when it is none. */
export function readTsigSecret(text: string): Uint8Array | null {
  const secret = Uint8Array.from(Buffer.from(text, 'base64'));
  const canonical = Buffer.from(secret).toString('base64') === text.trim();
  return canonical && secret.length >= SECRET_BYTES_MIN ? secret : null;
}

export function checkOptions(options: DnsRegisterOptions): Checked {
  const parsed = schema.safeParse(options);
  const problems: FieldProblem[] = parsed.success ? [] : fieldProblems(parsed.error.issues, { ...options, keySecret: undefined });
  const { keySecret } = options;
  const secretNow = (): Uint8Array | null => readTsigSecret(typeof keySecret === 'string' ? keySecret : keySecret());
  if (secretNow() === null) problems.push({ path: 'keySecret', value: '(not shown)', fix: TSIG_SECRET_FIX });
  const [zone, keyName] = [canonicalName(options.zone), canonicalName(options.keyName)];
  if (problems.length > 0 || zone === null || keyName === null) throw new InvalidFieldsError('CTM_REGISTER_OPTIONS_INVALID', problems);
  const key = (): TsigKey => {
    const secret = secretNow();
    assert(secret !== null, 'TSIG_SECRET');
    return { name: keyName, secret };
  };
  const wallSeconds = options.wallSeconds ?? (() => Date.now() / 1_000);
  return {
    authority: { address: options.address, port: options.port, key, wallSeconds },
    zone,
    name: `${options.lease}.${zone}`,
    lease: options.lease,
    region: options.region,
    memory: options.memory,
    pollMs: options.pollMs ?? POLL_MS_DEFAULT,
    drift: options.drift ?? CLOCK_RATE_ERROR,
    random: options.random ?? Math.random,
    nowMs: options.nowMs ?? (() => Number(process.hrtime.bigint() / 1_000n) / 1_000),
  };
}
