// Runs the operator's command line to its end, as a script would: exit code and both outputs.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../../daemons/controller/src/cli.ts', import.meta.url));
const OVERDUE_MS = 60_000;

export type CommandResult = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

/** `continuum <args> --config <configFile>`. A command that hangs is killed, and has no exit code. */
export async function continuum(configFile: string, ...args: readonly string[]): Promise<CommandResult> {
  const child = spawn(process.execPath, [CLI, ...args, '--config', configFile], { stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (chunk) => (text[name] += String(chunk)));
  const overdue = setTimeout(() => child.kill('SIGKILL'), OVERDUE_MS);
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(overdue);
  return { code, ...text };
}
