// The resolvers as voters. Each is asked on its own, by its own transports, within its own deadline, with a nonce that no name had
// before: for the target's word, and for the control name of the asking region, without which silence would prove nothing. What comes
// back is checked here (nonce, lease, region, signature); what it means is decided in core.
//
// A round comes seldom, and each time the processor has forgotten the code: therefore few steps, called back without promises.

import { CONTROL_LABEL, voteOf } from '@continuum/core';
import type { Finding, RegionId, Voter } from '@continuum/core';
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
type Ballot = { readonly part: VoterParts; finding: Finding | null; control: Finding | null };
type Hear = (of: Question, reading: Settled) => void;
type Second = { readonly url: string; readonly agent: Agent };
type VoterParts = Endpoint & { readonly voter: Voter; readonly datagrams: Datagrams; readonly second: Second | null };

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
  const find = (part: VoterParts, { lease: of, region: by, questions }: About, end: RoundEnd, found: (finding: Finding) => void): void =>
    ask(part, questions, end, ({ nonce }, reading) => found(reading.kind === 'text' ? judge(reading.text, { nonce, lease: of, region: by }) : reading));
  return {
    round: (target, timeoutMs, signal) =>
      new Promise((resolve) => {
        if (signal.aborted || parts.length === 0) return resolve(parts.map(({ voter }) => ({ voter, vote: { kind: 'abstain', reason: 'aborted' } })));
        const about = aboutTarget(target);
        const ballots = parts.map((part): Ballot => ({ part, finding: null, control: target === region ? OWN_SILENCE : null }));
        const end = createRoundEnd(timeoutMs);
        const count = (): void => {
          const cast = ballots.flatMap(({ part, finding, control: own }) => (finding === null || own === null ? [] : [{ voter: part.voter, vote: voteOf(finding, own) }]));
          if (cast.length < ballots.length) return;
          end.clear();
          resolve(cast);
        };
        for (const ballot of ballots) {
          find(ballot.part, about, end, (finding) => {
            ballot.finding = finding;
            count();
          });
          if (ballot.control !== null) continue;
          find(ballot.part, control, end, (finding) => {
            ballot.control = finding;
            count();
          });
        }
      }),
    close: async () => {
      for (const { datagrams } of parts) datagrams.close();
      await Promise.all(parts.map(({ second }) => second?.agent.destroy()));
    },
  };
}

/** One resolver by both of its transports: the second is asked when the first has brought nothing, or not yet by half of the time. */
function ask(part: VoterParts, questions: Questions, end: RoundEnd, hear: Hear): void {
  const first = questions.next();
  const { datagrams, second } = part;
  if (second === null) return askPlain(first, part, datagrams, end, (reading) => hear(first, reading));
  let [open, asked, over] = [2, false, false];
  const bring: Hear = (of, reading) => {
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
