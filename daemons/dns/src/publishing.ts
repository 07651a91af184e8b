// Keeps every target at what the specification says: one loop for each, so that one that is down or slow holds up no other. Looks
// again when the specification changed, after its interval, and sooner after a failure. What changed is told once, not at every look.

import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { PublishMetrics } from './publish-metrics.ts';
import { followSpec, readSpec } from './publish-spec.ts';
import type { NamesSpec, SpecProblem } from './publish-spec.ts';
import type { Look, Target } from './publish-target.ts';

export type PublishingOptions = {
  readonly targets: readonly Target[];
  readonly specFile: string;
  readonly compareIntervalMs: number;
  readonly log: Logger;
  readonly metrics: PublishMetrics;
  readonly random: () => number;
};

export type Publishing = {
  /** The one in force. */
  readonly spec: () => NamesSpec;
  /** Ends after what is under way. */
  readonly stop: () => Promise<void>;
};

const LOOK_MS_MAX = 30_000;
const RETRY_MS = 1_000;
const RETRY_DOUBLINGS_MAX = 6;

/** `first` is what `firstText` says. */
export function startPublishing(options: PublishingOptions, first: NamesSpec, firstText: string): Publishing {
  const { log, metrics } = options;
  const stopping = new AbortController();
  let spec = first;
  let changed = new AbortController();
  metrics.specInForce(spec.generation, true);

  const onText = (text: string): void => {
    const read = readSpec(text, metrics.rendered);
    metrics.specInForce(read.ok ? read.spec.generation : spec.generation, read.ok);
    if (!read.ok) {
      log.error({ event: 'dns-spec-refused', problems: read.problems }, `the changed specification cannot be used: ${describe(read.problems)}; the one before stays in force`);
      return;
    }
    log.info({ event: 'dns-spec-changed', spec: read.spec.name, generation: read.spec.generation }, 'the specification changed');
    spec = read.spec;
    changed.abort();
    changed = new AbortController();
  };

  const keep = async (target: Target): Promise<void> => {
    const tell = createTeller(log.child({ target: target.name }));
    let failures = 0;
    while (!stopping.signal.aborted) {
      const [looked, next] = [spec, changed.signal];
      const look = await target.look(looked, AbortSignal.any([stopping.signal, AbortSignal.timeout(LOOK_MS_MAX)]));
      if (stopping.signal.aborted) return;
      failures = look.outcome.kind === 'failed' ? failures + 1 : 0;
      metrics.looked(target.name, look, target.writes());
      tell(look);
      const restMs = failures === 0 ? options.compareIntervalMs : Math.min(options.compareIntervalMs, RETRY_MS * 2 ** Math.min(failures - 1, RETRY_DOUBLINGS_MAX));
      await rest(restMs * (0.75 + options.random() / 4), AbortSignal.any([stopping.signal, next]));
    }
  };

  const running = Promise.all([...options.targets.map(keep), followSpec(options.specFile, firstText, onText, stopping.signal)]);
  return {
    spec: () => spec,
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}

export function describe(problems: readonly SpecProblem[]): string {
  return problems.map(({ path, value, fix }) => `${path} = ${value}: ${fix}`).join('; ');
}

/** Says what is new since the look before. */
function createTeller(log: Logger): (look: Look) => void {
  let [before, notesBefore] = ['', '[]'];
  return ({ outcome, drift, notes }) => {
    const saidNotes = JSON.stringify(notes);
    if (saidNotes !== notesBefore) for (const note of notes) log.info({ event: 'dns-version-gate', ...note }, `${note.kind}: ${note.what}: ${note.reason}`);
    notesBefore = saidNotes;
    if (drift.length > 0) log.warn({ event: 'dns-drift', names: drift }, `somebody else changed ${drift.join(', ')}`);
    const now = JSON.stringify(outcome, (name, value: unknown) => (name === 'cause' ? undefined : value));
    const isNews = now !== before || outcome.kind === 'written';
    before = now;
    if (!isNews) return;
    switch (outcome.kind) {
      case 'unchanged':
        return log.info({ event: 'dns-in-place' }, 'the records are in place');
      case 'written':
        return drift.length > 0 ? log.warn({ event: 'dns-drift-corrected' }, 'taken back') : log.info({ event: 'dns-published' }, 'published');
      case 'failed':
        return log.error({ event: 'dns-publish-failed', code: outcome.failure.code }, `${outcome.failure.code}: ${outcome.failure.message}`);
      default:
        return log.warn({ event: `dns-${outcome.kind}`, by: outcome.by }, GAVE_WAY[outcome.kind]);
    }
  };
}

const GAVE_WAY = {
  superseded: 'a newer generation is published: this daemon leaves it, and its own specification is out of date',
  contested: 'other records of the same generation are published, and not by this daemon: it leaves them. Give both daemons the same specification, or raise metadata.generation in the right one',
};

/** Ends early with the signal. */
async function rest(durationMs: number, signal: AbortSignal): Promise<void> {
  await delay(durationMs, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
