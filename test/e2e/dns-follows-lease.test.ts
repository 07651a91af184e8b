// The answer for an application's name follows the lease with no write: real PowerDNS in both regions, real recursors, and
// a small HTTP server per region that stands where the gateway's well-known path is.

import type { Server } from 'node:http';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { Resolver } from 'node:dns/promises';
import { test } from 'tap';
import type { ResolverServer } from '@continuum/adapters/resolver/resolvers';
import { createResolvers } from '@continuum/adapters/resolver/resolvers';
import type { Authoritative } from '../rig/dns.ts';
import { PUBLIC_RESOLVERS, startAuthoritative, startResolvers, storedSerial } from '../rig/dns.ts';
import { hotStandbyRecord } from '../rig/dns-records.ts';
import { freePort, runFolder, waitFor } from '../rig/process.ts';

const NAME = 'counter.app.test';
const REGIONS = [{ region: 'r1', address: '127.45.1.1' }, { region: 'r2', address: '127.45.2.1' }] as const;
const [R1, R2] = REGIONS.map(({ address }) => address) as [string, string];
const BOTH = [R1, R2];

const folder = runFolder('dns');
const [dnsPort, apiPort, gatewayPort] = [await freePort(R1, R2), await freePort(R1, R2), await freePort(R1, R2)];
const recursorPort = await freePort(...PUBLIC_RESOLVERS.map(({ address }) => address));

/** What each region's gateway answers on the well-known path; null: it is not there. */
type Gateway = { status: number; requests: string[]; server: Server | null };
const gateways: Record<string, Gateway> = {
  [R1]: { status: 200, requests: [], server: null },
  [R2]: { status: 503, requests: [], server: null },
};

async function startGateway(address: string): Promise<void> {
  const gateway = gateways[address] as Gateway;
  gateway.server = createServer((request, response) => {
    gateway.requests.push(`${request.headers.host}${request.url}`);
    response.writeHead(gateway.status, { connection: 'close' }).end('ok\n');
  }).listen(gatewayPort, address);
  await once(gateway.server, 'listening');
}

async function killGateway(address: string): Promise<void> {
  const { server } = gateways[address] as Gateway;
  server?.closeAllConnections();
  await new Promise((resolve) => server?.close(resolve));
}

function hold(holder: string | null): void {
  for (const address of BOTH) (gateways[address] as Gateway).status = address === holder ? 200 : 503;
}

const startAuthority = (index: 0 | 1): Promise<Authoritative> =>
  startAuthoritative({
    ...REGIONS[index],
    folder: `${folder}/${REGIONS[index].region}`,
    dnsPort,
    apiPort,
    apiKey: 'key',
    zone: 'app.test',
    nameServers: REGIONS,
    warm: [],
  });

/** What one server answers now: its addresses in order. */
async function ask(server: ResolverServer): Promise<string[]> {
  const resolver = new Resolver({ timeout: 3_000, tries: 1 });
  resolver.setServers([`${server.address}:${server.port}`]);
  return resolver.resolve4(NAME);
}

/** A few at a time: a burst of all at once is lost on a busy machine before the server sees it. */
async function askOften(server: ResolverServer, count: number): Promise<string[][]> {
  const answers: string[][] = [];
  while (answers.length < count) answers.push(...(await Promise.all(Array.from({ length: 20 }, () => ask(server)))));
  return answers;
}

const is = (answer: readonly string[], ...addresses: readonly string[]): boolean =>
  [...answer].sort().join() === [...addresses].sort().join();

const allAnswer = (servers: readonly ResolverServer[], ...addresses: readonly string[]) =>
  waitFor(`${servers.map((server) => server.name).join(', ')} to answer ${addresses.join(' and ')}`, async () => {
    const answers = await Promise.all(servers.map(ask));
    return answers.every((answer) => is(answer, ...addresses));
  });

await Promise.all(BOTH.map(startGateway));
let [first, second] = (await Promise.all([startAuthority(0), startAuthority(1)])) as [Authoritative, Authoritative];
const recursors = await startResolvers({
  folder: `${folder}/resolvers`,
  port: recursorPort,
  forward: [{ zone: 'app.test', servers: BOTH.map((address) => ({ address, port: dnsPort })) }],
});
const resolvers = recursors.map((recursor) => recursor.server);
const authorities = (): ResolverServer[] => [first.server, second.server];

const record = hotStandbyRecord({
  name: NAME,
  lease: 'counter',
  regions: REGIONS.map(({ region, address }) => ({ region, addresses: [address] })),
  port: gatewayPort,
  ttlSeconds: 1,
});
const published = await Promise.all(
  [first, second].map((authority) => authority.publisher.publish('app.test', [record], AbortSignal.timeout(5_000))),
);
if (!published.every((one) => one.ok)) throw new Error(JSON.stringify(published));
await Promise.all([first, second].map((authority) => authority.warm(NAME)));

const serials = async (): Promise<unknown[]> =>
  Promise.all([first, second].map((authority) => authority.publisher.serial('app.test', AbortSignal.timeout(2_000))));
const writes = (): number => first.publisher.writes() + second.publisher.writes();
const [serialsAtSetUp, writesAtSetUp] = [await serials(), writes()];

test('the answer names the region that answers 200, at the authorities and through the resolvers', async (t) => {
  t.comment(`ready: authorities ${[first, second].map((one) => Math.round(one.readyMs))} ms, recursors ${recursors.map((one) => Math.round(one.readyMs))} ms`);
  await allAnswer([...authorities(), ...resolvers], R1);
  const seen = gateways[R1]?.requests.at(-1);
  t.equal(seen, `${NAME}:${gatewayPort}/.well-known/continuum/counter?wait=1200`, 'the probe carries the name of the application');
});

test('the answer follows the lease from region to region, with no write', async (t) => {
  for (const holder of [R2, R1, R2, R1]) {
    hold(holder);
    const flippedAtMs = performance.now();
    const since = () => Math.round(performance.now() - flippedAtMs);
    const authority = authorities().map((server) => allAnswer([server], holder).then(since));
    const resolver = resolvers.map((server) => allAnswer([server], holder).then(since));
    t.comment(`flip: authorities ${await Promise.all(authority)} ms, resolvers ${await Promise.all(resolver)} ms`);
  }
  t.same(await serials(), serialsAtSetUp);
  t.equal(writes(), writesAtSetUp);
});

test('with no region up every answer names both, the same one 200 times', async (t) => {
  hold(null);
  await allAnswer([...authorities(), ...resolvers], ...BOTH);
  for (const server of authorities()) {
    const answers = await askOften(server, 200);
    t.same([...new Set(answers.map((answer) => answer.join()))], [BOTH.join()], server.name);
  }
  const throughResolver = await askOften(resolvers[0] as ResolverServer, 200);
  t.ok(throughResolver.every((answer) => is(answer, ...BOTH)), 'through a resolver, in whatever order');
});

test('the first answers after a restart never name the fenced region alone', async (t) => {
  hold(R2);
  await allAnswer([...authorities(), ...resolvers], R2);
  for (let round = 0; round < 5; round++) {
    await first.started.kill();
    first = await startAuthority(0);
    const answers: string[][] = [];
    while (answers.length < 50) answers.push(await ask(first.server));
    t.ok(answers.every((answer) => answer.includes(R2)), `round ${round}: ${answers[0]}, then ${answers.at(-1)}`);
  }
  await allAnswer([first.server], R2);
});

test('a whole region dies at once: both are named until the other takes over, and no question goes unanswered', async (t) => {
  hold(R1);
  await allAnswer([...authorities(), ...resolvers], R1);
  const asked = { count: 0, failed: [] as unknown[], slowestMs: 0 };
  let watching = true;
  const client = (async () => {
    while (watching) {
      const askedAtMs = performance.now();
      asked.count++;
      await ask(resolvers[asked.count % resolvers.length] as ResolverServer).catch((error) => asked.failed.push(error));
      asked.slowestMs = Math.max(asked.slowestMs, performance.now() - askedAtMs);
    }
  })();
  const killedAtMs = performance.now();
  await Promise.all([killGateway(R1), first.started.kill()]);
  await allAnswer(resolvers, ...BOTH);
  const bothAtMs = performance.now();
  hold(R2);
  await allAnswer(resolvers, R2);
  const movedAtMs = performance.now();
  watching = false;
  await client;
  t.same(asked.failed, []);
  t.comment(`both named after ${Math.round(bothAtMs - killedAtMs)} ms; moved ${Math.round(movedAtMs - bothAtMs)} ms after the takeover; ` +
    `${asked.count} questions, slowest ${Math.round(asked.slowestMs)} ms`);
});

test('the dead region comes back and the other one dies at once: the resolvers still answer', async (t) => {
  await startGateway(R1);
  first = await startAuthority(0);
  await first.warm(NAME);
  hold(null);
  await Promise.all([killGateway(R2), second.started.kill()]);
  hold(R1);
  await allAnswer(resolvers, R1);
  t.pass('all three moved');
  await startGateway(R2);
  second = await startAuthority(1);
});

test('with both authorities dead the resolvers abstain, and they answer again when one is back', async (t) => {
  await second.warm(NAME);
  await allAnswer([...authorities(), ...resolvers], R1);
  const voters = createResolvers({ servers: resolvers, timeoutMs: 1_500 });
  const all = async (status: string) =>
    (await voters.resolve(NAME, AbortSignal.timeout(5_000))).every((answer) => answer.status === status);
  await Promise.all([first.started.kill(), second.started.kill()]);
  await waitFor('all to abstain', () => all('abstained'));
  second = await startAuthority(1);
  await waitFor('all to answer', () => all('answered'));
  first = await startAuthority(0);
  t.pass('they did');
});

test('nothing was written to DNS since the set-up', async (t) => {
  const now = await serials();
  t.same(now, serialsAtSetUp, 'the serials that every write raises');
  t.same(REGIONS.map(({ region }) => ({ ok: true, value: storedSerial(`${folder}/${region}`, 'app.test') })), now, 'as they lie on disk');
});

test('an authority that is alive and silent delays some questions and fails none', async (t) => {
  // TTL 0: every question makes a recursor ask an authority.
  const uncached = { ...record, name: 'uncached.app.test.', ttlSeconds: 0 };
  for (const { publisher } of [first, second]) {
    t.ok((await publisher.publish('app.test', [uncached], AbortSignal.timeout(5_000))).ok);
  }
  const voters = createResolvers({ servers: resolvers, timeoutMs: 1_500 });
  process.kill(second.started.pid, 'SIGSTOP');
  // The recursors left the first one alone for a moment after it was dead above.
  await waitFor('all to answer', async () =>
    (await voters.resolve('uncached.app.test', AbortSignal.timeout(5_000))).every((answer) => answer.status === 'answered'),
  );
  const tookMs: number[] = [];
  let unanswered = 0;
  for (let round = 0; round < 300; round++) {
    const askedAtMs = performance.now();
    const answers = await voters.resolve('uncached.app.test', AbortSignal.timeout(5_000));
    unanswered += answers.filter((answer) => answer.status !== 'answered').length;
    tookMs.push(performance.now() - askedAtMs);
  }
  process.kill(second.started.pid, 'SIGCONT');
  t.equal(unanswered, 0);
  const slow = tookMs.filter((ms) => ms > 100);
  t.comment(`${slow.length} of ${tookMs.length} rounds took over 100 ms, the slowest ${Math.round(Math.max(...tookMs))} ms`);
});

test('the servers end', async (t) => {
  await Promise.all([first, second, ...recursors].map((server) => server.started.stop()));
  await Promise.all(BOTH.map(killGateway));
  t.pass('ended');
});
