// One region's side of the quorum, as the adapter does it: each resolver is asked for the target's word and for the control name of
// the asking region, each under a nonce of its own, and what comes back in time is judged by the real functions of the core.

import type { AttestationQuestion, CastVote, Finding, QuorumOutcome, RegionId } from '@continuum/core';
import { CONTROL_LABEL, findingOf, parseAttestation, tally, voteOf } from '@continuum/core';
import type { Process } from '../machine.ts';
import type { Simulation } from '../simulation.ts';
import { signatureOf } from './beacon.ts';
import type { DnsAnswer, Resolver } from './resolver.ts';

/** What one resolver brought, for those who check it: the text as it came. */
export type Brought = { readonly question: AttestationQuestion; answer: DnsAnswer | null };
export type Round = {
  readonly region: string;
  readonly target: string;
  readonly startedMs: number;
  readonly startedMonoMs: number;
  /** What the asking machine has slept, and how its wall clock stands, when the round begins. */
  readonly suspendedMs: number;
  readonly wallOffsetMs: number;
  readonly voters: readonly { readonly name: string; readonly vendor: string; readonly target: Brought; readonly control: Brought | null }[];
};

export type QuorumHooks = { readonly ended: (round: Round, votes: readonly CastVote[], outcome: QuorumOutcome) => void };

const NOT_IN_TIME: Finding = { kind: 'nothing', reason: 'no answer in time' };
const OWN_SILENCE: Finding = { kind: 'nothing', reason: 'a region cannot control its own silence' };

export class Quorum {
  readonly #sim: Simulation;
  readonly #process: Process;
  readonly #region: string;
  readonly #lease: string;
  readonly #resolvers: readonly Resolver[];
  readonly #hooks: QuorumHooks;
  #nonces = 0;

  constructor(sim: Simulation, process: Process, asker: { region: string; lease: string }, resolvers: readonly Resolver[], hooks: QuorumHooks) {
    this.#sim = sim;
    this.#process = process;
    this.#region = asker.region;
    this.#lease = asker.lease;
    this.#resolvers = resolvers;
    this.#hooks = hooks;
  }

  /** `take` gets the outcome once every resolver has answered both questions, and at the deadline at the latest. */
  round(target: RegionId, timeoutMs: number, take: (outcome: QuorumOutcome) => void): void {
    const own = target === this.#region;
    let [open, over] = [this.#resolvers.length * (own ? 1 : 2), false];
    const round: Round = {
      region: this.#region,
      target,
      startedMs: this.#sim.nowMs,
      startedMonoMs: this.#process.machine.now().monoMs,
      suspendedMs: this.#process.machine.suspendedMs,
      wallOffsetMs: this.#process.machine.wallOffsetMs,
      voters: this.#resolvers.map(({ name, vendor }) => ({
        name,
        vendor,
        target: { question: this.#question(this.#lease, target), answer: null },
        control: own ? null : { question: this.#question(CONTROL_LABEL, this.#region), answer: null },
      })),
    };
    const end = (): void => {
      if (over) return;
      over = true;
      const votes = round.voters.map(({ name, vendor, target: about, control }) => {
        const found = control === null ? OWN_SILENCE : judge(control);
        return { voter: { name, vendor }, vote: voteOf(judge(about), () => found) };
      });
      const outcome = tally(target, votes);
      this.#hooks.ended(round, votes, outcome);
      take(outcome);
    };
    const { generation } = this.#process;
    const ask = (resolver: Resolver, brought: Brought): void =>
      resolver.ask(this.#region, brought.question, (answer) =>
        this.#process.deliver(() => {
          // A link may deliver twice; the first answer is the answer.
          if (over || brought.answer !== null) return;
          brought.answer = answer;
          open--;
          if (open === 0) end();
        }, generation),
      );
    this.#resolvers.forEach((resolver, index) => {
      const voter = round.voters[index];
      if (voter === undefined) return;
      ask(resolver, voter.target);
      if (voter.control !== null) ask(resolver, voter.control);
    });
    this.#process.after(timeoutMs, end);
  }

  /** Nobody here guesses: a nonce only has to be new. */
  #question(lease: string, region: string): AttestationQuestion {
    this.#nonces++;
    return { nonce: `${this.#region.slice(1)}${this.#nonces.toString(16).padStart(31, '0')}`, lease, region };
  }
}

/** As the adapter: what was signed by the asked region for this very question, or why not. */
function judge({ question, answer }: Brought): Finding {
  if (answer === null) return NOT_IN_TIME;
  if (answer.kind === 'empty') return { kind: 'nothing', reason: 'no record' };
  if (answer.kind === 'servfail') return { kind: 'nothing', reason: 'SERVFAIL' };
  if (answer.kind === 'nxdomain') return { kind: 'unusable', reason: 'NXDOMAIN' };
  const parsed = parseAttestation(answer.text);
  if (!parsed.ok) return { kind: 'unusable', reason: `not an attestation (${parsed.problem})` };
  const finding = findingOf(parsed.attestation, question);
  if (finding.kind === 'unusable') return finding;
  const genuine = parsed.signature === signatureOf(parsed.attestation);
  return genuine ? finding : { kind: 'unusable', reason: 'wrong signature' };
}
