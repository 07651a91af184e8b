// What is the same to be tried on every version of PowerDNS that can be run here: the records of each placement answer, and the
// version gate (packages/core/src/dns/version-gate.ts) is right about what the server ignores. Used by the test of 4.9 and the
// nightly one of 5.1.

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import { Resolver } from 'node:dns/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Test } from 'tap';
import { createGuardedPublisher } from '@continuum/adapters/powerdns/guarded-publisher';
import type { GuardedPublisher, Wanted } from '@continuum/adapters/powerdns/guarded-publisher';
import { GATED, knows, luaIsStatic, renderPlacement, renderText, zoneRrsets } from '@continuum/core';
import type { PdnsVersion, PlacementInput, ProbeWish, Rendered, Rrset } from '@continuum/core';
import { PLACEMENTS } from '../../packages/core/testing/placements.ts';
import { locate } from '../../scripts/parts.mjs';
import { startAuthoritative } from '../rig/dns.ts';
import type { Authoritative, AuthoritativePart } from '../rig/dns.ts';
import { freePort, runFolder, waitFor } from '../rig/process.ts';

export type Server = {
  readonly version: PdnsVersion;
  readonly authoritative: Authoritative;
  readonly api: { readonly url: string; readonly apiKey: string };
  readonly guarded: GuardedPublisher;
  readonly gateways: readonly [Gateway, Gateway];
  /** Puts the records into a zone of their own in the way that this version has for it. */
  readonly load: (zone: string, rendered: Rendered) => Promise<void>;
  /** Sorted addresses, or the code of the failure. */
  readonly ask: (name: string, type?: 'A' | 'AAAA') => Promise<string>;
};

/** What one region's address answers to the probes of a name server. */
export type Gateway = {
  readonly address: string;
  readonly port: number;
  /** Probes that came for this host until now, those that are held included. */
  readonly probes: (host: string) => number;
  /** What is answered for this host from now on; null keeps the probes waiting until there is another answer. */
  readonly answer: (host: string, status: number | null) => void;
};

/** The unreachable halves of the two regions. */
const SIX = ['fd00:0:0:0:0:0:0:1', 'fd00:0:0:0:0:0:0:2'] as const;
const INFRASTRUCTURE_TTL_SECONDS = 60;
const soon = (): AbortSignal => AbortSignal.timeout(20_000);

/** `network` is that of the addresses, for example `127.48.1`. */
export async function startServer(part: AuthoritativePart, version: PdnsVersion, network: string, settings: Readonly<Record<string, string>> = {}): Promise<Server> {
  const [address, second] = [`${network}.1`, `${network}.2`];
  const folder = runFolder(part);
  const [dnsPort, apiPort, port] = [await freePort(address), await freePort(address), await freePort(address, second)];
  const api = { url: `http://${address}:${apiPort}`, apiKey: 'a-key-of-this-test' };
  const authoritative = await startAuthoritative({ part, folder, region: 'r1', address, dnsPort, apiPort, apiKey: api.apiKey, zone: 'first.test', nameServers: [{ region: 'r1', address }], settings });
  const guarded = createGuardedPublisher({ publisher: authoritative.publisher, authority: { address, port: dnsPort } });
  const resolver = new Resolver({ timeout: 5_000, tries: 1 });
  resolver.setServers([`${address}:${dnsPort}`]);
  const load = async (zone: string, rendered: Rendered): Promise<void> => {
    const content = infrastructure(zone, address);
    if (luaIsStatic(version)) loadZone(part, folder, zone, { ...rendered, rrsets: [...content, ...rendered.rrsets] });
    else await authoritative.publisher.ensureZone(zone, content, soon());
    const made = await guarded.publish(zone, wanted(rendered, [address, second]), soon());
    if (!made.ok) throw new Error(`${made.failure.code}: ${made.failure.message}`);
    if (luaIsStatic(version) && made.value.written) throw new Error(`${zone}: what the publisher reads is not what was loaded`);
  };
  const ask: Server['ask'] = (name, type = 'A') =>
    (type === 'A' ? resolver.resolve4(name) : resolver.resolve6(name)).then((found) => found.sort().join(' '), (error: NodeJS.ErrnoException) => error.code ?? error.message);
  return { version, authoritative, api, guarded, gateways: [await startGateway(address, port), await startGateway(second, port)], load, ask };
}

export const wanted = ({ rrsets, lua }: Pick<Rendered, 'rrsets' | 'lua'>, four: readonly string[]): Wanted => ({ rrsets: [...rrsets, ...lua], retired: [], addresses: [...four, ...SIX] });

function infrastructure(zone: string, address: string): readonly Rrset[] {
  const content = zoneRrsets({ zone, nameServers: [{ name: `ns.${zone}`, addresses: [address] }], ttlSeconds: INFRASTRUCTURE_TTL_SECONDS });
  if (!content.ok) throw new Error(JSON.stringify(content.problems));
  return content.value;
}

/** As the note beside the records says it: what `continuum dns render --explain` prints is a zone file. */
function loadZone(part: AuthoritativePart, folder: string, zone: string, rendered: Rendered): void {
  const { command, env } = locate(part);
  const file = join(folder, `${zone}.zone`);
  writeFileSync(file, renderText(rendered, { explain: true }));
  const run = spawnSync(join(dirname(command), '../bin/pdnsutil'), [`--config-dir=${folder}`, 'load-zone', zone, file], { env: { ...process.env, ...env }, encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`pdnsutil load-zone ${zone}: ${run.stdout}${run.stderr}`);
}

async function startGateway(address: string, port: number): Promise<Gateway> {
  const counts = new Map<string, number>();
  const statuses = new Map<string, number | null>();
  const held = new Map<string, ServerResponse[]>();
  const reply = (response: ServerResponse, status: number): void => void response.writeHead(status, { connection: 'close' }).end('probed\n');
  const server = createServer((request, response) => {
    const host = (request.headers.host ?? '').replace(/:\d+$/, '');
    counts.set(host, (counts.get(host) ?? 0) + 1);
    const status = statuses.get(host) ?? (statuses.has(host) ? null : 503);
    if (status === null) held.set(host, [...(held.get(host) ?? []), response]);
    else reply(response, status);
  });
  await once(server.listen(port, address), 'listening');
  server.unref();
  return {
    address,
    port,
    probes: (host) => counts.get(host) ?? 0,
    answer: (host, status) => {
      statuses.set(host, status);
      if (status === null) return;
      for (const response of held.get(host) ?? []) reply(response, status);
      held.delete(host);
    },
  };
}

/** One of the golden cases, with names below `zone` and addresses of the gateways. */
function placed({ version, gateways: [first, second] }: Server, input: Omit<PlacementInput, 'version'>, zone: string): Rendered {
  const regions = input.regions.map((region) => (region.region === 'r1' ? { ...region, addresses: [first.address, SIX[0]] } : { ...region, addresses: [second.address, SIX[1]] }));
  const { port } = first;
  const made = renderPlacement({
    ...input,
    version,
    zone,
    names: input.names.map((name) => name.replace(input.zone, zone)),
    regions,
    ...(input.lease === undefined ? {} : { lease: { ...input.lease, port } }),
    ...(input.probe === undefined || input.probe === null ? {} : { probe: { ...input.probe, port } }),
  });
  if (!made.ok) throw new Error(JSON.stringify(made.problems));
  return made.value;
}

/** Every placement answers with its own addresses while no region is up: host, apex and wildcard, both families. */
export async function placementsAnswer(t: Test, server: Server): Promise<void> {
  const own = { A: server.gateways.map(({ address }) => address), AAAA: ['fd00::1', 'fd00::2'] };
  const probed: string[] = [];
  for (const [label, input] of Object.entries(PLACEMENTS)) {
    const rendered = placed(server, input, `${label}.test`);
    await server.load(`${label}.test`, rendered);
    if (JSON.stringify(rendered.lua).includes('ifurlup')) probed.push(`${label}.test`);
  }
  const check = async (when: string): Promise<void> => {
    for (const [label, { placement }] of Object.entries(PLACEMENTS)) {
      for (const name of [`${label}.test`, `counter.${label}.test`, `any.counter.${label}.test`]) {
        for (const type of ['A', 'AAAA'] as const) {
          const answer = await server.ask(name, type);
          const [all, [first = '']] = [own[type].join(' '), own[type]];
          const right = { 'active-hotstandby': [all], 'single-region': [first], 'active-active': own[type] }[placement];
          t.ok(right.includes(answer), `${name} ${type} ${when}: ${answer}`);
        }
      }
    }
  };
  await check('just loaded');
  // The second probe of an address is sent once the first one is judged.
  await waitFor('probes', () => probed.every((zone) => server.gateways.every((gateway) => gateway.probes(zone) >= 2)));
  await check('with every region down');
}

/** A name that follows a lease, with a wish that this version may not know: rendered as for the newest. */
async function follow(server: Server, label: string, probe: ProbeWish): Promise<string> {
  const zone = `${label}.test`;
  const [first, second] = server.gateways;
  const regions = [{ region: 'r1', addresses: [first.address] }, { region: 'r2', addresses: [second.address] }];
  const made = renderPlacement({ placement: 'active-hotstandby', version: '5.1', zone, names: [zone], regions, ttlSeconds: 1, lease: { name: 'counter', port: first.port, probe } });
  if (!made.ok) throw new Error(JSON.stringify(made.problems));
  await server.load(zone, made.value);
  return zone;
}

function isGatedAsKnown({ version }: Server, wish: keyof ProbeWish): boolean {
  const gated = GATED.find((one) => one.wish === wish);
  if (gated === undefined) throw new Error(`${wish} is not gated`);
  return knows(version, gated.since);
}

const answers = (server: Server, name: string, wantedAnswer: string): Promise<unknown> => waitFor(`${name} to be answered ${wantedAnswer}`, async () => (await server.ask(name)) === wantedAnswer);

/** `httpCode`: r1 answers the status that is wished for, r2 the usual one. Who does not know the wish sends everybody to r2. */
export async function httpCodeIsAsGated(t: Test, server: Server): Promise<void> {
  const [first, second] = server.gateways;
  const zone = await follow(server, 'httpcode', { httpCode: 204 });
  first.answer(zone, 204);
  second.answer(zone, 200);
  const expected = isGatedAsKnown(server, 'httpCode') ? first.address : second.address;
  await answers(server, zone, expected);
  t.equal(await server.ask(zone), expected);
}

/** A flat list of both regions with an option that the core may not write here. A probe that is held does not time out soon. */
async function withOption({ gateways: [one, two], load }: Server, zone: string, option: string): Promise<void> {
  const content = `A "ifurlup('http://${zone}:${one.port}/',{'${one.address}','${two.address}'},{selector='all',backupSelector='all',timeout='10',${option}})"`;
  await load(zone, { rrsets: [], lua: [{ name: `${zone}.`, type: 'LUA', ttlSeconds: 1, records: [content] }], notes: [], explain: [] });
}

/** `failures`: how many failed probes in a row, each seen to be judged, leave an address in the answer. */
export async function failuresAreAsGated(t: Test, server: Server): Promise<void> {
  const [first, second] = server.gateways;
  const zone = 'failures.test';
  await withOption(server, zone, "minimumFailures='3'");
  for (const gateway of server.gateways) gateway.answer(zone, 200);
  await server.ask(zone);
  await answers(server, zone, `${first.address} ${second.address}`);
  await waitFor('probes of both', () => server.gateways.every((gateway) => gateway.probes(zone) >= 2));
  const steps: string[] = [];
  for (const failed of [0, 1, 2, 3]) {
    // While this probe is held, all before it were judged.
    first.answer(zone, null);
    const before = first.probes(zone);
    await waitFor('the next probe', () => first.probes(zone) > before);
    steps.push(`${failed}: ${await server.ask(zone)}`);
    first.answer(zone, 503);
  }
  const [both, alone] = [`${first.address} ${second.address}`, second.address];
  t.same(steps, isGatedAsKnown(server, 'failures') ? [`0: ${both}`, `1: ${both}`, `2: ${both}`, `3: ${alone}`] : [`0: ${both}`, `1: ${alone}`, `2: ${alone}`, `3: ${alone}`]);
}

/** `intervalSeconds`: while a name that wants a second is probed seven times, how often is one that wants four. */
export async function intervalIsAsGated(t: Test, server: Server): Promise<void> {
  const [first] = server.gateways;
  const [often, seldom] = [await follow(server, 'often', { intervalSeconds: 1 }), await follow(server, 'seldom', { intervalSeconds: 4 })];
  await Promise.all([server.ask(often), server.ask(seldom)]);
  await waitFor('a probe of each', () => first.probes(often) > 0 && first.probes(seldom) > 0);
  const before = first.probes(often) - first.probes(seldom);
  await waitFor('seven probes', () => first.probes(often) >= 7);
  const behind = first.probes(often) - first.probes(seldom) - before;
  t.comment(`${first.probes(often)} probes at 1 s, ${first.probes(seldom)} at 4 s`);
  if (isGatedAsKnown(server, 'intervalSeconds')) t.ok(behind >= 3, `${behind} fewer`);
  else t.ok(behind <= 2, `${behind} fewer: probed as often as any other`);
}

/**
 * Two options that the core does not write where names follow a lease, and why: r1 has no lease and says so at once, and the
 * first probe of r2 is on its way. Every server without them answers both regions then.
 */
export async function unwrittenOptions(t: Test, server: Server): Promise<void> {
  const [one, two] = server.gateways;
  const [both, alone] = [`${one.address} ${two.address}`, one.address];
  const isKnown = knows(server.version, '5.0');
  const [incomplete, failing] = ['incomplete.test', 'failing.test'];
  for (const zone of [incomplete, failing]) two.answer(zone, null);
  await withOption(server, incomplete, "failOnIncompleteCheck='true'");
  t.equal(await server.ask(incomplete), isKnown ? 'ESERVFAIL' : both, 'the first question');
  await waitFor('the first probes', () => server.gateways.every((gateway) => gateway.probes(incomplete) > 0));
  for (let asked = 0; asked < 10; asked++) t.equal(await server.ask(incomplete), both, 'every other one, though no probe has shown anybody up');
  two.answer(incomplete, 503);

  await withOption(server, failing, "minimumFailures='3'");
  await server.ask(failing);
  await waitFor('the first probes', () => server.gateways.every((gateway) => gateway.probes(failing) > 0));
  if (isKnown) await answers(server, failing, alone);
  else t.equal(await server.ask(failing), both);
  two.answer(failing, 503);
}

/**
 * A locked database: these servers wait for it as long as it takes, where 4.7 answers 500. So a publication fails at its deadline,
 * is carried out all the same once the lock is gone, and is in place for whoever publishes it again.
 */
export async function lockedDatabaseIsOutlived(t: Test, server: Server): Promise<void> {
  const { publisher, started } = server.authoritative;
  const lock = new DatabaseSync(join(dirname(started.logFile), 'zone.sqlite3'));
  t.teardown(() => lock.close());
  const rrset: Rrset = { name: 'locked.first.test.', type: 'A', ttlSeconds: 1, records: ['192.0.2.1'] };
  lock.exec('BEGIN IMMEDIATE');
  t.match(await publisher.publish('first.test', [rrset], AbortSignal.timeout(1_000)), { ok: false, failure: { code: 'CTM_DNS_TIMEOUT' } });
  t.equal(await server.ask('ns-r1.first.test'), server.gateways[0].address, 'names are answered meanwhile');
  t.equal(await server.ask('locked.first.test'), 'ENOTFOUND');
  t.match(await publisher.version(soon()), { ok: true }, 'and so is the API');
  lock.exec('ROLLBACK');
  await answers(server, 'locked.first.test', '192.0.2.1');
  t.match(await publisher.publish('first.test', [rrset], soon()), { ok: true, value: { written: false } });
}
