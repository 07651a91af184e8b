// The picture of a run: what the writer saw on top, and under it, on the same time axis, what the lease, the gates, the
// databases and DNS were doing. Nothing is told by colour alone: bands carry text, regions differ by stripes, what failed
// hangs below the line, and single writes differ by shape.

import type { Markup } from './markup.ts';
import { markup } from './markup.ts';
import type { LagSpan, Phase, Span, Timeline, WriteRecord } from './timeline.ts';
import { BUCKET_MS, duration, spansOf, writesPerBucket } from './timeline.ts';

export type Mark = { readonly atMs: number; readonly label: string; readonly tone: 'bad' | 'good' | 'plain' };

export type ChartOptions = Span & {
  /** For those who cannot see it. */
  readonly title: string;
  readonly marks: readonly Mark[];
  /** Named stretches above the picture. */
  readonly brackets: readonly (Span & { readonly label: string })[];
  /** Draws each write as a line from sent to answered, and each phase as a bar of its own. */
  readonly detail: boolean;
  readonly phases: readonly Phase[];
  /** Stretch without an acknowledged write. */
  readonly gap: Span | null;
};

type Band = Span & { readonly label: string; readonly style: string; readonly title: string };
type Row = { readonly label: string; readonly height: number; readonly group: boolean; readonly body: Markup | readonly Markup[] };
type Scale = (ms: number) => number;

const WIDTH = 1_180;
const LEFT = 148;
const RIGHT = 26;
const PLOT = WIDTH - LEFT - RIGHT;
const LABEL_LENGTH_MAX = 23;
const BAND_HEIGHT = 17;
const CHARACTER_WIDTH = 6.1;
const LANE_HEIGHT = 11;
const LANES_HEIGHT_MAX = 132;
const LANES_MAX = 40;
/** Bars above this many writes are cut and carry their number: a burst of released requests must not flatten the rest. */
const BAR_WRITES_MAX = 5;
/** Two shapes closer than this on one line would hide each other. */
const SHAPE_WIDTH = 9;
const STYLED_REGIONS = 4;
const TICKS_MS = [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000];
const TICKS_MAX = 14;

export function renderChart(timeline: Timeline, options: ChartOptions): Markup {
  const scale = scaleOf(options);
  const rows = rowsOf(timeline, options, scale);
  let y = options.brackets.length > 0 ? 74 : options.marks.length > 0 ? 46 : 8;
  const top = y;
  const drawn = rows.map((row) => {
    y += row.group ? 9 : 0;
    const at = y;
    y += row.height + 4;
    return markup`<g transform="translate(0 ${at})"><text class="label" x="${LEFT - 10}" y="${row.height / 2 + 4}">${shortened(row.label)}</text>${row.body}</g>`;
  });
  const bottom = y + 2;
  return markup`<svg viewBox="0 0 ${WIDTH} ${bottom + 22}" role="img" aria-label="${options.title}" class="chart">
${options.gap === null ? null : shade(options.gap, scale, top, bottom)}
${axis(options, scale, top, bottom)}
${options.brackets.map((bracket) => drawBracket(bracket, scale))}
${options.marks.map((mark) => drawMark(mark, options.marks, scale, top, bottom))}
${drawn}
</svg>`;
}

function rowsOf(timeline: Timeline, options: ChartOptions, scale: Scale): Row[] {
  const within = <T extends Span>(spans: readonly T[]): T[] =>
    spans.filter((span) => span.toMs > options.fromMs && span.fromMs < options.toMs);
  const bands = (label: string, group: boolean, list: readonly Band[]): Row => ({
    label,
    group,
    height: BAND_HEIGHT,
    body: within(list).map((band) => drawBand(band, scale, options)),
  });
  const style = (region: string): string => regionClass(timeline, region);
  const writes = options.detail ? writeLanes(timeline, options, scale) : writeBars(timeline, options, scale);
  const { bucketMs, ok, failed } = timeline.reads;
  const inView = (count: number, index: number): boolean =>
    count > 0 && index * bucketMs >= options.fromMs && index * bucketMs < options.toMs;
  const reads = ok.some(inView) || failed.some(inView);
  return [
    ...options.phases.map((phase): Row => ({ label: phase.name, group: false, height: 15, body: phaseBar(phase, scale) })),
    writes,
    bands('acknowledged by', false, acknowledgedBy(timeline.writes).map((span) => ({
      ...span, label: span.region, style: style(span.region), title: `writes acknowledged through ${span.region}`,
    }))),
    ...(reads ? [readBars(timeline, options, scale)] : []),
    bands('lease', true, timeline.lease.map(({ holder, epoch, ...span }) => ({
      ...span,
      label: holder === null ? 'nobody' : `${holder} · epoch ${epoch}`,
      style: holder === null ? 'none' : style(holder),
      title: `lease: ${holder ?? 'nobody'}, epoch ${epoch}`,
    }))),
    ...timeline.regions.map((region, index) => bands(`gate ${region}`, index === 0, timeline.gates
      .filter((gate) => gate.region === region)
      .map(({ mode, ...span }) => ({ ...span, label: mode, style: gateStyle(mode, style(region)), title: `gate of ${region}: ${mode}` })))),
    ...timeline.regions.map((region, index) => bands(`database ${region}`, index === 0, timeline.databaseRoles
      .filter((database) => database.region === region)
      .map(({ role, ...span }) => ({ ...span, label: role, style: roleStyle(role, style(region)), title: `database of ${region}: ${role}` })))),
    ...lagRows(timeline, options, scale),
    ...[...new Set(timeline.dns.map((answer) => answer.resolver))].map((resolver, index) => bands(`DNS ${resolver}`, index === 0, timeline.dns
      .filter((answer) => answer.resolver === resolver)
      .map(({ addresses, ...span }) => dnsBand(timeline, resolver, addresses, span)))),
  ];
}

const LAG_HEIGHT = 26;

/** Milliseconds on a scale of tens, so that 5 ms and 5 s can both be seen; unknown is a frame with the word, not a height. */
function lagRows(timeline: Timeline, options: ChartOptions, scale: Scale): Row[] {
  const inView = timeline.lag.filter((span) => span.toMs > options.fromMs && span.fromMs < options.toMs);
  const regions = timeline.regions.filter((region) => inView.some((span) => span.region === region));
  return regions.map((region, index): Row => {
    const mine = inView.filter((span) => span.region === region);
    const unknown = spansOf(mine.map((span) => ({ atMs: span.fromMs, value: span.milliseconds === null ? span.verdict : '' })), mine.at(-1)?.toMs ?? 0).filter((span) => span.value !== '');
    const frames = unknown.map(({ value, ...span }) => drawBand({ ...span, label: 'unknown', style: 'none', title: `lag of ${region} unknown: ${value}` }, scale, options));
    const bars = mine.flatMap((span) => (span.milliseconds === null ? [] : [lagBar(span, span.milliseconds, regionClass(timeline, region), scale)]));
    const line = markup`<line class="zero" x1="${LEFT}" x2="${LEFT + PLOT}" y1="${LAG_HEIGHT - 0.5}" y2="${LAG_HEIGHT - 0.5}"/>`;
    return { label: `lag ${region}, 1 ms to 10 s`, group: index === 0, height: LAG_HEIGHT, body: [line, ...bars, ...frames] };
  });
}

function lagBar({ fromMs, toMs, region, bytes, ageMs, verdict }: LagSpan, milliseconds: number, style: string, scale: Scale): Markup {
  const height = Math.min(1, Math.log10(1 + milliseconds) / 4) * (LAG_HEIGHT - 3) + 2;
  const age = ageMs === null ? '' : `, ${duration(ageMs)} old`;
  const title = `${duration(fromMs)}: ${region} has not replayed ${duration(milliseconds)}, ${bytes ?? 'unknown'} bytes${age}; ${verdict}`;
  const [x, width] = [scale(fromMs), Math.max(1, scale(toMs) - scale(fromMs))];
  return markup`<g class="${style}"><rect x="${round(x)}" y="${round(LAG_HEIGHT - height)}" width="${round(width)}" height="${round(height)}"/><title>${title}</title></g>`;
}

function dnsBand(timeline: Timeline, resolver: string, addresses: readonly string[], span: Span): Band {
  const regions = [...new Set(addresses.map((address) => timeline.regionOfAddress[address] ?? address))].sort();
  const label = regions.length === 0 ? 'no answer' : regions.join(' + ');
  const style = regions.length === 0 ? 'none' : regions.length === 1 ? regionClass(timeline, regions[0] as string) : 'several';
  return { ...span, label, style, title: `${resolver} answers ${addresses.length === 0 ? 'nothing' : addresses.join(', ')}` };
}

const gateStyle = (mode: Timeline['gates'][number]['mode'], region: string): string =>
  ({ open: region, forward: `${region} light`, hold: 'waiting', closed: 'closed', down: 'none' })[mode];

const roleStyle = (role: Timeline['databaseRoles'][number]['role'], region: string): string =>
  ({ primary: region, standby: `${region} light`, starting: 'waiting', down: 'none', unknown: 'none' })[role];

/** Consecutive writes through one region; a second without any ends the stretch. */
function acknowledgedBy(writes: readonly WriteRecord[]): readonly (Span & { readonly region: string })[] {
  const stretches: { fromMs: number; toMs: number; region: string }[] = [];
  const acknowledged = writes.filter((write) => write.outcome === 'acknowledged').sort((a, b) => a.endMs - b.endMs);
  for (const { endMs, region } of acknowledged) {
    const last = stretches.at(-1);
    const name = region ?? 'unnamed';
    if (last !== undefined && last.region === name && endMs - last.toMs < 1_000) last.toMs = endMs;
    else stretches.push({ fromMs: endMs, toMs: endMs + 1, region: name });
  }
  return stretches;
}

/** Overview: acknowledged writes stand on the line, the others hang below it. */
function writeBars(timeline: Timeline, options: ChartOptions, scale: Scale): Row {
  const buckets = writesPerBucket(timeline);
  const unit = (count: number): number => (Math.min(count, BAR_WRITES_MAX) * 44) / BAR_WRITES_MAX;
  const width = bucketWidth(options, BUCKET_MS);
  const bars = buckets.flatMap((bucket, index) => {
    const atMs = index * BUCKET_MS;
    const { acknowledged, refused, unknown } = bucket;
    if (atMs < options.fromMs || atMs + BUCKET_MS > options.toMs || acknowledged + refused + unknown === 0) return [];
    const x = round(scale(atMs));
    const bar = (style: string, y: number, height: number): Markup | null =>
      height <= 0 ? null : markup`<rect class="${style}" x="${x}" y="${round(y)}" width="${round(width)}" height="${round(height)}"/>`;
    const number = (count: number, y: number): Markup | null =>
      count <= BAR_WRITES_MAX ? null : markup`<text class="small" x="${x}" y="${y}">${count}</text>`;
    const up = unit(acknowledged);
    const down = unit(refused + unknown);
    const shareOfRefused = refused === 0 ? 0 : (down * refused) / (refused + unknown);
    return markup`<g>${bar('acknowledged', 54 - up, up)}${number(acknowledged, 8)}${bar('refused', 55, shareOfRefused)}${bar('unknown', 55 + shareOfRefused, down - shareOfRefused)}${number(refused + unknown, 110)}<title>${duration(atMs)}: ${acknowledged} acknowledged, ${refused} refused, ${unknown} unknown</title></g>`;
  });
  const deepest = Math.max(0, ...buckets.map((bucket) => bucket.refused + bucket.unknown));
  const line = markup`<line class="zero" x1="${LEFT}" x2="${LEFT + PLOT}" y1="54.5" y2="54.5"/>`;
  return { label: `writes / ${BUCKET_MS} ms`, group: true, height: deepest > BAR_WRITES_MAX ? 114 : 58 + unit(deepest), body: [line, ...bars] };
}

/** Detail: one line per write, from sent to answered, with a shape for the outcome. Writes that wait side by side stack up. */
function writeLanes(timeline: Timeline, options: ChartOptions, scale: Scale): Row {
  const freeFrom: number[] = [];
  const placed = timeline.writes
    .filter((write) => write.endMs >= options.fromMs && write.atMs <= options.toMs)
    .map((write) => {
      const from = scale(write.atMs);
      const free = freeFrom.findIndex((x) => x <= from);
      const lane = free === -1 ? Math.min(freeFrom.length, LANES_MAX - 1) : free;
      freeFrom[lane] = scale(write.endMs) + SHAPE_WIDTH;
      return { write, lane };
    });
  const laneHeight = Math.min(LANE_HEIGHT, LANES_HEIGHT_MAX / Math.max(1, freeFrom.length));
  const drawn = placed.map(({ write, lane }) => drawWrite(write, 7 + lane * laneHeight, scale));
  const height = Math.max(1, freeFrom.length) * laneHeight + 6;
  return { label: 'each write', group: options.phases.length > 0, height, body: drawn };
}

function drawWrite(write: WriteRecord, laneY: number, scale: Scale): Markup {
  const [from, to, y] = [round(scale(write.atMs)), round(scale(write.endMs)), round(laneY)];
  const by = write.region === null ? '' : ` by ${write.region}`;
  const why = write.reason === undefined ? '' : `: ${write.reason}`;
  const title = `sent ${duration(write.atMs)}, ${write.outcome} after ${duration(write.endMs - write.atMs)}${by}${why}`;
  return markup`<g class="write ${write.outcome}"><line x1="${from}" x2="${to}" y1="${y}" y2="${y}"/>${shapeOf(write.outcome, to, y)}<title>${title}</title></g>`;
}

/** Filled circle, cross, or hollow diamond: legible without colour. */
export function shapeOf(outcome: WriteRecord['outcome'], x: number, y: number): Markup {
  if (outcome === 'acknowledged') return markup`<circle cx="${x}" cy="${y}" r="3.6"/>`;
  if (outcome === 'refused') return markup`<path d="M${x - 3.6} ${y - 3.6}l7.2 7.2m0 -7.2l-7.2 7.2"/>`;
  return markup`<path class="hollow" d="M${x} ${y - 4.8}l4.8 4.8l-4.8 4.8l-4.8 -4.8z"/>`;
}

function readBars(timeline: Timeline, options: ChartOptions, scale: Scale): Row {
  const { bucketMs, ok, failed } = timeline.reads;
  const peak = Math.max(1, ...ok, ...failed);
  const width = bucketWidth(options, bucketMs);
  const count = Math.max(ok.length, failed.length);
  const bars = Array.from({ length: count }, (_, index) => index).flatMap((index) => {
    const atMs = index * bucketMs;
    const [good, bad] = [ok[index] ?? 0, failed[index] ?? 0];
    if (atMs < options.fromMs || atMs + bucketMs > options.toMs || good + bad === 0) return [];
    const [up, down] = [(good / peak) * 22, (bad / peak) * 12];
    return markup`<g><rect class="reads" x="${round(scale(atMs))}" y="${round(23 - up)}" width="${round(width)}" height="${round(up)}"/>${bad === 0 ? null : markup`<rect class="refused" x="${round(scale(atMs))}" y="24" width="${round(width)}" height="${round(Math.max(3, down))}"/>`}<title>${duration(atMs)}: ${good} reads answered, ${bad} failed</title></g>`;
  });
  return { label: `reads / ${bucketMs} ms`, group: false, height: 36, body: bars };
}

function phaseBar(phase: Phase, scale: Scale): Markup {
  const [x, end] = [scale(phase.startMs), scale(phase.endMs)];
  const text = duration(phase.endMs - phase.startMs);
  const fits = LEFT + PLOT - end > text.length * CHARACTER_WIDTH + 8;
  const label = fits
    ? markup`<text class="small" x="${round(end + 5)}" y="11.5">${text}</text>`
    : markup`<text class="small end" x="${round(x - 5)}" y="11.5">${text}</text>`;
  return markup`<rect class="phase" x="${round(x)}" y="2" width="${round(Math.max(1.5, end - x))}" height="11" rx="1.5"><title>${phase.name}: ${text}</title></rect>${label}`;
}

function drawBand(band: Band, scale: Scale, view: Span): Markup {
  const x = scale(Math.max(band.fromMs, view.fromMs));
  const width = Math.max(1, scale(Math.min(band.toMs, view.toMs)) - x);
  const fits = width > band.label.length * CHARACTER_WIDTH + 8;
  const text = fits ? markup`<text class="band" x="${round(x + 5)}" y="12.5">${band.label}</text>` : null;
  const title = markup`<title>${band.title}, ${duration(band.fromMs)} to ${duration(band.toMs)}</title>`;
  const box = markup`x="${round(x)}" y="0" width="${round(width)}" height="${BAND_HEIGHT}"`;
  const stripes = /^r[1-3]/.test(band.style) || band.style === 'waiting' || band.style === 'several';
  return markup`<g class="${band.style}"><rect ${box} rx="2"/>${stripes ? markup`<rect class="stripes" ${box} rx="2"/>` : null}${text}${title}</g>`;
}

function drawBracket(bracket: Span & { readonly label: string }, scale: Scale): Markup {
  const [x, end] = [scale(bracket.fromMs), Math.max(scale(bracket.toMs), scale(bracket.fromMs) + 4)];
  const anchor = x > LEFT + PLOT * 0.85 ? 'end' : x < LEFT + PLOT * 0.08 ? 'start' : 'middle';
  const at = anchor === 'end' ? end : anchor === 'start' ? x : (x + end) / 2;
  return markup`<g class="bracket"><path d="M${round(x)} 27v-6H${round(end)}v6"/><text x="${round(at)}" y="15" text-anchor="${anchor}">${bracket.label}</text></g>`;
}

/** A mark whose label would run into that of an earlier one is set one line lower. */
function drawMark(mark: Mark, marks: readonly Mark[], scale: Scale, top: number, bottom: number): Markup {
  const x = round(scale(mark.atMs));
  const width = mark.label.length * CHARACTER_WIDTH + 14;
  const earlier = marks.slice(0, marks.indexOf(mark)).filter((other) => x - scale(other.atMs) < other.label.length * CHARACTER_WIDTH + 14);
  const y = top - (earlier.length % 2 === 0 ? 30 : 14);
  const left = x + width > WIDTH - 4;
  return markup`<g class="mark ${mark.tone}"><line x1="${x}" x2="${x}" y1="${y - 8}" y2="${bottom}"/><text x="${left ? x - 5 : x + 5}" y="${y}" ${left ? markup`text-anchor="end"` : null}>${mark.label}</text></g>`;
}

function shade(gap: Span, scale: Scale, top: number, bottom: number): Markup {
  const x = scale(gap.fromMs);
  return markup`<rect class="gap" x="${round(x)}" y="${top}" width="${round(scale(gap.toMs) - x)}" height="${bottom - top}"><title>no acknowledged write for ${duration(gap.toMs - gap.fromMs)}</title></rect>`;
}

function axis(view: Span, scale: Scale, top: number, bottom: number): Markup[] {
  const spanMs = view.toMs - view.fromMs;
  const stepMs = TICKS_MS.find((step) => spanMs / step <= TICKS_MAX) ?? Math.ceil(spanMs / TICKS_MAX / 60_000) * 60_000;
  const ticks: Markup[] = [];
  for (let at = Math.ceil(view.fromMs / stepMs) * stepMs; at <= view.toMs; at += stepMs) {
    const x = round(scale(at));
    const text = stepMs < 1_000 ? (at / 1_000).toFixed(stepMs < 100 ? 2 : 1) : String(at / 1_000);
    ticks.push(markup`<line class="tick" x1="${x}" x2="${x}" y1="${top}" y2="${bottom}"/><text class="axis" x="${x}" y="${bottom + 15}">${text} s</text>`);
  }
  return ticks;
}

function scaleOf(view: Span): Scale {
  const spanMs = Math.max(1, view.toMs - view.fromMs);
  return (ms) => LEFT + (Math.min(Math.max(ms, view.fromMs), view.toMs) - view.fromMs) * (PLOT / spanMs);
}

const bucketWidth = (view: Span, bucketMs: number): number => Math.max(1, (bucketMs * PLOT) / (view.toMs - view.fromMs) - 0.3);

/** `r0`, `r1` ...: colour and stripes of a region, by its place in the list. */
export function regionClass(timeline: Timeline, region: string): string {
  const index = timeline.regions.indexOf(region);
  return index === -1 ? 'other' : `r${index % STYLED_REGIONS}`;
}

const shortened = (label: string): string => (label.length > LABEL_LENGTH_MAX ? `${label.slice(0, LABEL_LENGTH_MAX - 1)}…` : label);
const round = (value: number): number => Math.round(value * 10) / 10;
