// The server settings that this adapter owns. What never changes while the server runs goes on its command line, where
// neither ALTER SYSTEM nor a configuration file copied from the other region can override it. What does change
// (whom to follow, whom to wait for) goes to postgresql.auto.conf: by ALTER SYSTEM while it runs, by hand while it is down.

import { join } from 'node:path';
import { readIfThere, writeDurably } from './files.ts';
import type { PostgresContext } from './options.ts';
import { DatabaseProblem } from './problem.ts';

export function commandLineSettings(context: PostgresContext): Record<string, string> {
  return {
    ...context.settings,
    listen_addresses: context.host,
    port: String(context.port),
    unix_socket_directories: '',
    hot_standby: 'on',
    wal_level: 'replica',
    synchronous_commit: 'remote_apply',
    recovery_target_timeline: 'latest',
    wal_retrieve_retry_interval: `${context.walRetrieveRetryIntervalMs}ms`,
    wal_receiver_timeout: `${context.walReceiverTimeoutMs}ms`,
    wal_receiver_status_interval: '1s',
    // The adapter reads what the server says when it does not start.
    logging_collector: 'off',
    lc_messages: 'C',
  };
}

export type FileSettings = { readonly primary_conninfo?: string; readonly synchronous_standby_names: string };

/** Replaces these settings in `<directory>/postgresql.auto.conf`. Only while no server runs there. */
export async function writeFileSettings(context: PostgresContext, directory: string, settings: FileSettings): Promise<void> {
  const path = join(directory, 'postgresql.auto.conf');
  const lines = ((await readIfThere(path)) ?? '').split('\n').filter((line) => line.trim() !== '');
  const kept = lines.filter((line) => !Object.hasOwn(settings, /^\s*([a-z_.]+)/i.exec(line)?.[1]?.toLowerCase() ?? ''));
  const added = Object.entries(settings).map(([name, value]) => `${name} = ${quoteSetting(value)}`);
  await writeDurably(path, [...kept, ...added, ''].join('\n'), context.runAs);
}

export async function readFileSetting(directory: string, name: keyof FileSettings): Promise<string | null> {
  const text = (await readIfThere(join(directory, 'postgresql.auto.conf'))) ?? '';
  const values = [...text.matchAll(new RegExp(`^${name} = '((?:[^']|'')*)'$`, 'gm'))];
  return values.at(-1)?.[1]?.replaceAll("''", "'").replaceAll('\\\\', '\\') ?? null;
}

/** A libpq connection string to a peer. Holds the path of the password file, never a password. */
export function peerConnection(
  context: PostgresContext,
  source: { readonly host: string; readonly port: number },
  more: Readonly<Record<string, string>>,
): string {
  const timeouts = { connect_timeout: '2', keepalives: '1', keepalives_idle: '5', keepalives_interval: '2', keepalives_count: '3' };
  const all = {
    ...timeouts,
    tcp_user_timeout: String(context.walReceiverTimeoutMs),
    ...context.peerConnection,
    host: source.host,
    port: String(source.port),
    user: context.replicationUser,
    passfile: context.passFile,
    application_name: context.region,
    ...more,
  };
  return Object.entries(all)
    .map(([key, value]) => `${key}='${value.replaceAll(/[\\']/g, '\\$&')}'`)
    .join(' ');
}

/** `FIRST n ("a", "b")`: commits wait for all of them. */
export const standbyList = (names: readonly string[]): string =>
  names.length === 0 ? '' : `FIRST ${names.length} (${names.map((name) => `"${name}"`).join(', ')})`;

/** The names in any form of `synchronous_standby_names`. */
export function parseStandbyList(setting: string): string[] {
  const list = /^\s*(?:(?:FIRST|ANY)\s+)?\d+\s*\((.*)\)\s*$/is.exec(setting)?.[1] ?? setting;
  return [...list.matchAll(/"((?:[^"]|"")*)"|([^\s,"]+)/g)].map((match) => match[1]?.replaceAll('""', '"') ?? match[2] ?? '');
}

/** A value as the configuration file wants it: there a backslash escapes, in ALTER SYSTEM it does not. */
function quoteSetting(value: string): string {
  if (/[\n\r\0]/.test(value)) {
    throw new DatabaseProblem('CTM_DATABASE_FILE', 'a server setting would hold a line break: check host, passFile and region');
  }
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}
