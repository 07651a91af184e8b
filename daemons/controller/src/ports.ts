// Opens the real implementation of each port from the configuration.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { regionId, VOTES_NEEDED } from '@continuum/core';
import type { Voter } from '@continuum/core';
import { createDnsRegister } from '@continuum/adapters/dns-register/index';
import type { RegisterMemory, RegisterVoter } from '@continuum/adapters/dns-register/index';
import { gateTimeoutMs } from '@continuum/adapters/envoy-rds/bootstrap';
import { createEnvoyTraffic } from '@continuum/adapters/envoy-rds/envoy-traffic';
import { createPostgresDatabase } from '@continuum/adapters/postgres/index';
import { createQuorum } from '@continuum/adapters/quorum/index';
import type { Quorum } from '@continuum/adapters/quorum/index';
import { createWitnessRegister } from '@continuum/adapters/witness-http/index';
import type { DatabasePort, Failure, QuorumPort, RegisterPort, TrafficPort } from '@continuum/ports';
import { vendorOf } from '@continuum/wire/attestation-spec';
import { readStateFile, StateFileError, writeStateFile } from '@continuum/runtime';
import { addressesOf, leaseOf } from '@continuum/wire/spec';
import type { ContinuumConfig } from '@continuum/wire/spec';
import { z } from 'zod';
import { dnsQuestions } from './dns-answers.ts';
import type { DnsQuestion } from './dns-answers.ts';
import type { Metrics } from './metrics.ts';
import { registerKey } from './register-key.ts';

const RESOLVER_TIMEOUT_MS = 1_000;

export type OpenPorts = {
  readonly register: RegisterPort;
  readonly database: DatabasePort;
  readonly traffic: TrafficPort;
  /** What a client may ask for while this region is active. */
  readonly questions: readonly DnsQuestion[];
  readonly quorum: QuorumPort | null;
  readonly close: () => Promise<void>;
};

/** Throws for a configuration that cannot be used; opens no connection that it would have to wait for. */
export async function openPorts(config: ContinuumConfig, log: Logger, tell: Pick<Metrics, 'strayed' | 'registerKeyUnusable'>): Promise<OpenPorts> {
  const { spec, local } = config;
  const region = regionId(local.region);
  const register = await openRegister(config, log, tell.registerKeyUnusable);
  const at = spec.regions.find((one) => one.name === region);
  if (at === undefined) throw new Error(`spec.regions names no ${region}`);
  const { database: given } = local;
  const database = createPostgresDatabase({
    region,
    binDir: given.binDir,
    env: given.libraryPath === undefined ? {} : { LD_LIBRARY_PATH: given.libraryPath },
    dataDir: given.dataDir,
    host: at.database.host,
    port: at.database.port,
    passFile: given.passFile,
    logFile: given.logFile,
    runAs: given.runAs ?? null,
  });
  const traffic = createEnvoyTraffic({
    region,
    leaseName: leaseOf(config),
    peers: spec.regions.filter((one) => one.name !== region).map((one) => regionId(one.name)),
    appTimeoutMs: local.gateway.appTimeout,
    peerTimeoutMs: local.gateway.appTimeout + gateTimeoutMs(local.gateway.holdLimit),
    routeFile: local.gateway.routeFile,
    admin: local.gateway.admin,
  });
  const questions = dnsQuestions(spec.dns, addressesOf(at), RESOLVER_TIMEOUT_MS);
  const quorum = await openQuorum(config, tell.strayed);
  return {
    register,
    database,
    traffic,
    questions,
    quorum,
    close: async () => {
      await quorum?.close();
      await register.close();
      database.close();
    },
  };
}

/** Null when the specification says nothing of attestations. */
async function openQuorum(config: ContinuumConfig, onStray: (voter: Voter) => void): Promise<Quorum | null> {
  const { spec, local } = config;
  const { attestation, resolvers } = spec.dns;
  if (attestation === undefined) return null;
  const ca = local.dns === undefined ? {} : { ca: readFileSync(local.dns.caFile, 'utf8') };
  return createQuorum({
    zone: attestation.zone,
    lease: leaseOf(config),
    region: regionId(local.region),
    publicKeys: attestation.publicKeys,
    onStray,
    voters: resolvers.map((one) => ({
      name: one.name,
      vendor: vendorOf(one) ?? one.name,
      address: one.address,
      port: one.port,
      ...(one.https === undefined ? {} : { https: { url: one.https, ...ca } }),
    })),
  });
}

type OpenRegister = RegisterPort & { readonly close: () => Promise<void> };

async function openRegister({ spec, local }: ContinuumConfig, log: Logger, onKeyUnusable: (unusable: boolean) => void): Promise<OpenRegister> {
  const region = regionId(local.region);
  const onWatchProblem = ({ code, message }: Failure): void => log.warn({ code, message }, 'watch');
  if (spec.witness !== undefined && local.witness !== undefined) {
    return createWitnessRegister({
      url: spec.witness.url,
      lease: spec.witness.lease,
      region,
      keyId: local.witness.keyId,
      privateKey: readFileSync(local.witness.privateKeyFile, 'utf8'),
      witnessPublicKeys: spec.witness.publicKeys,
      onWatchProblem,
    });
  }
  if (spec.dnsRegister === undefined || local.dnsRegister === undefined) throw new Error('spec.register: its section is missing');
  return createDnsRegister({
    ...spec.dnsRegister,
    region,
    keyName: local.dnsRegister.keyName,
    keySecret: registerKey({ file: local.dnsRegister.keyFile, log, onUnusable: onKeyUnusable }),
    memory: registerMemory(join(local.stateDir, 'register.json')),
    crossCheck: { voters: votersOf(spec.dns.resolvers), onRound: tellShown(log) },
    onWatchProblem,
  });
}

const votersOf = (resolvers: ContinuumConfig['spec']['dns']['resolvers']): RegisterVoter[] =>
  resolvers.map((one) => ({ name: one.name, vendor: vendorOf(one) ?? one.name, address: one.address, port: one.port }));

/** Once for each change: whether enough resolvers show the record for an old copy of it to be noticed. */
function tellShown(log: Logger): (shown: number) => void {
  let enough: boolean | null = null;
  return (shown) => {
    const now = shown >= VOTES_NEEDED;
    if (now === enough) return;
    enough = now;
    if (now) log.info({ shown }, 'the resolvers show the register');
    else log.warn({ shown }, 'fewer than two resolvers show the register: an old copy of it is told by this region’s own memory alone. Is its zone delegated?');
  };
}

const highest = z.strictObject({ epoch: z.number().int().nonnegative(), change: z.number().int().nonnegative() });

/** The highest state of the lease that this region has seen. A damaged file ends the start: an old zone would be believed. */
function registerMemory(file: string): RegisterMemory {
  const raw = readStateFile(file);
  const parsed = highest.nullable().safeParse(raw);
  if (!parsed.success) throw new StateFileError(file, "not this version's content");
  let known = parsed.data;
  return {
    load: () => known,
    save: (next) => {
      writeStateFile(file, next);
      known = next;
    },
  };
}
