// The quorum never grants. Worked out from the words that the beacons really signed and the resolvers really brought, and from what the
// register really said, never from what a controller believes:
//   QUORUM  an outcome is what two resolvers of two vendors brought, no more and no less;
//   HOLD    validity grows past the register's only while it is valid, only while the register is not heard, only on fresh words;
//   VETO    nobody asks for another region's lease by itself before a whole window of darkness.
// And the assumption of design.md §5 is measured: a region that sees itself attested in the middle of what another one sees as darkness
// (two resolvers that lie alike, a path on which each question has a fate of its own, a view that opens for less than a sampling
// interval) makes a grant that rests on that darkness doubtful. Two regions may serve then; the epochs still stand.

import type { AttestationQuestion, ControllerEvent, ControllerState, Fallback, LeaseCommand, LeaseRecord, QuorumOutcome } from '@continuum/core';
import type { Machine } from '../machine.ts';
import type { Marks } from '../marks.ts';
import type { Brought, Round } from '../models/quorum.ts';
import type { Simulation } from '../simulation.ts';

/** Clocks of the regions may differ by this share over a window. */
const RATE_SHARE = 0.98;
/** A sleep that is too short to be noticed. */
const UNSEEN_MS = 1_000;
const GAP_ROUNDS = 2;
const WORDS_MAX = 256;

type Signed = { readonly region: string; readonly lease: string; readonly epoch: number; readonly text: string };
type Hold = { readonly epoch: number; readonly untilMono: number };
type Dark = { readonly target: string; readonly sinceMs: number; readonly lastMs: number; readonly round: Round; readonly doubtful: boolean };
type Outcome = { readonly kind: 'attested'; readonly epoch: number } | { readonly kind: 'dark' } | { readonly kind: 'abstain' };
type Heard = 'agreed' | 'refused' | 'unheard';

export class QuorumChecker {
  readonly #sim: Simulation;
  readonly #marks: Marks;
  readonly #fallback: Fallback;
  /** By nonce: a question that a path doubled is answered twice. */
  readonly #signed = new Map<string, Signed[]>();
  readonly #holds = new Map<string, Hold>();
  /** What a round came to, by the outcome that its region's controller may yet have in its mailbox: it cannot act on it before. */
  readonly #ended = new WeakMap<QuorumOutcome, { readonly round: Round; readonly real: Outcome }>();
  readonly #dark = new Map<string, Dark>();
  /** Whose expired lease the register granted to each region, and under which epoch; until it is active, or nobody could know. */
  readonly #takenFrom = new Map<string, { readonly region: string; readonly epoch: number }>();
  /** What the register said to each region: its last word, and its last word that was one. */
  readonly #heard = new Map<string, { last: Heard; said: Heard }>();
  /** Whether the darkness was doubtful on which each region asked for the lease last. */
  readonly #asked = new Map<string, boolean>();
  /** When each region's last round about itself began that attested it. */
  readonly #seenMs = new Map<string, number>();

  constructor(sim: Simulation, marks: Marks, fallback: Fallback) {
    this.#sim = sim;
    this.#marks = marks;
    this.#fallback = fallback;
  }

  /** A beacon has signed. */
  signed({ nonce, region, lease }: AttestationQuestion, epoch: number, text: string): void {
    const word = { region, lease, epoch, text };
    const words = this.#signed.get(nonce);
    if (words === undefined) this.#signed.set(nonce, [word]);
    else words.push(word);
    if (this.#signed.size <= WORDS_MAX) return;
    const [oldest] = this.#signed.keys();
    if (oldest !== undefined) this.#signed.delete(oldest);
  }

  ended(round: Round, outcome: QuorumOutcome): void {
    const real = this.#real(round);
    if (real.kind !== outcome.kind || (real.kind === 'attested' && outcome.kind === 'attested' && real.epoch !== outcome.epoch)) {
      this.#sim.violate('QUORUM', `${round.region} takes as ${outcome.kind} about ${round.target} what was ${real.kind}`);
    }
    this.#sim.mix(outcome.kind.length);
    for (const { target, control } of round.voters) {
      this.#signed.delete(target.question.nonce);
      if (control !== null) this.#signed.delete(control.question.nonce);
    }
    this.#takeHold(round, real);
    this.#ended.set(outcome, { round, real });
  }

  /** The end of what the attestations of a region carry, on its own clock; null when there are none of that epoch. */
  heldUntil(region: string, epoch: number): number | null {
    const hold = this.#holds.get(region);
    return hold !== undefined && hold.epoch === epoch ? hold.untilMono : null;
  }

  /** A new life, or a new boot: nothing that was seen before it is known. */
  forget(region: string): void {
    this.#dark.delete(region);
    this.#heard.delete(region);
    this.#takenFrom.delete(region);
  }

  rebooted(region: string): void {
    this.#holds.delete(region);
  }

  /** The register has granted an epoch. A region's own lease, or nobody's, is still that of whom it was taken from before. */
  granted(before: LeaseRecord, after: LeaseRecord, command: LeaseCommand, byStranger: boolean): void {
    const region = after.holder;
    if (region === null || after.epoch === before.epoch) return;
    const last = this.#takenFrom.get(region)?.region;
    const from = before.holder === null || before.holder === region ? last : before.holder;
    this.#takenFrom.clear();
    const byItself = command.kind === 'acquire' && command.force === null && !byStranger;
    if (byItself && from !== undefined) this.#takenFrom.set(region, { region: from, epoch: after.epoch });
  }

  decided(before: ControllerState, after: ControllerState, event: ControllerEvent, machine: Machine): void {
    const { region } = after.policy;
    this.#listen(region, before, event);
    this.#learn(before, event);
    // Whose lease it was is not known to who first sees the register with it granted, and does not matter to an operator who forces.
    const firstSight = before.view === null && after.view?.holder === region;
    const forced = after.operator?.kind === 'takeover' && after.operator.force !== null;
    if (after.phase.kind === 'active' || firstSight || forced) this.#takenFrom.delete(region);
    const doing = after.databaseAction;
    if (doing !== null && doing.id !== before.databaseAction?.id && doing.action.kind === 'promote') this.#promotes(after, machine);
    const asked = after.request;
    if (asked !== null && asked.id !== before.request?.id && asked.request.kind === 'acquire') this.#looked(after, asked.request.force !== null, machine);
    const [was, is] = [before.grant, after.grant];
    const nowMono = machine.now().monoMs;
    if (event.kind !== 'quorum-answered' || is === null || is.validUntilMs <= nowMono) return;
    if (was !== null && was.epoch === is.epoch && is.validUntilMs <= was.validUntilMs) return;
    if (was === null || was.epoch !== is.epoch) this.#sim.violate('HOLD', `${region} has epoch ${is.epoch} from its resolvers`);
    if (nowMono >= was.validUntilMs) this.#sim.violate('HOLD', `${region} revives a validity that ended ${Math.round(nowMono - was.validUntilMs)} ms ago`);
    const heard = this.#heard.get(region);
    if (heard?.last !== 'unheard') this.#sim.violate('HOLD', `${region} holds on while the register is heard`);
    if (heard.said === 'refused') this.#sim.violate('HOLD', `${region} holds on past a refusal`);
    this.#marks.set('validity-held-by-quorum');
  }

  #learn({ fallback }: ControllerState, event: ControllerEvent): void {
    if (event.kind !== 'quorum-answered' || fallback.pending?.id !== event.id) return;
    const ended = this.#ended.get(event.outcome);
    if (ended !== undefined) this.#takeDark(ended.round, ended.real);
  }

  #listen(region: string, before: ControllerState, event: ControllerEvent): void {
    if (event.kind !== 'register-answered' || before.request?.id !== event.id) return;
    const heard = this.#heard.get(region) ?? { last: 'agreed', said: 'agreed' };
    const silent = !event.answer.ok && (event.answer.code === 'CTM_REGISTER_TIMEOUT' || event.answer.code === 'CTM_REGISTER_UNREACHABLE');
    const last: Heard = silent ? 'unheard' : event.answer.ok && event.answer.reply.outcome.ok ? 'agreed' : 'refused';
    // An answer that is not of the protocol is somebody's, and says nothing: it ends a hold, and is not remembered.
    this.#heard.set(region, { last, said: event.answer.ok ? last : heard.said });
  }

  #looked({ policy: { region }, view }: ControllerState, forced: boolean, machine: Machine): void {
    this.#asked.set(region, this.#dark.get(region)?.doubtful === true);
    if (forced || view === null || view.holder === null || view.holder === region || view.epoch === 0) return;
    const dark = this.#dark.get(region);
    const { holdMs, roundMs } = this.#fallback;
    const spanMs = dark === undefined || dark.target !== view.holder ? 0 : dark.lastMs - dark.sinceMs;
    const ageMs = dark === undefined ? 0 : this.#ageMs(dark, machine);
    if (spanMs < holdMs * RATE_SHARE) this.#sim.violate('VETO', `${region} asks for the lease of ${view.holder} after ${Math.round(spanMs)} ms of darkness`);
    if (ageMs > 4 * roundMs + UNSEEN_MS) this.#sim.violate('VETO', `${region} asks for the lease of ${view.holder} on darkness of ${Math.round(ageMs)} ms ago`);
    this.#marks.set('takeover-after-darkness');
  }

  /** The second look: who was granted another region's lease promotes only while that region is still dark. */
  #promotes({ policy: { region }, fallback, grant }: ControllerState, machine: Machine): void {
    const from = this.#takenFrom.get(region);
    if (from === undefined || from.epoch !== grant?.epoch) return;
    const dark = this.#dark.get(region);
    const ageMs = dark === undefined || dark.target !== from.region ? Number.POSITIVE_INFINITY : this.#ageMs(dark, machine);
    if (ageMs <= 4 * this.#fallback.roundMs + UNSEEN_MS) return;
    this.#sim.violate('VETO', `${region} promotes on the lease of ${from.region}, which is not known to be dark now (${fallback.last?.outcome.kind})`);
  }

  /** As its clocks could tell. */
  #ageMs({ lastMs, round }: Dark, machine: Machine): number {
    return this.#sim.nowMs - lastMs - hiddenSleepMs(round, machine);
  }

  /** Whether what this region last saw of the other one may not be what the other one saw of itself. */
  isDoubtful(region: string): boolean {
    return this.#asked.get(region) === true;
  }

  #takeHold(round: Round, real: Outcome): void {
    if (real.kind !== 'attested' || round.target !== round.region) return;
    this.#seenMs.set(round.region, round.startedMs);
    for (const [region, dark] of this.#dark) this.#dark.set(region, this.#judged(dark));
    const untilMono = round.startedMonoMs + this.#fallback.holdMs;
    const before = this.#holds.get(round.region);
    if (before !== undefined && before.epoch === real.epoch && before.untilMono >= untilMono) return;
    this.#holds.set(round.region, { epoch: real.epoch, untilMono });
  }

  #takeDark(round: Round, real: Outcome): void {
    const { region, target, startedMs } = round;
    const before = this.#dark.get(region);
    if (real.kind !== 'dark') {
      this.#dark.delete(region);
      return;
    }
    const gapMs = GAP_ROUNDS * this.#fallback.roundMs * 1.02 + UNSEEN_MS;
    const unbroken = before !== undefined && before.target === target && startedMs - before.lastMs - hiddenSleepMs(before.round, round) <= gapMs;
    const dark = { target, sinceMs: unbroken ? before.sinceMs : startedMs, lastMs: startedMs, round, doubtful: unbroken && before.doubtful };
    this.#dark.set(region, this.#judged(dark));
  }

  /** The region saw itself in the middle of another one's darkness, by more than a sampling interval: the assumption does not hold. */
  #judged(dark: Dark): Dark {
    const seenMs = this.#seenMs.get(dark.target) ?? Number.NEGATIVE_INFINITY;
    return dark.doubtful || seenMs < dark.sinceMs + this.#fallback.roundMs ? dark : { ...dark, doubtful: true };
  }

  #real(round: Round): Outcome {
    const attested = new Map<number, Round['voters'][number][]>();
    const silent: Round['voters'][number][] = [];
    for (const voter of round.voters) {
      const word = this.#fresh(voter.target);
      if (word !== null) attested.set(word.epoch, [...(attested.get(word.epoch) ?? []), voter]);
      else if (isSilence(voter.target) && voter.control !== null && this.#fresh(voter.control) !== null) silent.push(voter);
    }
    this.#markRound(round, silent);
    const found: Outcome[] = [...attested].flatMap(([epoch, voters]) => (isEnough(voters) ? [{ kind: 'attested' as const, epoch }] : []));
    if (isEnough(silent)) found.push({ kind: 'dark' });
    return found.length === 1 ? (found[0] as Outcome) : { kind: 'abstain' };
  }

  #fresh({ question, answer }: Brought): Signed | null {
    if (answer?.kind !== 'text') return null;
    const { text } = answer;
    const word = this.#signed.get(question.nonce)?.find((one) => one.text === text);
    return word !== undefined && word.region === question.region && word.lease === question.lease ? word : null;
  }

  #markRound({ voters }: Round, silent: Round['voters']): void {
    const marks = this.#marks;
    if (silent.length === 1) marks.set('one-silent-voter-was-not-darkness');
    if (silent.length > 1 && new Set(silent.map(({ vendor }) => vendor)).size === 1) marks.set('one-vendor-was-not-two-voices');
    for (const { target, control } of voters) {
      if (target.answer?.kind === 'text' && this.#fresh(target) === null) marks.set('stale-attestation-refused');
      if (target.answer?.kind === 'nxdomain') marks.set('nxdomain-was-no-evidence');
      if (control !== null && isSilence(target) && this.#fresh(control) === null) marks.set('silence-without-control-refused');
    }
  }
}

type Clocks = { readonly suspendedMs: number; readonly wallOffsetMs: number };

/** A wall clock that is set back by just as much hides a sleep: no clock of the machine shows it (README, "Honest limits"). */
function hiddenSleepMs(before: Clocks, after: Clocks): number {
  const sleptMs = after.suspendedMs - before.suspendedMs;
  const shownMs = sleptMs + after.wallOffsetMs - before.wallOffsetMs;
  return sleptMs > 0 && Math.abs(shownMs) <= UNSEEN_MS ? sleptMs : 0;
}

/** Nothing came, or something that says that nothing is there. */
function isSilence({ answer }: Brought): boolean {
  return answer === null || answer.kind === 'empty' || answer.kind === 'servfail';
}

function isEnough(voters: readonly { readonly name: string; readonly vendor: string }[]): boolean {
  return new Set(voters.map(({ name }) => name)).size >= 2 && new Set(voters.map(({ vendor }) => vendor)).size >= 2;
}
