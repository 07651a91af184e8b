// The run as it happens. On a terminal: one picture of both regions, redrawn in place. Elsewhere (a log, a pipe, CI): a line
// for each change and nothing in between.

import type { LagNow } from './lag.ts';

export type LiveRegion = {
  readonly region: string;
  /** What the region's controller says it is doing; null when it does not answer. */
  readonly phase: string | null;
  /** Epoch under which it may act now; 0 when it may not. */
  readonly actingEpoch: number;
  /** Until it stops by itself. */
  readonly validityMs: number;
  readonly database: string | null;
  readonly gate: string | null;
};

export type LiveState = {
  readonly elapsedMs: number;
  readonly step: { readonly name: string; readonly startedMs: number };
  /** As the witness has it; null before anybody could be asked. */
  readonly lease: { readonly holder: string | null; readonly epoch: number } | null;
  /** Full length of the validity bar. */
  readonly ttlMs: number;
  readonly regions: readonly LiveRegion[];
  /** Of each standby, as the lag probers say. */
  readonly lag: readonly LagNow[];
  /** What each resolver answers, in words (`r1`, `r1+r2`); empty when it gives no answer. */
  readonly resolvers: readonly { readonly resolver: string; readonly answer: string }[];
  /** Writes that ended in each second of the run, oldest first. */
  readonly writes: readonly { readonly acknowledged: number; readonly refused: number; readonly unknown: number }[];
  /** Oldest first. */
  readonly events: readonly { readonly atMs: number; readonly text: string }[];
};

export type LiveView = {
  /** Cheap: draws at most ten times a second, and always the latest state. */
  readonly update: (state: LiveState) => void;
  /** Draws the last state, gives the cursor back, and draws no more. */
  readonly close: () => void;
};

/** What of a `tty.WriteStream` is used. */
export type LiveStream = {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
  readonly write: (text: string) => unknown;
};

type Style = 'plain' | 'dim' | 'bold' | 'good' | 'bad' | 'warn' | 'region0' | 'region1';
type Line = readonly (readonly [text: string, style?: Style])[];

const DRAW_EVERY_MS = 100;
const BAR_CELLS = 16;
const EVENTS_SHOWN = 4;
const COLUMNS_DEFAULT = 80;
const ROWS_DEFAULT = 24;
const SECONDS_SHOWN_MAX = 60;
const BLOCKS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const;
const CODES: Readonly<Record<Style, string>> = {
  plain: '', dim: '2', bold: '1', good: '32', bad: '31', warn: '33', region0: '34', region1: '35',
};
const HIDE_CURSOR = '\u001b[?25l';
const SHOW_CURSOR = '\u001b[?25h';

/** A terminal gets the picture, anything else (and `TERM=dumb`) plain lines. `NO_COLOR` leaves the picture without colour. */
export function createLiveView(stream: LiveStream, environment: Readonly<Record<string, string | undefined>> = process.env): LiveView {
  if (stream.isTTY !== true || environment['TERM'] === 'dumb') return createPlainView(stream);
  return createTerminalView(stream, (environment['NO_COLOR'] ?? '') === '');
}

function createTerminalView(stream: LiveStream, colour: boolean): LiveView {
  let latest: LiveState | null = null;
  let drawnLines = 0;
  let drawnAtMs = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | null = null;
  let closed = false;
  const restore = (): void => void stream.write(SHOW_CURSOR);
  process.once('exit', restore);
  stream.write(HIDE_CURSOR);

  const draw = (): void => {
    timer = null;
    if (latest === null) return;
    drawnAtMs = performance.now();
    // One column and one row stay free: a full line or a full screen would scroll, and the picture would creep.
    const width = (stream.columns ?? COLUMNS_DEFAULT) - 1;
    const lines = picture(latest, width).slice(0, Math.max(1, (stream.rows ?? ROWS_DEFAULT) - 1));
    const text = lines.map((line) => `${paint(line, width, colour)}\u001b[K\n`).join('');
    stream.write(`${drawnLines > 0 ? `\u001b[${drawnLines}A` : ''}\r${text}\u001b[J`);
    drawnLines = lines.length;
  };
  return {
    update: (state) => {
      latest = state;
      if (closed || timer !== null) return;
      const waitMs = drawnAtMs + DRAW_EVERY_MS - performance.now();
      if (waitMs <= 0) draw();
      else timer = setTimeout(draw, waitMs).unref();
    },
    close: () => {
      if (closed) return;
      closed = true;
      if (timer !== null) clearTimeout(timer);
      draw();
      process.removeListener('exit', restore);
      restore();
    },
  };
}

function createPlainView(stream: LiveStream): LiveView {
  const said = new Map<string, string>();
  let eventsSaid = 0;
  let closed = false;
  const say = (atMs: number, text: string): void => void stream.write(`${seconds(atMs).padStart(8)}  ${printable(text)}\n`);
  return {
    update: (state) => {
      if (closed) return;
      for (const event of state.events.slice(eventsSaid)) say(event.atMs, event.text);
      eventsSaid = state.events.length;
      for (const [subject, value] of facts(state)) {
        if (said.get(subject) === value) continue;
        const before = said.get(subject);
        said.set(subject, value);
        say(state.elapsedMs, subject === 'step' ? `== ${value}` : `${subject}: ${before === undefined ? '' : `${before} -> `}${value}`);
      }
    },
    close: () => {
      closed = true;
    },
  };
}

/** What is worth a line when it changes. Numbers that always move (validity, lag, counts) are not. */
function facts(state: LiveState): [string, string][] {
  const { lease } = state;
  return [
    ['step', state.step.name],
    ['lease', lease === null ? 'unknown' : `${lease.holder ?? 'nobody'}, epoch ${lease.epoch}`],
    ...state.regions.flatMap((region): [string, string][] => [
      [`controller ${region.region}`, region.phase ?? 'no answer'],
      [`gate ${region.region}`, region.gate ?? 'no answer'],
      [`database ${region.region}`, region.database ?? 'no answer'],
    ]),
    ...state.lag.map(({ region, verdict, bytes: count }): [string, string] => [`lag ${region}`, `${count === null ? 'unknown' : 'known'}, ${verdict}`]),
    ...state.resolvers.map(({ resolver, answer }): [string, string] => [`DNS ${resolver}`, answer === '' ? 'no answer' : answer]),
  ];
}

function picture(state: LiveState, width: number): Line[] {
  const { lease, step } = state;
  const holder: Line = lease === null
    ? [['unknown', 'dim']]
    : [[lease.holder ?? 'nobody', lease.holder === null ? 'warn' : regionStyle(state, lease.holder)], [` · epoch ${lease.epoch}`]];
  return [
    [['Continuum ', 'bold'], [`${seconds(state.elapsedMs)}   `], [step.name, 'bold'], [`  ${seconds(state.elapsedMs - step.startedMs)}`, 'dim']],
    [],
    [['lease    ', 'dim'], ...holder],
    [[`${'region'.padEnd(9)}${'acts'.padEnd(11)}${'validity'.padEnd(BAR_CELLS + 9)}${'database'.padEnd(10)}${'gate'.padEnd(9)}controller`, 'dim']],
    ...state.regions.map((region) => regionLine(state, region)),
    [],
    [['lag      ', 'dim'], ...(state.lag.length === 0 ? ([['no lag prober speaks of a standby', 'dim']] satisfies Line) : state.lag.flatMap((one): Line => lagParts(state, one)))],
    [['DNS      ', 'dim'], ...state.resolvers.flatMap(({ resolver, answer }): Line => [
      [`${resolver} `, 'dim'],
      [(answer === '' ? 'no answer' : answer).padEnd(9), answer === '' ? 'bad' : regionStyle(state, answer)],
      ['  '],
    ])],
    [],
    ...writeLines(state, width),
    [],
    ...state.events.slice(-EVENTS_SHOWN).map((event): Line => [[seconds(event.atMs).padStart(8), 'dim'], [`  ${event.text}`]]),
  ];
}

function regionLine(state: LiveState, region: LiveRegion): Line {
  const own = regionStyle(state, region.region);
  const acting = region.actingEpoch > 0;
  const filled = acting && state.ttlMs > 0 ? Math.min(BAR_CELLS, Math.ceil((region.validityMs / state.ttlMs) * BAR_CELLS)) : 0;
  const low = filled <= BAR_CELLS / 4;
  const value = (text: string | null, width: number, style: Style): Line[number] =>
    text === null ? ['-'.padEnd(width), 'dim'] : [`${text} `.padEnd(width), style];
  return [
    [region.region.padEnd(9), own],
    acting ? [`● epoch ${region.actingEpoch}`.padEnd(11), own] : ['no'.padEnd(11), 'dim'],
    ['█'.repeat(filled), low ? 'bad' : 'good'],
    ['·'.repeat(BAR_CELLS - filled), 'dim'],
    [` ${acting ? seconds(region.validityMs) : '-'}`.padEnd(9), acting ? 'plain' : 'dim'],
    value(region.database, 10, region.database === 'primary' ? own : 'plain'),
    value(region.gate, 9, region.gate === 'open' ? own : 'plain'),
    value(region.phase ?? 'no answer', 0, region.phase === null ? 'bad' : 'dim'),
  ];
}

/** A figure with its age, or the word. */
function lagParts(state: LiveState, { region, verdict, milliseconds, bytes: count, ageMs }: LagNow): Line {
  const known = milliseconds !== null && count !== null;
  const age = ageMs === null ? '' : `, ${seconds(ageMs)} old`;
  return [
    [`${region} `, regionStyle(state, region)],
    known ? [`${Math.round(milliseconds)} ms, ${bytes(count)}`, 'plain'] : ['unknown', 'warn'],
    [`${known ? age : ''} `, 'dim'],
    [verdict, verdict === 'promotable' ? 'good' : 'warn'],
    ['   '],
  ];
}

/** One line per outcome on one scale, so that their heights compare; each has its letter, its sum and the last full second. */
function writeLines(state: LiveState, width: number): Line[] {
  const shown = state.writes.slice(-Math.max(1, Math.min(SECONDS_SHOWN_MAX, width - 46)));
  const peak = Math.max(1, ...shown.flatMap((second) => [second.acknowledged, second.refused, second.unknown]));
  const rows = [['acknowledged', 'good'], ['refused', 'bad'], ['unknown', 'warn']] as const;
  return rows.map(([outcome, style], index): Line => {
    const bars = shown.map((second) => (second[outcome] === 0 ? ' ' : BLOCKS[Math.ceil((second[outcome] / peak) * BLOCKS.length) - 1])).join('');
    const total = state.writes.reduce((sum, second) => sum + second[outcome], 0);
    const last = state.writes.at(-2)?.[outcome] ?? 0;
    return [
      [index === 0 ? 'writes   ' : '         ', 'dim'],
      [outcome.padEnd(13)],
      [`${total}`.padStart(6), total > 0 ? style : 'dim'],
      [`${last}/s`.padStart(7), 'dim'],
      ['  '],
      [bars, style],
    ];
  });
}

/** Cut to the width, counted without the codes. */
function paint(line: Line, width: number, colour: boolean): string {
  let left = Math.max(0, width);
  let text = '';
  for (const [raw, style = 'plain'] of line) {
    const part = [...printable(raw)].slice(0, left).join('');
    left -= [...part].length;
    text += colour && CODES[style] !== '' && part !== '' ? `\u001b[${CODES[style]}m${part}\u001b[0m` : part;
  }
  return text;
}

function regionStyle(state: LiveState, region: string): Style {
  const index = state.regions.findIndex((one) => one.region === region);
  return index === 0 ? 'region0' : index === 1 ? 'region1' : 'plain';
}

/** Names and messages come from other processes: none of them may steer the terminal. */
const printable = (text: string): string => text.replaceAll(/\p{Cc}/gu, '?');
const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

function bytes(count: number): string {
  if (count < 1_024) return `${count} B`;
  return count < 1_048_576 ? `${(count / 1_024).toFixed(1)} kB` : `${(count / 1_048_576).toFixed(1)} MB`;
}
