// The asker of `npm run bench -- quorum`: a process of its own, so that what a round costs holds nothing of the bench. Rounds at a given
// pace, and what a round cannot do without, at the same pace: three sockets and two signatures. Writes one line of JSON.

import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { setTimeout as delay } from 'node:timers/promises';
import { createQuorum } from '@continuum/adapters/quorum/index';
import type { Quorum, QuorumOptions } from '@continuum/adapters/quorum/index';

export type AskerTask = { readonly quorum: QuorumOptions; readonly deadlineMs: number; readonly warmUps: number; readonly rounds: number };
/** `cpuMs` of one round, all threads, what the runtime does between two rounds included; `leastCpuMs`: of the sockets and signatures alone. */
export type AskerReport = { readonly wallMs: readonly number[]; readonly cpuMs: number; readonly leastCpuMs: number; readonly decidedPercent: number };

const SIGNATURES = 2;
/** What an attestation and its domain come to. */
const SIGNED_BYTES = 100;
const QUESTION_BYTES = 100;

const task = JSON.parse(process.argv[2] ?? '') as AskerTask;
const quorum = await createQuorum(task.quorum);
const report = { ...(await rounds(quorum)), leastCpuMs: await least() };
await quorum.close();
process.stdout.write(`${JSON.stringify(report satisfies AskerReport)}\n`);

async function rounds({ round }: Quorum): Promise<Omit<AskerReport, 'leastCpuMs'>> {
  const never = new AbortController().signal;
  const wallMs: number[] = [];
  let decided = 0;
  const cpuMs = await perRound(async () => {
    const startedMs = performance.now();
    const votes = await round(task.quorum.region, task.deadlineMs, never);
    wallMs.push(performance.now() - startedMs);
    if (votes.filter(({ vote }) => vote.kind === 'attested').length >= 2) decided += 1;
  });
  const counted = wallMs.slice(task.warmUps);
  return { wallMs: counted, cpuMs, decidedPercent: (100 * decided) / wallMs.length };
}

async function least(): Promise<number> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const text = Buffer.alloc(SIGNED_BYTES, 'a');
  const signature = sign(null, text, privateKey);
  return perRound(async () => {
    const sockets = task.quorum.voters.map(({ address, port }) => {
      const socket = createSocket('udp4');
      socket.on('error', () => undefined);
      socket.connect(port, address, () => socket.send(Buffer.alloc(QUESTION_BYTES)));
      return socket;
    });
    await delay(task.deadlineMs);
    for (const socket of sockets) socket.close();
    for (let count = 0; count < SIGNATURES; count++) verify(null, text, publicKey, signature);
  });
}

/** The process's time, user and system, for one round after those that warm up. */
async function perRound(round: () => Promise<void>): Promise<number> {
  for (let count = 0; count < task.warmUps; count++) await round();
  const before = process.cpuUsage();
  for (let count = 0; count < task.rounds; count++) await round();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000 / task.rounds;
}
