// One question, one transport, one deadline: UDP, TCP when the answer is cut, HTTPS with HTTP/2 as a second way to the same resolver.

import { createConnection } from 'node:net';
import { Agent, request } from 'undici';
import type { Datagrams, Endpoint } from './datagrams.ts';
import { readAnswer } from './question.ts';
import type { Question, Reading } from './question.ts';
import type { RoundEnd } from './round-end.ts';

export type Settled = Exclude<Reading, { kind: 'not-ours' | 'truncated' }>;

const MESSAGE_BYTES_MAX = 4_096;

/** `settle` is called once; closes what it opened. */
export function askPlain(question: Question, at: Endpoint, datagrams: Datagrams, end: RoundEnd, settle: (reading: Settled) => void): void {
  datagrams.ask(question, end, (reading) => {
    if (reading.kind === 'truncated') overTcp(question, at, end.atMs, settle);
    else settle(reading);
  });
}

function overTcp(question: Question, { address, port }: Endpoint, deadlineMs: number, settled: (reading: Settled) => void): void {
  const socket = createConnection({ host: address, port });
  let received = Buffer.alloc(0);
  let over = false;
  const settle = (reading: Settled): void => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    socket.destroy();
    settled(reading);
  };
  const timer = setTimeout(() => settle(tooLate()), leftMs(deadlineMs));
  socket.on('connect', () => {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(question.bytes.length);
    socket.write(Buffer.concat([length, question.bytes]));
  });
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    if (performance.now() >= deadlineMs) return settle(tooLate());
    const bytes = received.length < 2 ? 0 : received.readUInt16BE(0);
    if (bytes > MESSAGE_BYTES_MAX) return settle({ kind: 'unusable', reason: `${bytes} bytes` });
    if (received.length >= 2 + bytes && bytes > 0) settle(whole(received.subarray(2, 2 + bytes), question));
  });
  socket.on('error', (error: NodeJS.ErrnoException) => settle(nothing(error.code ?? error.message)));
  socket.on('close', () => settle(nothing('connection closed')));
}

/** RFC 8484 by POST. The dispatcher speaks HTTP/2, which one public resolver insists on, and knows whom to trust. */
export async function askHttps(question: Question, url: string, dispatcher: Agent, deadlineMs: number): Promise<Settled> {
  try {
    const response = await request(url, {
      dispatcher,
      method: 'POST',
      headers: { 'content-type': 'application/dns-message', accept: 'application/dns-message' },
      body: question.bytes,
      signal: AbortSignal.timeout(Math.ceil(leftMs(deadlineMs))),
    });
    const bytes = Buffer.from(await response.body.arrayBuffer());
    if (performance.now() >= deadlineMs) return tooLate();
    if (response.statusCode !== 200) return nothing(`HTTP status ${response.statusCode}`);
    if (response.headers['content-type'] !== 'application/dns-message') return { kind: 'unusable', reason: 'not a DNS message' };
    return whole(bytes, question);
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    return name === 'TimeoutError' ? tooLate() : nothing(code ?? name);
  }
}

export function httpsAgent(ca: string | undefined): Agent {
  return new Agent({
    allowH2: true,
    connections: 2,
    pipelining: 1,
    maxResponseSize: MESSAGE_BYTES_MAX,
    keepAliveTimeout: 30_000,
    connect: { ...(ca === undefined ? {} : { ca }), timeout: 5_000 },
  });
}

/** On a stream there is one answer: one that is not ours is somebody's mistake or worse. */
function whole(bytes: Buffer, question: Question): Settled {
  const reading = readAnswer(bytes, question);
  if (reading.kind === 'not-ours') return { kind: 'unusable', reason: 'an answer to another question' };
  return reading.kind === 'truncated' ? { kind: 'unusable', reason: 'truncated over a stream' } : reading;
}

const leftMs = (deadlineMs: number): number => Math.max(0, deadlineMs - performance.now());
const nothing = (reason: string): Settled => ({ kind: 'nothing', reason });
const tooLate = (): Settled => nothing('no answer in time');
