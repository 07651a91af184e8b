// What a superuser runs once on the primary before a prober can look: one role that may see and nothing else.

import pg from 'pg';

export type ProbeSetup = {
  readonly user: string;
  /** SCRAM verifier (`scramVerifier`). */
  readonly verifier: string;
  /** Also the heartbeat row of the write canary. */
  readonly canary: boolean;
};

/** One statement each. Safe to run again. */
export function probeSetupStatements({ user, verifier, canary }: ProbeSetup): string[] {
  const role = pg.escapeIdentifier(user);
  const password = pg.escapeLiteral(verifier);
  const heartbeat = [
    'CREATE SCHEMA IF NOT EXISTS continuum',
    `CREATE TABLE IF NOT EXISTS continuum.heartbeat (
       only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
       beat bigint NOT NULL, timeline bigint NOT NULL, at timestamptz NOT NULL)`,
    'INSERT INTO continuum.heartbeat (beat, timeline, at) VALUES (0, 0, now()) ON CONFLICT DO NOTHING',
    `GRANT USAGE ON SCHEMA continuum TO ${role}`,
    `GRANT SELECT, UPDATE ON continuum.heartbeat TO ${role}`,
  ];
  return [
    `DO $$BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = ${pg.escapeLiteral(user)})
      THEN ALTER ROLE ${role} LOGIN PASSWORD ${password}; ELSE CREATE ROLE ${role} LOGIN PASSWORD ${password}; END IF; END$$`,
    `GRANT pg_monitor TO ${role}`,
    ...(canary ? heartbeat : []),
  ];
}
