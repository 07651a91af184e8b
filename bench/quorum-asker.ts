// The asker of `npm run bench -- quorum`: a process of its own, so that what a round costs holds nothing of the bench. Rounds at given
// paces; or, beside it at the same time, the least that a round can be: open sockets, the same questions to each voter, one timer, and one
// signature checked for each voter that answers. Writes one line of JSON.
//
// A holder asks each voter for its own region's word alone; a contender for the holder's, and for the control name of its own region.

import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { setTimeout as delay } from 'node:timers/promises';
import { createQuorum } from '@continuum/adapters/quorum/index';
import type { QuorumOptions } from '@continuum/adapters/quorum/index';
import { createQuestions } from '@continuum/adapters/quorum/questions';
import { CONTROL_LABEL } from '@continuum/core';
import type { RegionId } from '@continuum/core';

export type AskerPhase = { readonly deadlineMs: number; readonly warmUps: number; readonly rounds: number };
/** `target`: whose word is asked for; a contender's when it is not the asking region's own. */
export type AskerTask = { readonly quorum: QuorumOptions; readonly target: RegionId; readonly least: boolean; readonly phases: readonly AskerPhase[] };
/** `cpuMs` of one round, all threads, what the runtime does between two rounds included. */
export type PhaseReport = { readonly wallMs: readonly number[]; readonly cpuMs: number; readonly decidedPercent: number };

/** What an attestation and its domain come to. */
const SIGNED_BYTES = 100;

type Round = (deadlineMs: number) => Promise<boolean>;

const task = JSON.parse(process.argv[2] ?? '') as AskerTask;
const { round, close } = await (task.least ? leastRounds(task) : ownRounds(task));
const reports: PhaseReport[] = [];
for (const phase of task.phases) reports.push(await run(phase));
await close();
process.stdout.write(`${JSON.stringify(reports)}\n`);

async function run({ deadlineMs, warmUps, rounds }: AskerPhase): Promise<PhaseReport> {
  for (let count = 0; count < warmUps; count++) await round(deadlineMs);
  const wallMs: number[] = [];
  let decided = 0;
  const before = process.cpuUsage();
  for (let count = 0; count < rounds; count++) {
    const startedMs = performance.now();
    if (await round(deadlineMs)) decided += 1;
    wallMs.push(performance.now() - startedMs);
  }
  const { user, system } = process.cpuUsage(before);
  return { wallMs, cpuMs: (user + system) / 1_000 / rounds, decidedPercent: (100 * decided) / rounds };
}

async function ownRounds({ quorum: options, target }: AskerTask): Promise<{ round: Round; close: () => Promise<void> }> {
  const quorum = await createQuorum(options);
  const never = new AbortController().signal;
  const ask: Round = async (deadlineMs) => {
    const votes = await quorum.round(target, deadlineMs, never);
    return votes.filter(({ vote }) => vote.kind === 'attested').length >= 2;
  };
  return { round: ask, close: quorum.close };
}

async function leastRounds({ quorum: { lease, region, zone, voters }, target }: AskerTask): Promise<{ round: Round; close: () => Promise<void> }> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const text = Buffer.alloc(SIGNED_BYTES, 'a');
  const signature = sign(null, text, privateKey);
  const names = [`${lease}.${target}.${zone}`, ...(target === region ? [] : [`${CONTROL_LABEL}.${region}.${zone}`])];
  const questions = names.map(createQuestions);
  let answers = 0;
  const sockets = await Promise.all(
    voters.map(async ({ address, port }) => {
      const socket = createSocket('udp4');
      let heard = 0;
      socket.on('message', () => {
        const first = heard++ % names.length === 0;
        if (!first || verify(null, text, publicKey, signature)) answers += 1;
      });
      await new Promise<void>((resolve) => socket.connect(port, address, resolve));
      return socket;
    }),
  );
  const ask: Round = async (deadlineMs) => {
    answers = 0;
    for (const socket of sockets) for (const one of questions) socket.send(one.next().bytes);
    await delay(deadlineMs);
    return answers >= 2 * names.length;
  };
  return { round: ask, close: async () => sockets.forEach((socket) => socket.close()) };
}
