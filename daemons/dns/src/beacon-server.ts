// The beacon's sockets: dns2's UDP and TCP servers, with what they leave open closed. A datagram that cannot be a question is not even
// parsed; one network cannot have more than its share of answers; connections are few, short and bounded.

import type { Packet } from 'dns2';
import { TCPServer, UDPServer } from 'dns2';
import type { RemoteInfo } from 'node:dgram';
import type { Socket } from 'node:net';
import { answerQuestion, attest, attestedKind, holding, truncated } from './beacon.ts';
import type { Answer, Beacon } from './beacon.ts';
import { plainAnswer, plainCut, plainQuestions } from './plain-question.ts';
import { createRateLimiter } from './rate-limit.ts';
import type { RateLimit } from './rate-limit.ts';

export type BeaconServerOptions = {
  readonly beacon: Beacon;
  readonly host: string;
  readonly port: number;
  readonly rateLimit: RateLimit;
  readonly nowMs: () => number;
  readonly onAnswer: (kind: Exclude<Answer['kind'], 'dropped'>, transport: 'udp' | 'tcp') => void;
  readonly onDropped: (reason: string, transport: 'udp' | 'tcp') => void;
};

export type BeaconServer = { readonly port: number; readonly close: () => Promise<void> };

/** A header and the shortest question. */
const QUESTION_BYTES_MIN = 17;
/** The longest name, a type, a class, and room for EDNS options. */
const QUESTION_BYTES_MAX = 512;
const CONNECTIONS_MAX = 64;
const CONNECTION_IDLE_MS = 5_000;

/** Rejects when the address cannot be bound. */
export async function serveBeacon(options: BeaconServerOptions): Promise<BeaconServer> {
  const { host, nowMs, onDropped } = options;
  const admit = createRateLimiter(options.rateLimit);
  const ours = (request: Packet, transport: 'udp' | 'tcp'): Extract<Answer, { packet: Packet }> | null => {
    const answer = answerQuestion(options.beacon, request);
    if (answer.kind !== 'dropped') return answer;
    onDropped(answer.reason, transport);
    return null;
  };

  /** A datagram that cannot be sent is a lost one: whoever asked asks again. */
  const notSent = (error: unknown): void => {
    if (error !== null) onDropped('not-sent', 'udp');
  };
  const readPlain = plainQuestions(options.beacon.region, options.beacon.zone);
  class Datagrams extends UDPServer {
    override handle(data: Buffer, from: RemoteInfo): void {
      if (data.length < QUESTION_BYTES_MIN || data.length > QUESTION_BYTES_MAX) return onDropped('length', 'udp');
      const plain = readPlain(data);
      const held = plain === null ? null : holding(options.beacon, plain.asked.lease);
      if (plain === null || held === null || held === undefined) return super.handle(data, from);
      const admission = admit(from.address, nowMs());
      if (admission === 'drop') return onDropped('rate', 'udp');
      if (admission === 'cut') onDropped('rate-cut', 'udp');
      else options.onAnswer(attestedKind(plain.asked.lease), 'udp');
      const bytes = admission === 'cut' ? plainCut(data, plain) : plainAnswer(data, plain, attest(options.beacon, plain.asked, held));
      this.send(bytes, from.port, from.address, notSent);
    }
  }
  const udp = new Datagrams({ type: host.includes(':') ? 'udp6' : 'udp4' });
  udp.on('request', (request, send, client) => {
    const admission = admit((client as RemoteInfo).address, nowMs());
    if (admission === 'drop') return onDropped('rate', 'udp');
    const answer = ours(request, 'udp');
    if (answer === null) return;
    if (admission === 'cut') onDropped('rate-cut', 'udp');
    else options.onAnswer(answer.kind, 'udp');
    send(admission === 'cut' ? truncated(answer.packet) : answer.packet).catch(notSent);
  });
  udp.on('requestError', () => onDropped('malformed', 'udp'));

  const tcp = new TCPServer((request, send) => {
    const answer = ours(request, 'tcp');
    if (answer === null) return;
    options.onAnswer(answer.kind, 'tcp');
    void send(answer.packet);
  });
  tcp.maxConnections = CONNECTIONS_MAX;
  const connections = new Set<Socket>();
  tcp.on('connection', (socket: Socket) => {
    connections.add(socket);
    // From the first byte to the last, whatever trickles in between.
    const end = setTimeout(() => socket.destroy(), CONNECTION_IDLE_MS);
    socket.once('close', () => {
      clearTimeout(end);
      connections.delete(socket);
    });
  });
  tcp.on('requestError', () => onDropped('malformed', 'tcp'));

  const port = await bindBoth(udp, tcp, options);
  return {
    port,
    close: async () => {
      const closed = Promise.all([new Promise<void>((done) => udp.close(() => done())), new Promise<void>((done) => tcp.close(() => done()))]);
      for (const socket of connections) socket.destroy();
      await closed;
    },
  };
}

async function bindBoth(udp: UDPServer, tcp: TCPServer, { host, port, onDropped }: BeaconServerOptions): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    udp.once('error', reject);
    udp.bind(port, host, () => {
      udp.off('error', reject);
      resolve();
    });
  });
  const bound = udp.address().port;
  await new Promise<void>((resolve, reject) => {
    const cannot = (error: Error): void => {
      udp.close();
      reject(error);
    };
    tcp.once('error', cannot);
    tcp.listen(bound, host, () => {
      tcp.off('error', cannot);
      resolve();
    });
  });
  udp.on('error', () => onDropped('socket', 'udp'));
  tcp.on('error', () => onDropped('socket', 'tcp'));
  return bound;
}
