// Reads a configuration in a process that ends with it. What reads YAML and checks it takes ten megabytes, and many more for
// a file of a thousand clusters, for something that is done once in a while; and while it is done, looks go on. (A thread
// does not do: V8 keeps the pages of its heap.)

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ConfigFile } from '@continuum/wire/config-file';
import type { ProberConfig } from './config.ts';

const CHILD = fileURLToPath(new URL('./config-child.ts', import.meta.url));
const TIMEOUT_MS = 60_000;

export type ReadConfig =
  | ConfigFile<ProberConfig>
  /** This machine could not run the process: nothing is known of the configuration. */
  | { readonly ok: null; readonly reason: string };

export function readConfig(text: string, reader = CHILD): Promise<ReadConfig> {
  return new Promise((resolve) => {
    const child = fork(reader, { execArgv: [], timeout: TIMEOUT_MS, killSignal: 'SIGKILL' });
    const fail = (reason: string): void => resolve({ ok: null, reason: `CTM_CONFIG_UNREAD: the process that reads the configuration ${reason}` });
    child.once('message', (found) => resolve(found as ConfigFile<ProberConfig>));
    child.once('error', (error) => fail(`could not be used: ${error.message}`));
    child.once('exit', (code, signal) => fail(`ended by ${signal ?? `exit code ${code}`}`));
    child.send(text, (error) => {
      if (error !== null) fail(`took nothing: ${error.message}`);
    });
  });
}
