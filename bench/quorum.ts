// What a round of the resolvers costs when one of them is dead, and how many signed answers a beacon gives: beside a static record of
// PowerDNS and of gdnsd, asked by the same client in the same run.

import { execFile } from 'node:child_process';
import { generateKeyPairSync, sign } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createGateLink } from '@continuum/adapters/gate-link/gate-link';
import type { GateLink } from '@continuum/adapters/gate-link/gate-link';
import { createQuestions } from '@continuum/adapters/quorum/questions';
import { monoMs, regionId } from '@continuum/core';
import { systemClock } from '@continuum/runtime';
import { generateKeyPair } from '@continuum/wire';
import { Packet } from 'dns2';
import { startBeacon } from '../test/rig/beacon.ts';
import { startAuthoritative, startResolvers } from '../test/rig/dns.ts';
import { freePort, runFolder } from '../test/rig/process.ts';
import type { Started } from '../test/rig/process.ts';
import { startGdnsd } from './peers/gdnsd.ts';
import { ensureDnsPrograms } from './peers/install.mjs';
import { peerReason } from './peers/peer-problem.ts';
import type { AskerPhase, AskerTask, PhaseReport } from './quorum-asker.ts';
import { machine, quantile, row } from './report.ts';
import type { BenchReport, BenchRow } from './report.ts';

const ZONE = 'attest.app.test';
const ADDRESS = '127.48.0.1';
const DEADLINE_MS = 300;
/** The calm rounds of a controller, here without the 15 s between them: what it has asked two hours after its start. */
const CALM = { deadlineMs: 20, warmUps: 100, rounds: 400 };
/** As a holder asks while the witness is away: one round after the other, each of which waits for the dead voter. 300 ms: an rto of 11 s. */
const AFTER_CALM = { deadlineMs: DEADLINE_MS, warmUps: 5, rounds: 60 };
/** The same by a controller that has just started and never asked before: the compiler has seen nothing. */
const JUST_STARTED = { deadlineMs: DEADLINE_MS, warmUps: 20, rounds: 80 };
const ALL_ALIVE = { deadlineMs: DEADLINE_MS, warmUps: 20, rounds: 200 };
const ANSWERS_MS = 5_000;
/** Questions under way at once. */
const WINDOW = 64;
/** Linux counts a process's time in hundredths of a second. */
const TICKS_PER_SECOND = 100;
/** The beacon asks this process, whose time is measured; it is told of every change anyway. */
const ASK_INTERVAL_MS = 10_000;

export async function benchQuorum(say: (line: string) => void): Promise<BenchReport> {
  const folder = runFolder('bench-quorum');
  const keys = await generateKeyPair();
  const privateKeyFile = join(folder, 'key.pem');
  writeFileSync(privateKeyFile, keys.privateKey, { mode: 0o600 });
  const regions = await Promise.all([startRegion('r1', folder, privateKeyFile), startRegion('r2', folder, privateKeyFile)]);
  const [{ link, at, beacon }] = regions;
  link.set({ epoch: 4, mode: 'open', activeRegion: 'r1', holdForwarded: false, holdMsMax: 1_000 }, monoMs(systemClock.now().monoMs + 3_600_000));
  const resolvers = await startResolvers({
    folder: join(folder, 'resolvers'),
    port: await freePort('127.8.8.8', '127.1.1.1', '127.9.9.9'),
    forward: regions.map(({ region, at: server }) => ({ zone: `${region}.${ZONE}`, servers: [server] })),
  });
  const voters = resolvers.map(({ server }, index) => ({ name: server.name, vendor: `v${index}`, address: server.address, port: server.port ?? 53 }));
  const asker = (region: string): Pick<AskerTask, 'quorum' | 'target'> => ({
    quorum: { zone: ZONE, lease: 'counter', region: regionId(region), voters, publicKeys: { 'r1/1': keys.publicKey, 'r2/1': keys.publicKey } },
    target: regionId('r1'),
  });
  const [holder, contender] = [asker('r1'), asker('r2')];
  // At the same time, so that what else the machine does falls on both.
  const besideLeast = (who: typeof holder, phases: readonly AskerPhase[]): Promise<[PhaseReport[], PhaseReport[]]> =>
    Promise.all([rounds({ ...who, least: false, phases }), rounds({ ...who, least: true, phases })]);

  say('rounds with three voters, then with one dead');
  const [healthy] = await rounds({ ...holder, least: false, phases: [ALL_ALIVE] });
  const [dead] = resolvers;
  if (dead !== undefined) process.kill(dead.started.pid, 'SIGSTOP');
  const [[started, calm, afterCalm], [leastStarted, leastCalm, leastAfterCalm]] = await besideLeast(holder, [JUST_STARTED, CALM, AFTER_CALM]);
  say('the rounds of a contender');
  const [[vetoCalm, veto], [leastVetoCalm, leastVeto]] = await besideLeast(contender, [CALM, AFTER_CALM]);
  if (dead !== undefined) process.kill(dead.started.pid, 'SIGCONT');

  say('answers of the beacon, and of PowerDNS for a static record');
  const questions = createQuestions(`counter.r1.${ZONE}`);
  const signed = await answers(at, beacon.pid, () => questions.next().bytes);
  const authority = await startAuthoritative({ folder: join(folder, 'pdns'), region: 'r1', address: '127.48.0.2', dnsPort: await freePort('127.48.0.2'), apiPort: await freePort('127.48.0.2'), apiKey: 'key', zone: 'app.test', nameServers: [{ region: 'r1', address: '127.48.0.2' }] });
  const fixed = await answers({ address: '127.48.0.2', port: authority.server.port ?? 53 }, authority.started.pid, () => addressQuestion('ns-r1.app.test'));
  const notes: string[] = [];
  const peer = await gdnsdAnswers(join(folder, 'gdnsd'), say).catch((error: unknown) => void notes.push(`gdnsd could not run: ${peerReason(error)}`));
  await Promise.all([...regions.flatMap((one) => [one.link.close(), one.beacon.stop()]), authority.started.stop(), ...resolvers.map((one) => one.started.stop())]);
  return {
    bench: 'quorum',
    machine: machine(),
    rows: [
      row("holder's round, 3 voters: p99", 'ms', healthy?.wallMs ?? [], p99, null),
      row("holder's round, one voter dead: p99", 'ms', [...(started?.wallMs ?? []), ...(afterCalm?.wallMs ?? [])], p99, `<= ${DEADLINE_MS + 10}`),
      row("contender's round, one voter dead: p99", 'ms', veto?.wallMs ?? [], p99, `<= ${DEADLINE_MS + 10}`),
      cost(`holder's round, one voter dead: CPU of the asker, one each ${DEADLINE_MS} ms, after two hours of calm`, afterCalm, leastAfterCalm),
      cost(`the same, one each ${CALM.deadlineMs} ms`, calm, leastCalm),
      cost(`the same, one each ${DEADLINE_MS} ms, just started`, started, leastStarted),
      cost(`contender's round, one voter dead: CPU of the asker, one each ${DEADLINE_MS} ms, after two hours of calm`, veto, leastVeto),
      cost(`the same, one each ${CALM.deadlineMs} ms`, vetoCalm, leastVetoCalm),
      row('rounds with an outcome, one voter dead', '%', [started?.decidedPercent ?? 0, afterCalm?.decidedPercent ?? 0, veto?.decidedPercent ?? 0], (values) => Math.min(...values), '>= 100'),
      row('signed answers of the beacon, per core', '1/s', [signed.perCpuSecond], (values) => values[0] ?? null, '>= 20000', { 'pdns static': fixed.perCpuSecond, 'gdnsd static': peer?.perCpuSecond ?? null }),
      row('Ed25519 signatures alone, per core', '1/s', [signaturesPerSecond()], (values) => values[0] ?? null, null),
    ],
    notes: [
      `a round has a deadline of ${DEADLINE_MS} ms; the dead voter is a stopped recursor, so every round waits for it`,
      `the asker is a process of its own; its CPU is that of all its threads, between the rounds too; the least runs in another one at the same time`,
      `after two hours of calm: a controller asks a round each 15 s while nothing needs one; here ${JUST_STARTED.warmUps + JUST_STARTED.rounds + CALM.warmUps + CALM.rounds} rounds without the waits (a contender's ${CALM.warmUps + CALM.rounds}); just started: after ${JUST_STARTED.warmUps}`,
      "a holder's round: three questions, for its own word; a contender's: six, for the holder's word and for its own control name at each voter",
      "what limits a holder's round: two signatures, three datagrams out and two in, one timer; a contender's: twice as many datagrams and no more signatures (a control name's word is checked only where the holder's is missing); the rarer the rounds, the more each costs, because the processor has forgotten the code",
      'answers per second of the process\'s own CPU time, so that the client on the same machine takes nothing from it',
      'what limits the beacon: each answer is one signature (their rate alone is the last row) besides one datagram in and one out (all that the peers do)',
      ...notes,
    ],
  };
}

async function startRegion(region: string, folder: string, privateKeyFile: string): Promise<{ region: string; link: GateLink; at: { address: string; port: number }; beacon: Started }> {
  const controllerSocket = join(folder, `${region}.sock`);
  const link = await createGateLink({ socketPath: controllerSocket, clock: systemClock.now });
  if (!link.ok) throw new Error(link.failure.message);
  const at = { address: ADDRESS, port: await freePort(ADDRESS) };
  const generous = { perSecond: 1_000_000, burst: 1_000_000 };
  const beacon = await startBeacon({ folder: join(folder, region), region, zone: ZONE, ...at, metricsPort: await freePort(ADDRESS), lease: 'counter', controllerSocket, privateKeyFile, rateLimit: generous, askIntervalMs: ASK_INTERVAL_MS });
  return { region, link: link.value, at, beacon };
}

function addressQuestion(name: string): Buffer {
  const packet = new Packet();
  packet.header = new Packet.Header({ id: 4_711, rd: 1 });
  packet.questions = [new Packet.Question(name, Packet.TYPE.A, Packet.CLASS.IN)];
  packet.additionals = [Packet.Resource.EDNS([], { udpPayloadSize: 1_232 })];
  return packet.toBuffer();
}

async function gdnsdAnswers(folder: string, say: (line: string) => void): Promise<{ perCpuSecond: number }> {
  const { gdnsd } = await ensureDnsPrograms(say);
  const at = { address: '127.48.0.3', port: await freePort('127.48.0.3') };
  const started = await startGdnsd({ folder, program: gdnsd, ...at, zone: 'app.test', label: 'counter', regions: ['127.48.0.4'], probePort: await freePort('127.48.0.4') });
  const found = await answers(at, started.pid, () => addressQuestion('static.app.test'));
  await started.stop();
  return found;
}

async function rounds(task: AskerTask): Promise<PhaseReport[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'quorum-asker.ts'), JSON.stringify(task)]);
  return JSON.parse(stdout) as PhaseReport[];
}

const p99 = (values: readonly number[]): number | null => quantile(values, 0.99);

const cost = (metric: string, ours: PhaseReport | undefined, least: PhaseReport | undefined): BenchRow =>
  row(metric, 'ms', ours === undefined ? [] : [ours.cpuMs], (values) => values[0] ?? null, '<= 1', { 'sockets, timer and signatures alone': least === undefined ? null : hundredths(least.cpuMs) });

const hundredths = (value: number): number => Math.round(value * 100) / 100;

/** Keeps `WINDOW` questions under way and counts what comes back. */
async function answers(at: { address: string; port: number }, pid: number, question: () => Buffer): Promise<{ perCpuSecond: number }> {
  // Made before: the client's own work must not be what is measured.
  const questions = Array.from({ length: 4_096 }, question);
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.connect(at.port, at.address, resolve));
  let count = 0;
  let next = 0;
  const send = (): void => socket.send(questions[next++ % questions.length] ?? Buffer.alloc(0));
  socket.on('message', () => {
    count += 1;
    send();
  });
  const measure = async (ms: number): Promise<{ answered: number; cpuSeconds: number }> => {
    const [startCount, startCpu] = [count, cpuSecondsOf(pid)];
    for (let open = 0; open < WINDOW; open++) send();
    await new Promise((resolve) => setTimeout(resolve, ms));
    return { answered: count - startCount, cpuSeconds: cpuSecondsOf(pid) - startCpu };
  };
  await measure(1_000);
  const { answered, cpuSeconds } = await measure(ANSWERS_MS);
  socket.removeAllListeners('message');
  socket.close();
  return { perCpuSecond: Math.round(answered / cpuSeconds) };
}

function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function signaturesPerSecond(): number {
  const { privateKey } = generateKeyPairSync('ed25519');
  const text = Buffer.alloc(100, 97);
  const count = 5_000;
  const before = process.cpuUsage();
  for (let done = 0; done < count; done++) sign(null, text, privateKey);
  const { user, system } = process.cpuUsage(before);
  return Math.round((count * 1e6) / (user + system));
}
