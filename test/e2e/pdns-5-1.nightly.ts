// PowerDNS 5.1, the newest that was looked at: the placements, the version gate, the publisher and the register on the real server.
// Only at night: it comes from a release of Debian that changes any day.

import { createPowerdnsPublisher } from '@continuum/adapters/powerdns/publisher';
import { zoneRrsets } from '@continuum/core';
import type { Rrset } from '@continuum/core';
import { dnsPublisherContract } from '@continuum/ports/contracts/dns-contract';
import t from 'tap';
import { hotStandbyRecord } from '../rig/dns-records.ts';
import { freePort } from '../rig/process.ts';
import { registerHolds } from '../rig/register-contract.ts';
import { failuresAreAsGated, httpCodeIsAsGated, intervalIsAsGated, lockedDatabaseIsOutlived, placementsAnswer, startServer, unwrittenOptions } from './pdns-versions.ts';

const soon = (): AbortSignal => AbortSignal.timeout(20_000);
const server = await startServer('pdns-5.1', '5.1', '127.48.2');
t.teardown(() => server.authoritative.started.kill());

t.test('every placement answers with its own addresses', (t) => placementsAnswer(t, server));
t.test('a status wished for counts', (t) => httpCodeIsAsGated(t, server));
t.test('so many failed probes in a row as wished for take an address out', (t) => failuresAreAsGated(t, server));
t.test('an interval wished for counts', (t) => intervalIsAsGated(t, server));
t.test('two options that no record of a lease has, and why', (t) => unwrittenOptions(t, server));
t.test('a locked database is outlived', (t) => lockedDatabaseIsOutlived(t, server));
t.test('the register holds on SQLite', (t) => registerHolds(t, 'pdns-5.1', 'gsqlite3', '127.48.2.3'));
t.test('the register holds on LMDB', (t) => registerHolds(t, 'pdns-5.1', 'lmdb', '127.48.2.4'));

const zone = 'static.test';
const lua: Rrset = { name: `${zone}.`, type: 'LUA', ttlSeconds: 1, records: [`A "pickclosest({'192.0.2.1'})"`] };
const plain = (address: string): Rrset => ({ name: `plain.${zone}.`, type: 'A', ttlSeconds: 1, records: [address] });
const allowed = ['192.0.2.1', '192.0.2.2'];

t.test('LUA records do not change through the API, and nothing beside them does in the same publication; plain records move', async (t) => {
  const { publisher } = server.authoritative;
  await server.load(zone, { rrsets: [plain('192.0.2.1')], lua: [lua], notes: [], explain: [] });
  const before = await publisher.serial(zone, soon());
  const changed = { ...lua, ttlSeconds: 9 };
  for (const [rrsets, retired] of [[[changed, plain('192.0.2.2')], []], [[plain('192.0.2.2')], [lua.name]]] as const) {
    t.match(await server.guarded.publish(zone, { rrsets, retired, addresses: allowed }, soon()), { ok: false, failure: { code: 'CTM_DNS_LUA_STATIC', message: /static\.test\..*pdnsutil/ } });
    t.match(await publisher.publish(zone, rrsets, soon(), retired), { ok: false, failure: { code: 'CTM_DNS_REFUSED', message: /Lua records is not allowed/ } }, 'the server itself');
  }
  t.same(await publisher.serial(zone, soon()), before, 'nothing was written');
  t.equal(await server.ask(`plain.${zone}`), '192.0.2.1');
  const moved = { rrsets: [lua, plain('192.0.2.2')], retired: [], addresses: allowed };
  t.match(await server.guarded.publish(zone, moved, soon()), { ok: true, value: { written: true } });
  t.equal(await server.ask(`plain.${zone}`), '192.0.2.2');
  t.match(await publisher.compare(zone, [lua], soon()), { ok: true, value: { lacking: [], stray: [] } });
});

t.test('with enable-lua-record-updates the plain publisher keeps its contract; the careful one still asks for the zone to be loaded', async (t) => {
  const open = await startServer('pdns-5.1', '5.1', '127.48.3', { 'enable-lua-record-updates': 'yes' });
  t.teardown(() => open.authoritative.started.kill());
  const { server: at, publisher } = open.authoritative;
  const content = zoneRrsets({ zone, nameServers: [{ name: `ns.${zone}`, addresses: [at.address] }], ttlSeconds: 60 });
  const regions = ['192.0.2.1', '192.0.2.2'].map((address, index) => ({ region: `r${index + 1}`, addresses: [address, `2001:db8::${index + 1}`] }));
  const record = (name: string): Rrset => hotStandbyRecord({ name, lease: 'counter', regions, port: 8_080, ttlSeconds: 1 });
  await dnsPublisherContract(t, {
    publisher: createPowerdnsPublisher(open.api),
    unreachable: createPowerdnsPublisher({ ...open.api, url: `http://${at.address}:${await freePort(at.address)}` }),
    zone,
    zoneRrsets: content.ok ? content.value : [],
    first: record(`one.${zone}`),
    second: record(`two.${zone}`),
    invalid: { name: `three.${zone}.`, type: 'A', ttlSeconds: 1, records: ['not an address'] },
  });
  t.match(await publisher.publish(zone, [lua], soon()), { ok: true, value: { written: true } });
  t.equal(await open.ask(zone), '192.0.2.1');
  t.match(await open.guarded.publish(zone, { rrsets: [{ ...lua, ttlSeconds: 9 }], retired: [], addresses: allowed }, soon()), { ok: false, failure: { code: 'CTM_DNS_LUA_STATIC' } });
});
