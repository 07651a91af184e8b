// A process of its own that stands for a thousand servers: two ports, one that answers as a primary whose log grows, one as
// its standby. Its clock and positions are derived from time, so that both agree.

import { startResponder } from '../test/rig/postgres-responder.ts';

const SYSTEM = '7300000000000000009';
const nothing = { walsenders: null, slots: null, synchronous: '', syncWaits: null, weak: null, receive: null, replay: null, commitMs: null, receiver: null, pause: null, delayMs: null, conflicts: null, beat: null, epoch: null };

const position = (): string => `0/${(0x3000000 + Math.floor(performance.now() / 100) * 64).toString(16).toUpperCase()}`;

const primary = await startResponder(() => {
  const at = position();
  return JSON.stringify({ ...nothing, standby: false, clockMs: Date.now(), system: SYSTEM, timeline: 1, lsn: at, nextXid: '900', walsenders: [['r2', 'streaming', 'async', at, at]], syncWaits: [0, null], weak: 0 });
});
const standby = await startResponder(() => {
  const at = position();
  return JSON.stringify({ ...nothing, standby: true, clockMs: Date.now(), system: SYSTEM, timeline: 1, lsn: null, nextXid: null, receive: at, replay: at, commitMs: Date.now(), receiver: ['streaming', '127.0.0.1:5432', 10], pause: 'not paused', delayMs: 0, conflicts: 0 });
});
process.stdout.write(`${JSON.stringify({ primary: primary.port, standby: standby.port })}\n`);
