// One look after the other, at a real name server and at a manager: which of several specifications has a name, what moves with a
// specification to another zone, and what counts as in place and as changed by somebody else.

import { Resolver } from 'node:dns/promises';
import { join } from 'node:path';
import { test } from 'tap';
import type { Rrset } from '@continuum/core';
import { createPdmPublisher } from '@continuum/adapters/pdm/publisher';
import { createGuardedPublisher } from '@continuum/adapters/powerdns/guarded-publisher';
import { startAuthoritative } from '../../../test/rig/dns.ts';
import { startPoolDomainManager } from '../../../test/rig/pool-domain-manager.ts';
import { freePort, runFolder, stopAll } from '../../../test/rig/process.ts';
import { openPublishMemory } from './publish-memory.ts';
import type { PublishMemory } from './publish-memory.ts';
import { readSpec } from './publish-spec.ts';
import type { NamesSpec } from './publish-spec.ts';
import { createManagerTarget, createPowerdnsTarget } from './publish-target.ts';
import type { Target } from './publish-target.ts';

const ADDRESS = '127.49.0.2';
const [ZONE, OTHER_ZONE, POOL, OTHER_POOL] = ['app.test', 'other.test', 'pool.test', 'other-pool.test'];
const folder = runFolder('publish-target');
const [dnsPort, apiPort, nobodyPort] = [await freePort(ADDRESS), await freePort(ADDRESS), await freePort(ADDRESS)];
const server = await startAuthoritative({ folder: join(folder, 'ns1'), region: 'r1', address: ADDRESS, dnsPort, apiPort, apiKey: 'a-key-of-this-test', zone: ZONE, nameServers: [{ region: 'r1', address: ADDRESS }], settings: { 'negquery-cache-ttl': 0, 'query-cache-ttl': 0, 'cache-ttl': 0 } });
const soon = (): AbortSignal => AbortSignal.timeout(20_000);
for (const zone of [OTHER_ZONE, POOL, OTHER_POOL]) {
  const made = await server.publisher.ensureZone(zone, [{ name: `${zone}.`, type: 'SOA', ttlSeconds: 60, records: [`ns.${zone}. hostmaster.${zone}. 1 3600 600 86400 60`] }], soon());
  if (!made.ok) throw new Error(made.failure.message);
}
const resolver = new Resolver({ timeout: 2_000, tries: 1 });
resolver.setServers([`${ADDRESS}:${dnsPort}`]);
const answer = (name: string): Promise<string> => resolver.resolve4(name).then(String, (error: NodeJS.ErrnoException) => String(error.code));
const text = (name: string): Promise<string> => resolver.resolveTxt(name).then(String, (error: NodeJS.ErrnoException) => String(error.code));

type Change = { readonly name?: string; readonly zone?: string; readonly names?: readonly string[]; readonly ttlSeconds?: number; readonly generation?: number; readonly address?: string };
function specOf({ name = 'shop', zone = ZONE, names = ['x'], ttlSeconds = 5, generation = 0, address = '127.49.1.1' }: Change = {}): NamesSpec {
  const spec = { placement: 'single-region', zone, names: names.map((one) => `${one}.${zone}`), ttlSeconds, regions: [{ name: 'r1', addresses: [address] }] };
  const read = readSpec(JSON.stringify({ apiVersion: 'continuum.dev/v1alpha1', kind: 'ContinuumNames', metadata: { name, generation }, spec }), () => undefined);
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  return read.spec;
}
const open = (name: string): PublishMemory => openPublishMemory(runFolder(`publish-target-${name}`), (problem) => { throw new Error(problem); });
function powerdns(memory: PublishMemory, port = dnsPort): Target {
  return createPowerdnsTarget({ name: 'ns1', publisher: server.publisher, guarded: createGuardedPublisher({ publisher: server.publisher, authority: { address: ADDRESS, port } }), memory });
}
/** What came of one look, in words. */
async function look(target: Target, change: Change = {}): Promise<string> {
  const { drift, outcome } = await target.look(specOf(change), soon());
  const what = outcome.kind === 'failed' ? `${outcome.failure.code}: ${outcome.failure.message}` : outcome.kind;
  return drift.length === 0 ? what : `${what}, drift: ${drift.join()}`;
}
const serial = async (): Promise<number> => {
  const found = await server.publisher.serial(ZONE, soon());
  if (!found.ok) throw new Error(found.failure.message);
  return found.value;
};
test('a name has one specification: another one that lists it is told whose it is and writes nothing, until it is free', async (t) => {
  const counter = { name: 'counter', names: ['x', 'z'], address: '127.49.2.1' };
  const [shop, late] = [powerdns(open('shop')), powerdns(open('counter'))];
  t.equal(await look(shop, { names: ['x', 'y'] }), 'written');
  const published = await serial();
  for (let round = 0; round < 3; round++) {
    t.match(await look(late, counter), /^CTM_DNS_NAME_CLAIMED: x\.app\.test\. belongs to the specification shop \(TXT _continuum\.x\.app\.test\.\)/);
    t.equal(await look(shop, { names: ['x', 'y'] }), 'unchanged');
  }
  t.equal(await serial(), published, 'nobody wrote');
  t.equal(await answer(`z.${ZONE}`), 'ENOTFOUND', 'not even what was free');
  t.equal(await look(shop, { names: ['y'] }), 'written');
  t.equal(await look(late, counter), 'written', 'it has the name once the other one gave it up');
  t.match(await look(shop, { names: ['x', 'y'] }), /^CTM_DNS_NAME_CLAIMED: .*x\.app\.test\. belongs to the specification counter/);
  t.equal(await answer(`x.${ZONE}`), '127.49.2.1');
});

test('a name that another specification took meanwhile is not retired with the rest', async (t) => {
  const memory = open('overtaken');
  const names = ['x', 'y', '_continuum.x', '_continuum.y', 'shop._continuum'].map((one) => `${one}.${ZONE}.`);
  memory.save('ns1', { places: [{ zone: ZONE, specification: 'shop', agreed: null, names }], change: null });
  const target = powerdns(memory);
  t.equal(await look(target, { names: ['w'], generation: 1 }), 'written');
  t.equal(await answer(`y.${ZONE}`), 'ENOTFOUND');
  t.equal(await answer(`x.${ZONE}`), '127.49.2.1');
  t.equal(await text(`_continuum.x.${ZONE}`), 'continuum specification=counter');
  t.equal(await look(target, { names: ['w'], generation: 1 }), 'unchanged');
});

test('a specification that is renamed keeps its names; a daemon that still has the old name leaves them', async (t) => {
  const [memory, behind] = [open('renamed'), powerdns(open('behind'))];
  const target = powerdns(memory);
  t.equal(await look(target, { name: 'first', names: ['r', '*.r'] }), 'written');
  t.equal(await look(behind, { name: 'first', names: ['r', '*.r'] }), 'unchanged');
  t.equal(await look(target, { name: 'second', names: ['r', '*.r'] }), 'written', 'and nothing of it is drift');
  t.equal(await text(`_continuum.r.${ZONE}`), 'continuum specification=second');
  t.equal(await text(`_continuum-wildcard.r.${ZONE}`), 'continuum specification=second');
  t.equal(await text(`first._continuum.${ZONE}`), 'ENOTFOUND');
  t.match(await look(behind, { name: 'first', names: ['r', '*.r'] }), /^CTM_DNS_NAME_CLAIMED: .*second/);
});

test('what the authority does not answer is never in place: not at the next look, and not after a restart', async (t) => {
  const memory = open('unanswered');
  const target = powerdns(memory, nobodyPort);
  const change = { name: 'quiet', names: ['q'] };
  for (let round = 0; round < 3; round++) t.match(await look(target, change), /^CTM_DNS_NOT_ANSWERED: .*ECONNREFUSED/);
  t.match(await look(powerdns(memory, nobodyPort), change), /^CTM_DNS_NOT_ANSWERED: .*ECONNREFUSED/, 'after a restart');
  t.equal(await look(powerdns(memory), change), 'unchanged');
});

test('a specification that moves to another zone leaves nothing behind, and what it left stays until the new names answer', async (t) => {
  const memory = open('moved');
  t.equal(await look(powerdns(memory), { name: 'moved', names: ['m'] }), 'written');
  const moved = { name: 'moved', zone: OTHER_ZONE, names: ['m'] };
  t.match(await look(powerdns(memory, nobodyPort), moved), /^CTM_DNS_NOT_ANSWERED: .*written/);
  t.equal(await answer(`m.${ZONE}`), '127.49.1.1');
  t.equal(await look(powerdns(memory), moved), 'unchanged');
  t.equal(await answer(`m.${OTHER_ZONE}`), '127.49.1.1');
  for (const name of [`m.${ZONE}`, `_continuum.m.${ZONE}`, `moved._continuum.${ZONE}`]) t.match(await text(name), 'ENOTFOUND', name);
  t.match(memory.of('ns1').places, [{ zone: OTHER_ZONE }]);
});

test('in the zone that it left: another one\'s names and a newer publication stay, a zone that is gone is forgotten, a refusal is told', async (t) => {
  const memory = open('left');
  const left = (zone: string) => ({ zone, specification: 'left', agreed: null, names: [`x.${zone}.`, `_continuum.x.${zone}.`, `left._continuum.${zone}.`] });
  memory.save('ns1', { places: [left(ZONE), left('gone.test')], change: null });
  const target = powerdns(memory);
  const moved = { name: 'left', zone: OTHER_ZONE, names: ['l'] };
  t.equal(await look(target, moved), 'written');
  t.equal(await answer(`x.${ZONE}`), '127.49.2.1', 'it is the one of counter');
  t.match(memory.of('ns1').places, [{ zone: OTHER_ZONE }]);
  t.equal(await look(powerdns(open('newer')), { name: 'left', names: ['n'], generation: 7 }), 'written');
  memory.save('ns1', { places: [{ ...left(ZONE), names: [`n.${ZONE}.`] }, ...memory.of('ns1').places], change: null });
  t.equal(await look(powerdns(memory), moved), 'unchanged');
  t.equal(await answer(`n.${ZONE}`), '127.49.1.1');
  memory.save('ns1', { places: [{ ...left(ZONE), names: [`n.${ZONE}.`] }, ...memory.of('ns1').places], change: null });
  const refusing = { ...server.publisher, compare: (...given: Parameters<typeof server.publisher.compare>) => (given[0] === ZONE ? Promise.resolve({ ok: false as const, failure: { code: 'CTM_DNS_REFUSED', message: 'x' } }) : server.publisher.compare(...given)) };
  const guarded = createGuardedPublisher({ publisher: refusing, authority: { address: ADDRESS, port: dnsPort } });
  t.match(await look(createPowerdnsTarget({ name: 'ns1', publisher: refusing, guarded, memory }), moved), /^CTM_DNS_REFUSED: zone app\.test still answers what an earlier specification published there: x/);
});

const manager = await startPoolDomainManager([POOL, OTHER_POOL]);
const SETTLE_MS = 300_000;
let nowMs = 1_000_000;
const managed = (memory: PublishMemory): Target =>
  createManagerTarget({ name: 'manager', publisher: createPdmPublisher(manager), version: '4.9', authorities: [{ address: ADDRESS, port: dnsPort }], memory, settleMs: SETTLE_MS, nowMs: () => nowMs });
/** The manager's name server gets what was committed. */
async function propagate(zone: string): Promise<void> {
  const rrsets = [...manager.records()].flatMap(([key, records]): Rrset[] => {
    const [name = '', type = ''] = key.split(' ');
    return name.endsWith(`.${zone}.`) ? [{ name, type: type as Rrset['type'], ttlSeconds: 5, records }] : [];
  });
  const made = await server.publisher.publish(zone, rrsets, soon());
  if (!made.ok) throw new Error(made.failure.message);
}

test('through a manager: a change is sent at once, also while the one before is on its way to the name servers', async (t) => {
  const target = managed(open('managed'));
  const pool = { zone: POOL };
  t.equal(await look(target, pool), 'written');
  nowMs += 1_000;
  t.match(await look(target, pool), /^CTM_DNS_NOT_ANSWERED: committed, and /);
  nowMs += 20_000;
  t.equal(await look(target, { ...pool, ttlSeconds: 9 }), 'written');
  t.equal(await look(target, { ...pool, ttlSeconds: 9, generation: 1 }), 'written', 'a generation of the same records is a change too');
  t.match(manager.records().get(`shop._continuum.${POOL}. TXT`), [/generation=1/]);
  t.match(await look(target, { ...pool, ttlSeconds: 9, generation: 1 }), /^CTM_DNS_NOT_ANSWERED: committed, and /);
  await propagate(POOL);
  t.equal(await look(target, { ...pool, ttlSeconds: 9, generation: 1 }), 'unchanged');
  t.equal(manager.commits(), 3);
});

test('through a manager: what is on its way is no drift, whether the answer was lost or the daemon restarted', async (t) => {
  const memory = open('on-its-way');
  const change = { name: 'slow', zone: POOL, names: ['s'] };
  const target = managed(memory);
  const before = manager.commits();
  manager.fail('lose-reply');
  t.match(await look(target, change), /^CTM_PDM_UNREACHABLE: /);
  t.equal(await look(target, change), 'unchanged', 'asked for again: it was done');
  nowMs += SETTLE_MS - 1;
  t.match(await look(target, change), /^CTM_DNS_NOT_ANSWERED: committed, and /);
  t.match(await look(managed(memory), change), /^CTM_DNS_NOT_ANSWERED: committed, and /, 'after a restart');
  t.equal(manager.commits(), before + 1);
  nowMs += 1;
  t.match(await look(target, change), /^written, drift: .*does not answer this publication/, 'it had its time');
  nowMs -= 10_000;
  t.match(await look(target, change), /^written, drift: .*does not answer this publication/, 'a clock that was set back holds nothing up');
});

test('through a manager: a name has one specification, and one that moves to another zone leaves nothing behind', async (t) => {
  const [shop, late] = [managed(open('pool-shop')), managed(open('pool-counter'))];
  const counter = { name: 'counter', zone: POOL, names: ['c', 'd'] };
  t.equal(await look(shop, { name: 'owner', zone: POOL, names: ['c', 'e'] }), 'written');
  await propagate(POOL);
  const commits = manager.commits();
  t.match(await look(late, counter), /^CTM_DNS_NAME_CLAIMED: c\.pool\.test\. belongs to the specification owner/);
  t.equal(await look(shop, { name: 'owner', zone: POOL, names: ['c', 'e'] }), 'unchanged');
  t.equal(manager.commits(), commits);
  const moved = { name: 'owner', zone: OTHER_POOL, names: ['c'] };
  const here = () => [...manager.records().keys()].filter((key) => /^(c|e|_continuum\.[ce]|owner\._continuum)\.pool\.test\. /.test(key));
  t.equal(await look(shop, moved), 'written');
  t.equal(here().length, 5, 'until the new names answer');
  await propagate(OTHER_POOL);
  t.equal(await look(shop, moved), 'unchanged');
  t.same(here(), []);
});

test('the servers end', async (t) => {
  await manager.close();
  await stopAll();
  t.notOk(server.started.running());
});
