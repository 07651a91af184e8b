// What a superuser runs once, on the first primary, before this adapter can work: two roles with the least they need, and
// the table that keeps the highest accepted epoch. Everything in here is replicated to the standby.

import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import pg from 'pg';

export type SetupOptions = {
  readonly controlUser: string;
  readonly replicationUser: string;
  /** SCRAM verifiers (`scramVerifier`), so that no password reaches the server or its log. */
  readonly controlVerifier: string;
  readonly replicationVerifier: string;
};

/** One statement each; for the database that the option `database` names. Safe to run again. */
export function setupStatements(options: SetupOptions): string[] {
  const [control, replication] = [options.controlUser, options.replicationUser].map(pg.escapeIdentifier);
  const rewind = [
    'pg_ls_dir(text, boolean, boolean)',
    'pg_stat_file(text, boolean)',
    'pg_read_binary_file(text)',
    'pg_read_binary_file(text, bigint, bigint, boolean)',
  ];
  return [
    role(options.controlUser, 'LOGIN', options.controlVerifier),
    role(options.replicationUser, 'LOGIN REPLICATION', options.replicationVerifier),
    // Sees every session's and walsender's state, and may ask for a checkpoint.
    `GRANT pg_monitor, pg_checkpoint TO ${control}`,
    `GRANT EXECUTE ON FUNCTION pg_catalog.pg_promote(boolean, integer) TO ${control}`,
    `GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO ${control}`,
    `GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names, primary_conninfo TO ${control}`,
    'CREATE SCHEMA IF NOT EXISTS continuum',
    `CREATE TABLE IF NOT EXISTS continuum.fence (
       only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
       epoch bigint NOT NULL, region text NOT NULL, accepted_at timestamptz NOT NULL DEFAULT now())`,
    `INSERT INTO continuum.fence (epoch, region) VALUES (0, '') ON CONFLICT DO NOTHING`,
    `GRANT USAGE ON SCHEMA continuum TO ${control}`,
    `GRANT SELECT, INSERT, UPDATE ON continuum.fence TO ${control}`,
    // Who is to follow this cluster asks under which epoch it was promoted.
    `GRANT USAGE ON SCHEMA continuum TO ${replication}`,
    `GRANT SELECT ON continuum.fence TO ${replication}`,
    // As the source of pg_rewind it reads every file of the cluster: guard its password like the data.
    `GRANT pg_checkpoint TO ${replication}`,
    ...rewind.map((name) => `GRANT EXECUTE ON FUNCTION pg_catalog.${name} TO ${replication}`),
  ];
}

/** `CREATE ROLE` or, when it is there, `ALTER ROLE`. */
function role(name: string, attributes: string, verifier: string): string {
  const identifier = pg.escapeIdentifier(name);
  const rest = `${attributes} PASSWORD ${pg.escapeLiteral(verifier)}`;
  return `DO $$BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = ${pg.escapeLiteral(name)})
    THEN ALTER ROLE ${identifier} ${rest}; ELSE CREATE ROLE ${identifier} ${rest}; END IF; END$$`;
}

/** What PostgreSQL stores for a SCRAM-SHA-256 password (RFC 5803). For passwords of printable ASCII. */
export function scramVerifier(password: string, salt: Buffer = randomBytes(16)): string {
  if (!/^[\x21-\x7e]+$/.test(password)) throw new Error('password: use printable ASCII without blanks, at least one sign');
  const iterations = 4_096;
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
  const keyed = (text: string) => createHmac('sha256', salted).update(text).digest();
  const stored = createHash('sha256').update(keyed('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${stored}:${keyed('Server Key').toString('base64')}`;
}
