// Measuring replication by SQL, from either end.

export { createPostgresProbe } from './probe.ts';
export type { PostgresProbe, ProbeOptions, TlsFiles } from './probe.ts';
export { probeSetupStatements } from './setup.ts';
export type { ProbeSetup } from './setup.ts';
