// A name server forgets a probe that nobody has needed for a while, and knows nothing of one that is new: after an idle time, and after
// the probe's URL has changed, its first answers rest on nothing. They must name the holder all the same, alone or beside the other.

import { Resolver } from 'node:dns/promises';
import { test } from 'tap';
import { startAuthoritative } from '../rig/dns.ts';
import { hotStandbyRecord } from '../rig/dns-records.ts';
import { startLeaseGates } from '../rig/lease-gates.ts';
import { freePort, runFolder, stopAll, waitFor } from '../rig/process.ts';

const [R1, R2] = ['127.45.6.1', '127.45.6.2'];
const ZONE = 'app.test';
const NAME = `counter.${ZONE}`;
/** An hour unless given. */
const EXPIRE_SECONDS = 2;
const [port, dnsPort, apiPort] = [await freePort(R1, R2), await freePort(R1), await freePort(R1)];
const gates = await startLeaseGates([R1, R2], port);
const settings = { 'lua-health-checks-expire-delay': EXPIRE_SECONDS };
const server = await startAuthoritative({ folder: runFolder('probe-expiry'), region: 'r1', address: R1, dnsPort, apiPort, apiKey: 'a-key-of-this-test', zone: ZONE, nameServers: [{ region: 'r1', address: R1 }], settings });
const resolver = new Resolver({ timeout: 2_000, tries: 1 });
resolver.setServers([`${R1}:${dnsPort}`]);
const ask = async (): Promise<string> => (await resolver.resolve4(NAME)).join();

/** The probes for another `lease` have another URL. */
async function publish(lease: string): Promise<void> {
  const regions = [{ region: 'r1', addresses: [R1] }, { region: 'r2', addresses: [R2] }];
  const record = hotStandbyRecord({ name: NAME, lease, port, ttlSeconds: 0, regions });
  const published = await server.publisher.publish(ZONE, [record], AbortSignal.timeout(10_000));
  if (!published.ok) throw new Error(published.failure.message);
}

/** Every answer until the holder alone is named. */
async function answersUntil(holder: string): Promise<readonly string[]> {
  const answers: string[] = [];
  await waitFor(`${holder} alone`, async () => {
    const answer = await ask();
    answers.push(answer);
    return answer === holder;
  }, { everyMs: 5 });
  return answers;
}

/** Nobody asks for the name until the server has stopped to probe: longer than any probe takes without one. */
async function probesExpired(): Promise<void> {
  let [seen, sinceMs] = [gates.asked(), performance.now()];
  await waitFor('the probes to stop', () => {
    if (gates.asked() !== seen) [seen, sinceMs] = [gates.asked(), performance.now()];
    return performance.now() - sinceMs > 3_000;
  }, { timeoutMs: 30_000 });
}

const BOTH = [R1, R2].join();

test('after an idle time in which the lease moved the first answers name the new holder, at first beside the other', async (t) => {
  gates.open(R1);
  await publish('counter');
  await answersUntil(R1);
  for (const holder of [R2, R1, R2]) {
    await probesExpired();
    gates.open(holder);
    const answers = await answersUntil(holder);
    t.equal(answers[0], BOTH, 'the first answer');
    t.same([...new Set(answers)].sort(), [BOTH, holder].sort(), `${answers.length} answers: both, then the holder`);
  }
});

test('a probe that somebody needs does not expire: the holder is named alone for longer than that', async (t) => {
  const fromMs = performance.now();
  const answers = new Set<string>();
  while (performance.now() - fromMs < 2_000 * EXPIRE_SECONDS) answers.add(await ask());
  t.same([...answers], [R2]);
});

test('after the URL of the probe has changed, too', async (t) => {
  for (const [lease, holder] of [['stock', R2], ['tickets', R1], ['shop', R1]] as const) {
    gates.open(holder);
    const before = await answersUntil(holder);
    t.ok(before.every((answer) => answer !== ''), 'never empty');
    await publish(lease);
    const answers = await answersUntil(holder);
    t.ok(answers.every((answer) => answer === BOTH || answer === holder), `${lease}: ${[...new Set(answers)].join(' then ')}`);
    t.equal(answers[0], BOTH, 'the first answer');
  }
});

test('the servers end', async (t) => {
  await stopAll();
  await gates.close();
  t.notOk(server.started.running());
});
