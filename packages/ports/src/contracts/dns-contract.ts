// What every `DnsPublisherPort` must do, tried on a server that is empty at the start.

import type { Rrset } from '@continuum/core';
import type { Test } from 'tap';
import type { DnsPublisherPort } from '../dns.ts';

export type DnsSubject = {
  readonly publisher: DnsPublisherPort;
  /** Nothing listens where this one writes to. */
  readonly unreachable: DnsPublisherPort;
  /** Does not exist yet. */
  readonly zone: string;
  /** The zone's SOA, NS and name servers, and two record sets to publish into it. */
  readonly zoneRrsets: readonly Rrset[];
  readonly first: Rrset;
  readonly second: Rrset;
  /** One that the server must refuse. */
  readonly invalid: Rrset;
};

const soon = (): AbortSignal => AbortSignal.timeout(5_000);

export async function dnsPublisherContract(t: Test, subject: DnsSubject): Promise<void> {
  const { publisher, zone, first, second } = subject;

  await t.test('a zone that does not exist is a failure, not an empty zone', async (t) => {
    t.match(await publisher.serial(zone, soon()), { ok: false, failure: { code: 'CTM_DNS_ZONE_MISSING' } });
    t.match(await publisher.publish(zone, [first], soon()), { ok: false, failure: { code: 'CTM_DNS_ZONE_MISSING' } });
    t.equal(publisher.writes(), 0);
  });

  await t.test('a zone is made once', async (t) => {
    t.match(await publisher.ensureZone(zone, subject.zoneRrsets, soon()), { ok: true, value: { written: true } });
    t.match(await publisher.ensureZone(zone, subject.zoneRrsets, soon()), { ok: true, value: { written: false } });
    t.equal(publisher.writes(), 1);
  });

  await t.test('what is published is written once and counted', async (t) => {
    const before = await publisher.serial(zone, soon());
    const made = await publisher.publish(zone, [first], soon());
    t.match(made, { ok: true, value: { written: true } });
    t.ok(before.ok && made.ok && made.value.serial > before.value, 'the serial went up');
    t.match(await publisher.publish(zone, [first], soon()), { ok: true, value: { written: false, serial: made.ok && made.value.serial } });
    t.match(await publisher.serial(zone, soon()), { ok: true, value: made.ok && made.value.serial });
    t.equal(publisher.writes(), 2);
  });

  await t.test('another TTL is another record set', async (t) => {
    const slower = { ...first, ttlSeconds: first.ttlSeconds + 1 };
    t.match(await publisher.publish(zone, [slower], soon()), { ok: true, value: { written: true } });
    t.match(await publisher.publish(zone, [first], soon()), { ok: true, value: { written: true } });
  });

  await t.test('all or none: one bad record set keeps the good one out', async (t) => {
    const before = await publisher.serial(zone, soon());
    t.match(await publisher.publish(zone, [second, subject.invalid], soon()), { ok: false, failure: { code: 'CTM_DNS_REFUSED' } });
    t.same(await publisher.serial(zone, soon()), before);
    t.match(await publisher.publish(zone, [first, second], soon()), { ok: true, value: { written: true } }, 'second was not there');
  });

  await t.test('nobody listening is a failure that says so', async (t) => {
    t.match(await subject.unreachable.publish(zone, [first], soon()), { ok: false, failure: { code: 'CTM_DNS_UNREACHABLE' } });
  });

  await t.test('a deadline that has passed is a failure that says so', async (t) => {
    t.match(await publisher.publish(zone, [first], AbortSignal.abort()), { ok: false, failure: { code: 'CTM_DNS_TIMEOUT' } });
  });
}
