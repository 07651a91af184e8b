// Votes against resolvers that do everything a resolver must not do. What is not the target's own fresh, signed word is never one.

import { createSecureServer } from 'node:http2';
import type { ServerHttp2Session } from 'node:http2';
import type { Vote } from '@continuum/core';
import { regionId, tally } from '@continuum/core';
import { Packet } from 'dns2';
import type { Resource } from 'dns2';
import { test } from 'tap';
import type { Test } from 'tap';
import { freePort } from '../../../../test/rig/process.ts';
import { testCertificate } from '../../../../test/rig/certificate.ts';
import { answerTo, startHostileResolver } from './hostile-resolver.ts';
import type { Asked, Behaviour, HostileResolver } from './hostile-resolver.ts';
import { ZONE, good, isControl, publicKeys, word } from './hostile-words.ts';
import type { Word } from './hostile-words.ts';
import { createQuorum } from './quorum.ts';
import type { VoterOptions } from './quorum.ts';

const DEADLINE_MS = 400;
/** Room for a first TLS handshake on a busy machine, after half of it. */
const HANDSHAKE_MS = 4_000;
const [r1, r2] = [regionId('r1'), regionId('r2')];
const never = new AbortController().signal;

/** The control name rightly, and the target so. */
const target = (behave: Behaviour): Behaviour => (asked, resolver) => (isControl(asked) ? good(asked) : behave(asked, resolver));

let address = 10;

async function resolver(t: Test, behave: Behaviour): Promise<HostileResolver> {
  const at = `127.46.0.${address++}`;
  const started = await startHostileResolver(at, await freePort(at), behave);
  t.teardown(() => started.close());
  return started;
}

async function voteBy(t: Test, behave: Behaviour, change: Partial<VoterOptions> = {}, deadlineMs = DEADLINE_MS): Promise<Vote> {
  const { address: at, port } = await resolver(t, behave);
  const voter = { name: 'one', vendor: 'some', address: at, port, ...change };
  const quorum = await createQuorum({ zone: ZONE, lease: 'counter', region: r2, voters: [voter], publicKeys });
  t.teardown(() => quorum.close());
  const [cast] = await quorum.round(r1, deadlineMs, never);
  if (cast === undefined) throw new Error('one vote for one voter');
  return cast.vote;
}

test('a proper answer is a vote', async (t) => {
  t.same(await voteBy(t, target(good)), { kind: 'attested', epoch: 7 });
});

test('each question has a nonce of its own, mixed case, and its own identifier', async (t) => {
  const seen: Asked[] = [];
  const started = await resolver(t, (asked) => {
    seen.push(asked);
    return good(asked);
  });
  const quorum = await createQuorum({ zone: ZONE, lease: 'counter', region: r2, voters: [{ name: 'one', vendor: 'some', address: started.address, port: started.port }], publicKeys });
  t.teardown(() => quorum.close());
  for (let round = 0; round < 5; round++) await quorum.round(r1, DEADLINE_MS, never);
  const names = seen.map(({ name }) => name);
  t.equal(new Set(names.map((name) => name.toLowerCase())).size, 10);
  t.ok(names.every((name) => name !== name.toLowerCase() && name !== name.toUpperCase()));
  t.ok(new Set(seen.map(({ packet }) => packet.header.id)).size >= 9);
});

test('silence counts only where the control name is answered', async (t) => {
  const silent = (reason: string) => ({ kind: 'silent', reason });
  t.same(await voteBy(t, target(() => null)), silent('no answer in time'));
  t.same(await voteBy(t, target((asked) => answerTo(asked, []))), silent('no record'));
  for (const [rcode, name] of [[2, 'SERVFAIL'], [5, 'REFUSED']] as const) {
    t.same(await voteBy(t, target((asked) => answerTo(asked, [], (reply) => (reply.header.rcode = rcode)))), silent(name));
  }
  t.same(await voteBy(t, () => null), { kind: 'abstain', reason: 'control name: no answer in time' });
  t.same(await voteBy(t, (asked) => (isControl(asked) ? answerTo(asked, [[word(asked.name, { by: 'r1' })]]) : null)), { kind: 'abstain', reason: 'control name: wrong signature' });
  t.match(await voteBy(t, target(good), { port: 9 }), { kind: 'abstain', reason: /ECONNREFUSED/ });
});

test('a resolver that the kernel has no way to is a voter that abstains, and ends nothing', async (t) => {
  // Loopback's broadcast address is refused at once, as every address is while a machine has no route.
  t.match(await voteBy(t, target(good), { address: '127.255.255.255' }), { kind: 'abstain', reason: /control name: E[A-Z]+/ });
});

test('what answers and is odd is an abstention, not darkness', async (t) => {
  const abstains = async (reason: string | RegExp, behave: Behaviour): Promise<void> => {
    t.match(await voteBy(t, target(behave)), { kind: 'abstain', reason }, String(reason));
  };
  await abstains('NXDOMAIN', (asked) => answerTo(asked, [], (reply) => (reply.header.rcode = 3)));
  await abstains('response code 4', (asked) => answerTo(asked, [], (reply) => (reply.header.rcode = 4)));
  await abstains('2 records', (asked) => answerTo(asked, [[word(asked.name)], [word(asked.name, { epoch: 8 })]]));
  await abstains('512 records', (asked) => answerTo(asked, Array.from({ length: 512 }, () => ['x'])).subarray(0, 4_096));
  await abstains('not one string', (asked) => answerTo(asked, [[word(asked.name), 'more']]));
  await abstains('a record of another name', (asked) => answerTo(asked, [[word(asked.name)]], (reply) => Object.assign(reply.answers[0] as object, { name: 'evil.test' })));
  await abstains('a record of type CNAME', (asked) =>
    answerTo(asked, [], (reply) => reply.answers.push({ name: asked.name, type: Packet.TYPE.CNAME, class: 1, ttl: 0, domain: 'evil.test' } as Resource)),
  );
  await abstains('2 records', (asked) =>
    answerTo(asked, [[word(asked.name)]], (reply) => reply.answers.unshift({ name: asked.name, type: Packet.TYPE.CNAME, class: 1, ttl: 0, domain: asked.name } as Resource)),
  );
  await abstains('4 records', (asked) => aliases(asked, ['one.evil.test', 'two.evil.test', 'three.evil.test']));
  await abstains('4 records', (asked) => aliases(asked, ['one.evil.test', 'two.evil.test', asked.name]));
  await abstains('malformed', (asked) => compressionLoop(asked));
});

test('a word about something else is an abstention', async (t) => {
  const abstains = async (reason: string | RegExp, change: Word): Promise<void> => {
    t.match(await voteBy(t, target((asked) => answerTo(asked, [[word(asked.name, change)]]))), { kind: 'abstain', reason }, String(reason));
  };
  await abstains('an attestation for another nonce', { nonce: 'f'.repeat(32) });
  await abstains('an attestation of something else', { lease: 'other' });
  await abstains('an attestation of something else', { region: 'r2', by: 'r2' });
  await abstains('wrong signature', { by: 'r2' });
  t.match(await voteBy(t, target((asked) => answerTo(asked, [['c1 hello']]))), { kind: 'abstain', reason: 'not an attestation (field-count)' });
  t.match(await voteBy(t, target((asked) => answerTo(asked, [[word(asked.name).replace(' 7 ', ' 8 ')]]))), { kind: 'abstain', reason: 'wrong signature' });
  t.match(await voteBy(t, target((asked) => answerTo(asked, [[word(asked.name, { remainingMs: 0 })]]))), { kind: 'silent', reason: 'its validity is over' });
});

test('forged datagrams do not end the wait: the true answer after them counts', async (t) => {
  const forgers: Record<string, (asked: Asked) => Buffer> = {
    identifier: (asked) => answerTo(asked, [['forged']], (reply) => (reply.header.id ^= 1)),
    question: (asked) => answerTo(asked, [['forged']], (reply) => (reply.questions = [new Packet.Question({ name: 'evil.test', type: 16, class: 1 })])),
    type: (asked) => answerTo(asked, [['forged']], (reply) => (reply.questions = [new Packet.Question({ name: asked.name, type: 1, class: 1 })])),
    case: (asked) => answerTo(asked, [['forged']], (reply) => (reply.questions = [new Packet.Question({ name: asked.name.toLowerCase(), type: 16, class: 1 })])),
    'a question': (asked) => answerTo(asked, [['forged']], (reply) => (reply.header.qr = 0)),
    'no question': (asked) => answerTo(asked, [['forged']], (reply) => (reply.questions = [])),
    garbage: () => Buffer.alloc(300, 0xc0),
    nothing: () => Buffer.alloc(0),
  };
  for (const [name, forge] of Object.entries(forgers)) {
    t.same(await voteBy(t, target((asked) => [forge(asked), good(asked)])), { kind: 'attested', epoch: 7 }, name);
  }
  const elsewhere: Behaviour = async (asked, hostile) => {
    await hostile.sendFromElsewhere(answerTo(asked, [['forged']]));
    return good(asked);
  };
  t.same(await voteBy(t, target(elsewhere)), { kind: 'attested', epoch: 7 }, 'another port');
});

test('a cut answer is asked for again over TCP, once', async (t) => {
  const cut = (asked: Asked): Buffer => answerTo(asked, [], (reply) => (reply.header.tc = 1));
  t.same(await voteBy(t, target((asked) => (asked.transport === 'udp' ? cut(asked) : good(asked)))), { kind: 'attested', epoch: 7 });
  t.match(await voteBy(t, target(cut)), { kind: 'abstain', reason: 'truncated over a stream' });
  t.match(await voteBy(t, target((asked) => (asked.transport === 'udp' ? cut(asked) : null))), { kind: 'silent', reason: 'no answer in time' });
});

test('an answer at the last moment counts or not, and the round ends with its deadline', async (t) => {
  for (const delayMs of [DEADLINE_MS - 150, DEADLINE_MS + 50]) {
    const startedMs = performance.now();
    const vote = await voteBy(t, target(async (asked) => {
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      return good(asked);
    }));
    const elapsedMs = performance.now() - startedMs;
    if (vote.kind === 'attested') t.ok(elapsedMs >= delayMs, `in time: ${Math.round(elapsedMs)} ms`);
    else t.same(vote, { kind: 'silent', reason: 'no answer in time' });
    if (delayMs > DEADLINE_MS) t.equal(vote.kind, 'silent', 'late is late');
  }
});

test('one voter that is dead takes nothing from the others', async (t) => {
  const voters = await Promise.all([target(good), target(good), () => null].map(async (behave, index) => {
    const { address: at, port } = await resolver(t, behave);
    return { name: `v${index}`, vendor: `vendor${index}`, address: at, port };
  }));
  const quorum = await createQuorum({ zone: ZONE, lease: 'counter', region: r2, voters, publicKeys });
  t.teardown(() => quorum.close());
  const votes = await quorum.round(r1, DEADLINE_MS, never);
  t.same(votes.map(({ voter, vote }) => [voter.name, vote.kind]), [['v0', 'attested'], ['v1', 'attested'], ['v2', 'abstain']]);
  t.same(tally(r1, votes), { kind: 'attested', region: r1, epoch: 7 });
  t.match(await quorum.round(r1, DEADLINE_MS, AbortSignal.abort()), [{ vote: { kind: 'abstain', reason: 'aborted' } }, {}, {}]);
});

test('HTTPS is the second transport of the same voter, over HTTP/2, with a trusted certificate only', async (t) => {
  const certificate = testCertificate('127.46.0.1');
  const versions: string[] = [];
  let epoch = 7;
  const port = await freePort('127.46.0.1');
  const server = createSecureServer({ ...certificate.server, allowHTTP1: true }, (request, response) => {
    versions.push(request.httpVersion);
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const bytes = Buffer.concat(chunks);
      const packet = Packet.parse(bytes);
      const asked: Asked = { bytes, packet, name: packet.questions[0]?.name ?? '', transport: 'tcp', fromPort: 0 };
      response.writeHead(200, { 'content-type': 'application/dns-message' });
      response.end(answerTo(asked, [[word(asked.name, isControl(asked) ? {} : { epoch })]]));
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.46.0.1', resolve));
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => sessions.add(session));
  t.teardown(() => {
    server.close();
    for (const session of sessions) session.destroy();
  });
  const https = { url: `https://127.46.0.1:${port}/dns-query`, ca: certificate.ca };
  t.same(await voteBy(t, () => null, { https }, HANDSHAKE_MS), { kind: 'attested', epoch: 7 }, 'plain DNS is blocked');
  t.ok(versions.length >= 2);
  t.ok(versions.every((version) => version === '2.0'), versions.join());
  t.match(await voteBy(t, () => null, { https: { url: https.url } }), { kind: 'abstain', reason: /control name/ }, 'nobody vouches for it');
  epoch = 9;
  t.same(await voteBy(t, target(good), { https }), { kind: 'attested', epoch: 7 }, 'not asked while plain DNS answers');
});

/** The true word behind a chain of aliases, at the name that the last of them leads to. */
function aliases(asked: Asked, names: readonly string[]): Buffer {
  return answerTo(asked, [[word(asked.name)]], (reply) => {
    const chain = names.map((domain, index) => ({ name: names[index - 1] ?? asked.name, type: Packet.TYPE.CNAME, class: 1, ttl: 0, domain }) as Resource);
    reply.answers = [...chain, { ...reply.answers[0], name: names.at(-1) } as Resource];
  });
}

/** An answer whose record's name points to itself. */
function compressionLoop(asked: Asked): Buffer {
  const bytes = answerTo(asked, [[word(asked.name)]]);
  const end = answerTo(asked, []).length;
  bytes.writeUInt16BE(0xc000 | end, end);
  return bytes;
}
