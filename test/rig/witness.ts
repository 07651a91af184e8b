// Starts the real witness: the deployable Worker in workerd, one process, its Durable Objects in a folder. No wrangler and no
// network in between, so that SIGKILL hits exactly the process that holds the lease and a restart finds the same storage.

import { createRequire } from 'node:module';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { generateKeyPair, importSigningKey } from '@continuum/wire';
import type { KeyId, PublicKey } from '@continuum/wire';
import { start, waitFor } from './process.ts';
import type { Started } from './process.ts';

export type WitnessOptions = {
  /** Storage, key, configuration and log; a later start on the same folder is the same witness. */
  readonly folder: string;
  readonly address: string;
  readonly port: number;
  /** Public keys of each region by label; the key id is `<region>/<label>`. */
  readonly regions: readonly { readonly region: string; readonly publicKeys: Readonly<Record<string, PublicKey>> }[];
  /** Leases that may exist. All regions take part in each. */
  readonly leases: readonly string[];
  /** Further variables of the Worker, for example RESTORE. */
  readonly variables?: Readonly<Record<string, unknown>>;
  readonly uid?: number;
  readonly gid?: number;
};

export type Witness = {
  /** `http://address:port`, what controllers connect to. */
  readonly url: string;
  /** What controllers pin: the witness's public keys by key id. */
  readonly publicKeys: Readonly<Record<KeyId, string>>;
  readonly process: Started;
  /** From spawn to the first healthy answer. */
  readonly startMs: number;
};

const KEY_ID = 'witness/1';
const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));
const WORKER = join(REPOSITORY, 'workers/witness/src/index.ts');
const UNIQUE_KEY = 'continuum-witness-lease';

let bundle: Promise<string> | null = null;

/** Starts the witness and returns once it answers. Kill it with `process.kill()` and call this again to restart it. */
export async function startWitness(options: WitnessOptions): Promise<Witness> {
  const storage = join(options.folder, 'objects');
  mkdirSync(storage, { recursive: true });
  const key = await witnessKey(options.folder);
  bundle ??= bundleWorker();
  writeFileSync(join(options.folder, 'worker.mjs'), await bundle);
  const configFile = join(options.folder, 'witness.capnp');
  writeFileSync(configFile, workerdConfig(options, storage, key.privateKey), { mode: 0o600 });
  const startedAtMs = performance.now();
  const started = await start({
    name: 'witness',
    command: workerdBinary(),
    args: ['serve', configFile],
    logFile: join(options.folder, 'witness.log'),
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.gid ?? options.uid }),
  });
  const url = `http://${options.address}:${options.port}`;
  const health = await waitFor(`witness at ${url}`, async () => {
    if (!started.running()) return `it ended: ${await started.exited}; see ${started.logFile}`;
    const response = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(1_000) });
    return response.ok ? 'ok' : await response.text();
  });
  if (health !== 'ok') {
    await started.kill();
    throw new Error(`the witness does not serve: ${health}`);
  }
  const startMs = performance.now() - startedAtMs;
  return { url, publicKeys: { [KEY_ID]: key.publicKey }, process: started, startMs };
}

/** The workerd binary itself, without npm's launcher in front of it. */
export function workerdBinary(): string {
  const require = createRequire(join(REPOSITORY, 'package.json'));
  const { default: path } = require('workerd') as { default: string };
  return path;
}

async function witnessKey(folder: string): Promise<{ privateKey: string; publicKey: string }> {
  const file = join(folder, 'witness-key.json');
  if (!existsSync(file)) writeFileSync(file, JSON.stringify(await generateKeyPair()), { mode: 0o600 });
  const key = JSON.parse(readFileSync(file, 'utf8')) as { privateKey: string; publicKey: string };
  await importSigningKey(KEY_ID, key.privateKey);
  return key;
}

async function bundleWorker(): Promise<string> {
  const result = await build({
    entryPoints: [WORKER],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2024',
    external: ['cloudflare:workers'],
    conditions: ['workerd', 'worker', 'browser'],
    absWorkingDir: REPOSITORY,
    logLevel: 'silent',
  });
  const [output] = result.outputFiles;
  if (output === undefined) throw new Error('esbuild gave no bundle');
  return output.text;
}

function workerdConfig(options: WitnessOptions, storage: string, privateKey: string): string {
  const { compatibility_date: compatibilityDate } = readWranglerConfig();
  const variables: Readonly<Record<string, unknown>> = {
    WITNESS_KEY_ID: KEY_ID,
    WITNESS_SIGNING_KEY: privateKey,
    REGIONS: Object.fromEntries(options.regions.map(({ region, publicKeys }) => [region, publicKeys])),
    LEASES: Object.fromEntries(options.leases.map((name) => [name, options.regions.map(({ region }) => region)])),
    ...options.variables,
  };
  const bindings = [
    `(name = "LEASE", durableObjectNamespace = "LeaseObject")`,
    ...Object.entries(variables).map(([name, value]) => `(name = "${name}", json = ${capnpText(JSON.stringify(value))})`),
  ];
  return `# Written by test/rig/witness.ts.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "witness", worker = .witness),
    (name = "objects", disk = (path = ${capnpText(storage)}, writable = true)),
    (name = "nowhere", network = (allow = [])),
  ],
  sockets = [(name = "http", address = "${options.address}:${options.port}", http = (), service = "witness")],
);

const witness :Workerd.Worker = (
  modules = [(name = "worker.mjs", esModule = embed "worker.mjs")],
  compatibilityDate = "${compatibilityDate}",
  globalOutbound = "nowhere",
  durableObjectNamespaces = [(className = "LeaseObject", uniqueKey = "${UNIQUE_KEY}", enableSql = true)],
  durableObjectStorage = (localDisk = "objects"),
  bindings = [
    ${bindings.join(',\n    ')},
  ],
);
`;
}

/** The date under which the Worker is deployed is the date under which it is tested. */
function readWranglerConfig(): { compatibility_date: string } {
  const text = readFileSync(join(REPOSITORY, 'workers/witness/wrangler.jsonc'), 'utf8');
  return JSON.parse(text.replace(/^\s*\/\/.*$/gm, '')) as { compatibility_date: string };
}

function capnpText(text: string): string {
  return JSON.stringify(text);
}
