// Opens the real implementation of each port from the configuration.

import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import { regionId } from '@continuum/core';
import { gateTimeoutMs } from '@continuum/adapters/envoy-rds/bootstrap';
import { createEnvoyTraffic } from '@continuum/adapters/envoy-rds/envoy-traffic';
import { createPostgresDatabase } from '@continuum/adapters/postgres/index';
import { createQuorum } from '@continuum/adapters/quorum/index';
import type { Quorum } from '@continuum/adapters/quorum/index';
import { createResolvers } from '@continuum/adapters/resolver/resolvers';
import { createWitnessRegister } from '@continuum/adapters/witness-http/index';
import type { DatabasePort, QuorumPort, RegisterPort, ResolversPort, TrafficPort } from '@continuum/ports';
import { vendorOf } from '@continuum/wire/attestation-spec';
import type { ContinuumConfig } from '@continuum/wire/spec';

const RESOLVER_TIMEOUT_MS = 1_000;

export type OpenPorts = {
  readonly register: RegisterPort;
  readonly database: DatabasePort;
  readonly traffic: TrafficPort;
  readonly resolvers: ResolversPort;
  readonly quorum: QuorumPort | null;
  readonly close: () => Promise<void>;
};

/** Throws for a configuration that cannot be used; opens no connection that it would have to wait for. */
export async function openPorts(config: ContinuumConfig, log: Logger): Promise<OpenPorts> {
  const { spec, local } = config;
  const region = regionId(local.region);
  const register = await createWitnessRegister({
    url: spec.witness.url,
    lease: spec.witness.lease,
    region,
    keyId: local.witness.keyId,
    privateKey: readFileSync(local.witness.privateKeyFile, 'utf8'),
    witnessPublicKeys: spec.witness.publicKeys,
    onWatchProblem: ({ code, message }) => log.warn({ code, message }, 'watch'),
  });
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
    leaseName: spec.witness.lease,
    peers: spec.regions.filter((one) => one.name !== region).map((one) => regionId(one.name)),
    appTimeoutMs: local.gateway.appTimeout,
    peerTimeoutMs: local.gateway.appTimeout + gateTimeoutMs(local.gateway.holdLimit),
    routeFile: local.gateway.routeFile,
    admin: local.gateway.admin,
  });
  const resolvers = createResolvers({ servers: spec.dns.resolvers, timeoutMs: RESOLVER_TIMEOUT_MS });
  const quorum = await openQuorum(config);
  return {
    register,
    database,
    traffic,
    resolvers,
    quorum,
    close: async () => {
      await quorum?.close();
      await register.close();
      database.close();
    },
  };
}

/** Null when the specification says nothing of attestations. */
async function openQuorum({ spec, local }: ContinuumConfig): Promise<Quorum | null> {
  const { attestation, resolvers } = spec.dns;
  if (attestation === undefined) return null;
  const ca = local.dns === undefined ? {} : { ca: readFileSync(local.dns.caFile, 'utf8') };
  return createQuorum({
    zone: attestation.zone,
    lease: spec.witness.lease,
    region: regionId(local.region),
    publicKeys: attestation.publicKeys,
    voters: resolvers.map((one) => ({
      name: one.name,
      vendor: vendorOf(one) ?? one.name,
      address: one.address,
      port: one.port,
      ...(one.https === undefined ? {} : { https: { url: one.https, ...ca } }),
    })),
  });
}
