// The replication-lag prober: `main.ts --config prober.yaml`. Exit codes: 78 the configuration is wrong, 75 the port is
// taken, 71 no process can be started here, 70 a programming error.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { systemClock } from '@continuum/runtime/clock';
import { logLines } from '@continuum/runtime/log-lines';
import { createApi } from './api.ts';
import { createProberClock } from './clock.ts';
import { fileSource } from './cluster-source.ts';
import type { ProberConfig } from './config.ts';
import { createFleet } from './fleet.ts';
import { createMetrics } from './metrics.ts';
import { createPeers } from './peers.ts';
import { createPush } from './push.ts';
import { readConfig } from './read-config.ts';
import { createWheel } from './wheel.ts';

const EXIT_CONFIG = 78;
const EXIT_TAKEN = 75;
const EXIT_UNREAD = 71;
const EXIT_BUG = 70;

/** An `import` of it would read every one of its exports, among them one that loads Node's `fetch`: eight megabytes. */
const { createServer } = process.getBuiltinModule('node:http');

await main();

async function main(): Promise<void> {
  const file = readArguments();
  const text = readText(file);
  const parsed = await readConfig(text);
  if (parsed.ok === null) return exit(EXIT_UNREAD, parsed.reason);
  // Loaded for who has problems: it brings what reads YAML.
  if (!parsed.ok) return exit(EXIT_CONFIG, (await import('@continuum/wire/config-file')).formatProblems(file, parsed.problems));
  const { config } = parsed;
  const log = pino({ base: null, level: config.logLevel, timestamp: pino.stdTimeFunctions.isoTime }, logLines());
  const crash = (error: unknown): never => {
    log.fatal({ err: error }, 'a programming error: this process ends');
    process.exit(EXIT_BUG);
  };
  const now = createProberClock({ cheapMs: () => performance.now(), exactMs: () => systemClock.now().monoMs });
  const token = tokenReader(config);
  const wheel = createWheel({ now });
  const pushes = config.push.map((target) => createPush(target, now));
  const metrics = createMetrics(() => fleet.all(), now);
  const fleet = createFleet({
    wheel,
    now,
    log,
    onLook: metrics.looked,
    onCrash: crash,
    onChange: (watcher) => {
      for (const push of pushes) push.changed(watcher);
    },
  });
  const peers = createPeers(config.peers, token, now, () => fleet.balance(peers));
  fleet.balance(peers);
  fleet.apply(config);

  const api = createApi({ fleet, peers: () => peers, token, runId: randomUUID().slice(0, 8), now, metrics: metrics.render, onCrash: crash });
  const { host, port } = config.listen;
  const server = createServer(api).listen(port, host, () => log.info({ host, port }, 'API ready'));
  server.on('error', (error: NodeJS.ErrnoException) => {
    const reason = error.code === 'EADDRINUSE' ? 'the port is in use; stop what listens there or choose another' : error.message;
    exit(EXIT_TAKEN, `CTM_PROBER_LISTEN: listen ${host}:${port}: ${reason}`);
  });

  const stopping = new AbortController();
  const source = fileSource(file, text);
  const following = source.follow((event) => {
    metrics.configuration(event.kind === 'changed');
    if (event.kind === 'unread') log.error({ reason: event.reason }, 'the changed configuration could not be read; the one before stays in force');
    else if (event.kind === 'refused') log.error({ problems: event.problems }, 'the changed configuration cannot be used; the one before stays in force');
    else take(config, event.config, fleet.apply, log);
  }, stopping.signal);
  following.catch(crash);

  const shutDown = (): void => {
    log.info('prober stops');
    stopping.abort();
    for (const push of pushes) push.close();
    peers.close();
    fleet.close();
    wheel.stop();
    server.close();
    process.exit(0);
  };
  process.once('SIGTERM', shutDown);
  process.once('SIGINT', shutDown);
}

/** Clusters change while it runs; what this process itself is made of does not. */
function take(first: ProberConfig, changed: ProberConfig, apply: (config: ProberConfig) => void, log: Logger): void {
  const fixed = ['listen', 'tokenFile', 'peers', 'push', 'logLevel'] as const;
  const differing = fixed.filter((key) => JSON.stringify(first[key]) !== JSON.stringify(changed[key]));
  if (differing.length > 0) log.warn({ settings: differing }, 'these settings count from the next start on');
  apply(changed);
}

function readArguments(): string {
  try {
    const { values } = parseArgs({ options: { config: { type: 'string' } } });
    if (values.config !== undefined) return values.config;
  } catch (error) {
    return exit(EXIT_CONFIG, `CTM_CONFIG_MISSING: ${(error as Error).message}`);
  }
  return exit(EXIT_CONFIG, 'CTM_CONFIG_MISSING: name the configuration: --config prober.yaml');
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    return exit(EXIT_CONFIG, `CTM_CONFIG_MISSING: ${file}: ${(error as NodeJS.ErrnoException).code ?? String(error)}; give --config a file that can be read`);
  }
}

/** Read at every use, so that a rotated token counts at once. Gone for a moment while it is replaced: the last one counts. */
function tokenReader({ tokenFile }: ProberConfig): () => string | null {
  if (tokenFile === undefined) return () => null;
  let last: string;
  try {
    last = readFileSync(tokenFile, 'utf8').trim();
  } catch (error) {
    return exit(EXIT_CONFIG, `tokenFile ${tokenFile}: ${(error as NodeJS.ErrnoException).code ?? String(error)}; give a file that can be read`);
  }
  return () => {
    try {
      last = readFileSync(tokenFile, 'utf8').trim();
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
    return last;
  };
}

function exit(code: number, message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(code);
}
