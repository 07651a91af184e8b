// Types of install.mjs, which is plain JavaScript because the set-up's own modules are.

/** The newest one; and the last one that takes a ttl below 20 s. */
export type PatroniVersion = '4.1.5' | '3.1.2';

/** A program with what must be merged into its environment. */
export type Program = {
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
};

export type PatroniPrograms = {
  readonly etcd: Program;
  /** A Python in which `-m patroni` is that version. */
  readonly patroni: Readonly<Record<PatroniVersion, Program>>;
};

/**
 * Fetches what is missing into the project's cache of parts; downloads nothing when it is there.
 * Throws a PeerProblem when it cannot be had on this machine.
 */
export declare function ensurePatroni(say: (line: string) => void): Promise<PatroniPrograms>;

export type PgAutoFailoverPrograms = {
  readonly autoctl: string;
  /** The PostgreSQL that has the monitor's extension. */
  readonly binDir: string;
  readonly env: Readonly<Record<string, string>>;
};

/** The same for pg_auto_failover. */
export declare function ensurePgAutoFailover(say: (line: string) => void): Promise<PgAutoFailoverPrograms>;

/** The same for the Prometheus exporter of PostgreSQL: the path of its program. */
export declare function ensurePostgresExporter(say: (line: string) => void): Promise<string>;

export type DnsPrograms = { readonly gdnsd: Program; readonly dnsperf: Program };

/** gdnsd, the peer of the DNS bench, and dnsperf, the client of both. */
export declare function ensureDnsPrograms(say: (line: string) => void): Promise<DnsPrograms>;
