// The beacon over UDP: dns2's server, with what it leaves open closed. A datagram that cannot be a question is not even parsed. An asker's
// address may be forged, so one network has its share of answers; what is above that is cut, and who really asked comes back over TCP.

import type { Packet } from 'dns2';
import { UDPServer } from 'dns2';
import type { RemoteInfo } from 'node:dgram';
import { answerQuestion, attest, attestedKind, holding, truncated } from './beacon.ts';
import type { Answer, Beacon } from './beacon.ts';
import { plainAnswer, plainCut, plainQuestions } from './plain-question.ts';
import { createRateLimiter } from './rate-limit.ts';
import type { RateLimit } from './rate-limit.ts';

export type AnsweringOptions = {
  readonly beacon: Beacon;
  /** Answers to one network over UDP, and as many over TCP. */
  readonly rateLimit: RateLimit;
  readonly nowMs: () => number;
  readonly onAnswer: (kind: Exclude<Answer['kind'], 'dropped'>, transport: 'udp' | 'tcp') => void;
  readonly onDropped: (reason: string, transport: 'udp' | 'tcp') => void;
};

/** A header and the shortest question. */
export const QUESTION_BYTES_MIN = 17;
/** The longest name, a type, a class, and room for EDNS options. */
export const QUESTION_BYTES_MAX = 512;

/** Not bound yet. */
export function createDatagrams({ beacon, rateLimit, nowMs, onAnswer, onDropped }: AnsweringOptions, type: 'udp4' | 'udp6'): UDPServer {
  const admit = createRateLimiter(rateLimit);
  const readPlain = plainQuestions(beacon.region, beacon.zone);
  /** For an answer that is cut, and needs no signature. */
  const unsigned: Beacon = { ...beacon, sign: () => '' };
  /** A datagram that cannot be sent is a lost one: whoever asked asks again. */
  const notSent = (error: unknown): void => {
    if (error !== null) onDropped('not-sent', 'udp');
  };

  class Datagrams extends UDPServer {
    override handle(data: Buffer, from: RemoteInfo): void {
      // Only a forger asks from port 0: nothing can be sent there.
      if (from.port === 0) return onDropped('port', 'udp');
      if (data.length < QUESTION_BYTES_MIN || data.length > QUESTION_BYTES_MAX) return onDropped('length', 'udp');
      const plain = readPlain(data);
      const held = plain === null ? null : holding(beacon, plain.asked.lease);
      if (plain === null || held === null || held === undefined) return super.handle(data, from);
      const admitted = admit(from.address, nowMs());
      if (admitted) onAnswer(attestedKind(plain.asked.lease), 'udp');
      else onDropped('rate-cut', 'udp');
      const bytes = admitted ? plainAnswer(data, plain, attest(beacon, plain.asked, held)) : plainCut(data, plain);
      try {
        this.send(bytes, from.port, from.address, notSent);
      } catch (error) {
        // An address that Node does not accept is thrown here, and not given to the callback.
        notSent(error);
      }
    }
  }
  const udp = new Datagrams({ type });
  udp.on('request', (request, send, client) => {
    const admitted = admit((client as RemoteInfo).address, nowMs());
    const answer = answerQuestion(admitted ? beacon : unsigned, request);
    if (answer.kind === 'dropped') return onDropped(answer.reason, 'udp');
    if (admitted) onAnswer(answer.kind, 'udp');
    else onDropped('rate-cut', 'udp');
    const packet: Packet = admitted ? answer.packet : truncated(answer.packet);
    send(packet).catch(notSent);
  });
  udp.on('requestError', () => onDropped('malformed', 'udp'));
  return udp;
}
