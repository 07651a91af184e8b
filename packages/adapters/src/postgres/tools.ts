// Runs PostgreSQL's own programs: as the right user, with messages in English (they are read here), bounded in time and output.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { DatabaseProblem } from './problem.ts';
import type { PostgresContext } from './options.ts';
import { sendSignal } from './proc.ts';

const OUTPUT_MAX_CHARS = 256 * 1024;

export type ToolOutput = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** Environment and user of everything that the adapter starts. */
export function processOptions(context: PostgresContext): { env: NodeJS.ProcessEnv; uid?: number; gid?: number } {
  // A PGHOST or PGOPTIONS of the operator's shell must not steer the controller's tools.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('PG'));
  const env: NodeJS.ProcessEnv = { ...Object.fromEntries(inherited), ...context.env, LC_ALL: 'C' };
  return context.runAs === null ? { env } : { env, uid: context.runAs.uid, gid: context.runAs.gid };
}

/**
 * Ends with the program's exit code, whatever it is. When the signal ends the program is killed, with everything that it
 * started: pg_basebackup's second process would go on without it. Hence a process group of its own.
 */
export async function runTool(
  context: PostgresContext,
  name: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<ToolOutput> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<ToolOutput>();
  const child = spawn(join(context.binDir, name), [...args], {
    ...processOptions(context),
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const onAbort = (): void => {
    if (child.pid !== undefined) sendSignal(-child.pid, 'SIGKILL');
    reject(signal.reason);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  const [stdout, stderr] = [tailOf(child.stdout), tailOf(child.stderr)];
  child.once('error', (error) => reject(new DatabaseProblem('CTM_DATABASE_TOOL_FAILED', `cannot run ${name}`, error)));
  child.once('close', (code) => {
    signal.removeEventListener('abort', onAbort);
    resolve({ code: code ?? -1, stdout: stdout(), stderr: stderr() });
  });
  return promise;
}

/** The same, and any exit code but 0 is a problem that carries the program's last words. */
export async function runToolOrFail(
  context: PostgresContext,
  name: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<ToolOutput> {
  const output = await runTool(context, name, args, signal);
  if (output.code === 0) return output;
  throw new DatabaseProblem('CTM_DATABASE_TOOL_FAILED', `${name} failed: ${lastWords(output)}`);
}

export const lastWords = (output: ToolOutput): string =>
  output.stderr.trim().split('\n').slice(-3).join(' | ').slice(-600) || `exit code ${output.code}`;

/** Keeps the end of a stream: that is where programs say what went wrong, and where a log ends. */
function tailOf(stream: NodeJS.ReadableStream): () => string {
  let kept = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    kept += chunk;
    if (kept.length > 2 * OUTPUT_MAX_CHARS) kept = kept.slice(-OUTPUT_MAX_CHARS);
  });
  return () => kept;
}
