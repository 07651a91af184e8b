// The resolvers as voters. Each is asked on its own, by its own transports, within its own deadline, with a nonce that no name had
// before: for the target's word, and for the control name of the asking region, without which silence would prove nothing. What comes
// back is checked here (nonce, lease, region, signature); what it means is decided in core.
//
// A round comes seldom, and each time the processor has forgotten the code: therefore few steps, called back without promises, and what
// came back is judged in one go when all of it is there.

import { CONTROL_LABEL, voteOf } from '@continuum/core';
import type { CastVote, Finding, RegionId, Voter } from '@continuum/core';
import type { QuorumPort } from '@continuum/ports';
import type { PublicKey } from '@continuum/wire';
import type { Agent } from 'undici';
import { createDatagrams } from './datagrams.ts';
import type { Datagrams, Endpoint } from './datagrams.ts';
import { askHttps, askPlain, httpsAgent } from './exchange.ts';
import type { Settled } from './exchange.ts';
import { createJudge } from './proof.ts';
import type { Question } from './question.ts';
import { createQuestions } from './questions.ts';
import type { Questions } from './questions.ts';
import { createRoundEnd } from './round-end.ts';
import type { RoundEnd } from './round-end.ts';

export type VoterOptions = Voter &
  Endpoint & {
    /** DNS over HTTPS at the same resolver, tried when plain DNS has brought nothing by half of the deadline. */
    readonly https?: { readonly url: string; readonly ca?: string };
  };

export type QuorumOptions = {
  readonly zone: string;
  readonly lease: string;
  readonly region: RegionId;
  readonly voters: readonly VoterOptions[];
  /** The regions' public keys by key id, `<region>/<label>`. */
  readonly publicKeys: Readonly<Record<string, PublicKey>>;
  /** A datagram came from a resolver that answers no question under way: late, doubled or forged. */
  readonly onStray?: (voter: Voter) => void;
};

export type Quorum = QuorumPort & { readonly close: () => Promise<void> };

/** What all questions about one thing have in common. */
type About = { readonly lease: string; readonly region: string; readonly questions: Questions };
/** One thing that one voter is asked: by which question, and what came back. */
type Inquiry = { readonly about: About; nonce: string; reading: Settled };
type Ballot = { readonly part: VoterParts; readonly target: Inquiry; readonly control: Inquiry | null };
type Second = { readonly url: string; readonly agent: Agent };
type VoterParts = Endpoint & { readonly voter: Voter; readonly datagrams: Datagrams; readonly second: Second | null };

const NOT_ASKED: Settled = { kind: 'nothing', reason: 'not asked' };
/** The control name is the region's own: a region that finds nothing at itself has no second place to look from. */
const OWN_SILENCE: Finding = { kind: 'nothing', reason: 'a region cannot control its own silence' };

/** Throws `KeyError` for a key that is none. */
export async function createQuorum(options: QuorumOptions): Promise<Quorum> {
  const { lease, region, zone, onStray = () => undefined } = options;
  const judge = createJudge(options.publicKeys);
  const parts = options.voters.map(({ name, vendor, address, port, https }): VoterParts => {
    const voter: Voter = { name, vendor };
    const second = https === undefined ? null : { url: https.url, agent: httpsAgent(https.ca) };
    return { voter, address, port, second, datagrams: createDatagrams({ address, port }, () => onStray(voter)) };
  });
  const control: About = { lease: CONTROL_LABEL, region, questions: createQuestions(`${CONTROL_LABEL}.${region}.${zone}`) };
  /** There are as many targets as regions. */
  const targets = new Map<RegionId, About>();
  const aboutTarget = (target: RegionId): About => {
    const about = targets.get(target) ?? { lease, region: target, questions: createQuestions(`${lease}.${target}.${zone}`) };
    targets.set(target, about);
    return about;
  };
  const findingOf = ({ about, nonce, reading }: Inquiry): Finding =>
    reading.kind === 'text' ? judge(reading.text, { nonce, lease: about.lease, region: about.region }) : reading;
  const cast = ({ part, target, control: own }: Ballot): CastVote => ({
    voter: part.voter,
    vote: voteOf(findingOf(target), () => (own === null ? OWN_SILENCE : findingOf(own))),
  });
  return {
    round: (target, timeoutMs, signal) =>
      new Promise((resolve) => {
        if (signal.aborted || parts.length === 0) return resolve(parts.map(({ voter }) => ({ voter, vote: { kind: 'abstain', reason: 'aborted' } })));
        const about = aboutTarget(target);
        const ballots = parts.map((part): Ballot => ({ part, target: inquiry(about), control: target === region ? null : inquiry(control) }));
        const end = createRoundEnd(timeoutMs);
        let open = ballots.length * (target === region ? 1 : 2);
        const heard = (): void => {
          open -= 1;
          if (open > 0) return;
          end.clear();
          resolve(ballots.map(cast));
        };
        for (const ballot of ballots) {
          ask(ballot.part, ballot.target, end, heard);
          if (ballot.control !== null) ask(ballot.part, ballot.control, end, heard);
        }
      }),
    close: async () => {
      for (const { datagrams } of parts) datagrams.close();
      await Promise.all(parts.map(({ second }) => second?.agent.destroy()));
    },
  };
}

const inquiry = (about: About): Inquiry => ({ about, nonce: '', reading: NOT_ASKED });

/**
 * One resolver by both of its transports: the second is asked when the first has brought nothing, or not yet by half of the time.
 * `heard` is called once.
 */
function ask(part: VoterParts, put: Inquiry, end: RoundEnd, heard: () => void): void {
  const { datagrams, second } = part;
  const { questions } = put.about;
  const hear = ({ nonce }: Question, reading: Settled): void => {
    put.nonce = nonce;
    put.reading = reading;
    heard();
  };
  const first = questions.next();
  if (second === null) return askPlain(first, part, datagrams, end, (reading) => hear(first, reading));
  let [open, asked, over] = [2, false, false];
  const bring = (of: Question, reading: Settled): void => {
    open -= 1;
    if (over) return;
    if (reading.kind === 'nothing' && open > 0) return askSecond();
    over = true;
    hear(of, reading);
  };
  const askSecond = (): void => {
    if (asked || over) return;
    asked = true;
    const question = questions.nextOverHttps();
    void askHttps(question, second.url, second.agent, end.atMs).then((reading) => bring(question, reading));
  };
  askPlain(first, part, datagrams, end, (reading) => bring(first, reading));
  end.atHalf(askSecond);
}
