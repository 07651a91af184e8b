// One question, one transport, one deadline. UDP from a fresh port that is connected to the resolver (the kernel passes over what
// comes from elsewhere), TCP when the answer is cut, HTTPS with HTTP/2 as a second way to the same resolver.

import { createSocket } from 'node:dgram';
import type { LookupOptions } from 'node:dns';
import { createConnection, isIP } from 'node:net';
import { Agent, request } from 'undici';
import { readAnswer } from './question.ts';
import type { Question, Reading } from './question.ts';

export type Settled = Exclude<Reading, { kind: 'not-ours' | 'truncated' }>;
export type Endpoint = { readonly address: string; readonly port: number };

const MESSAGE_BYTES_MAX = 4_096;

/** `deadlineMs` on `performance.now()`. Never rejects; closes what it opened. */
export async function askPlain(question: Question, at: Endpoint, deadlineMs: number): Promise<Settled> {
  const reading = await overUdp(question, at, deadlineMs);
  return reading.kind === 'truncated' ? overTcp(question, at, deadlineMs) : reading;
}

function overUdp(question: Question, { address, port }: Endpoint, deadlineMs: number): Promise<Settled | { kind: 'truncated' }> {
  return new Promise((resolve) => {
    const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', lookup: asGiven });
    let over = false;
    const settle = (reading: Settled | { kind: 'truncated' }): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      socket.close();
      resolve(reading);
    };
    const timer = setTimeout(() => settle(tooLate()), leftMs(deadlineMs));
    socket.on('error', (error: NodeJS.ErrnoException) => settle(nothing(error.code ?? error.message)));
    socket.on('message', (bytes) => {
      // A timer may be late: the clock decides.
      if (performance.now() >= deadlineMs) return settle(tooLate());
      const reading = readAnswer(bytes, question);
      if (reading.kind !== 'not-ours') settle(reading);
    });
    // No callback for both: it would be called for a failure as well, and `send` on what is not connected throws past every handler.
    socket.once('connect', () => {
      if (!over) socket.send(question.bytes);
    });
    socket.connect(port, address);
  });
}

function overTcp(question: Question, { address, port }: Endpoint, deadlineMs: number): Promise<Settled> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: address, port });
    let received = Buffer.alloc(0);
    let over = false;
    const settle = (reading: Settled): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      socket.destroy();
      resolve(reading);
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
  });
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

/** A resolver is named by its address: there is nothing to look up, and nobody to ask. */
function asGiven(address: string, _: LookupOptions, found: (error: null, address: string, family: number) => void): void {
  found(null, address, isIP(address));
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
