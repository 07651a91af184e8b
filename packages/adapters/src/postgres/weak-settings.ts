// Commits that do not wait although they should: a role or a database may be configured with a weaker synchronous_commit.
// What a session sets for itself by SET cannot be seen by anybody else; see README.md, limits.

import type { Session } from './session.ts';

export type WeakSetting = { readonly role: string | null; readonly database: string | null; readonly value: string };

export async function listWeakSettings(session: Session, signal: AbortSignal): Promise<WeakSetting[]> {
  const rows = await session.query(
    signal,
    `SELECT r.rolname AS role, d.datname AS database, substr(c, length('synchronous_commit=') + 1) AS value
     FROM pg_db_role_setting AS s CROSS JOIN unnest(s.setconfig) AS c
       LEFT JOIN pg_roles AS r ON r.oid = s.setrole LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
     WHERE c LIKE 'synchronous\\_commit=%' AND c <> 'synchronous_commit=remote_apply'
     ORDER BY 1, 2`,
  );
  return rows.map((row) => ({
    role: (row['role'] as string | null) ?? null,
    database: (row['database'] as string | null) ?? null,
    value: String(row['value']),
  }));
}
