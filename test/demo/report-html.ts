// The page that a person opens after a run: the verdict first, then the numbers, then the picture, then everything that
// supports them. One file, no network, no script; whatever a name or a message contains is text on it and nothing else.

import type { Markup } from './markup.ts';
import { markup } from './markup.ts';
import type { Mark } from './report-chart.ts';
import { regionClass, renderChart, shapeOf } from './report-chart.ts';
import { STYLE } from './report-style.ts';
import type { Check, DemoEvent, DemoReport, Scene, Span, Timeline, WriteRecord } from './timeline.ts';
import { duration, eventWindow, longestGap } from './timeline.ts';

const NAMES: Readonly<Record<DemoEvent['kind'], string>> = { failover: 'Failover', rejoin: 'Rejoin', switchover: 'Switchover' };
const LISTED_WRITES_MAX = 200;
/** Longest window in which single writes are still legible. */
const DETAIL_MS_MAX = 20_000;

/** The whole page. `report` is what the run claims, `timeline` what was seen; the page shows both and mixes neither. */
export function renderReport(timeline: Timeline, report: DemoReport): string {
  const page = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${report.ok ? 'Held' : 'BROKEN'}: ${headline(report)}</title>
`.text;
  const body = markup`</head>
<body>
<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><pattern id="stripes" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="1.6" height="6"/></pattern></defs></svg>
<main>
${verdict(timeline, report)}
${figures(timeline, report)}
${overview(timeline, report)}
${report.events.map((event, index) => eventPanel(timeline, event, index))}
${report.scenes.map((scene, index) => scenePanel(timeline, scene, index))}
${checks(report.checks)}
${unknownWrites(timeline.writes)}
${parts(report)}
<footer>Times are counted from the start of the run, ${new Date(timeline.startedAtWallMs).toISOString()}. Bands show what an outside observer saw; a blank means that nobody answered.</footer>
</main>
</body>
</html>
`.text;
  return `${page}<style>${STYLE}</style>\n${body}`;
}

/** The verdict in one sentence. Whatever is broken is named, the worst first. */
export function headline(report: DemoReport): string {
  const { lost, duplicated, acknowledged } = report.writes;
  const failed = report.checks.filter((check) => !check.passed);
  if (lost > 0) return `${plural(lost, 'acknowledged write')} lost`;
  if (duplicated > 0) return `${plural(duplicated, 'write')} present twice`;
  if (failed.length > 0) return `${plural(failed.length, 'promise')} broken`;
  if (acknowledged === 0) return 'nothing was proved: no write was acknowledged';
  return report.ok ? 'nothing was lost' : 'the run did not succeed';
}

function verdict(timeline: Timeline, report: DemoReport): Markup {
  const failed = report.checks.filter((check) => !check.passed);
  const { acknowledged, refused, unknown, lost } = report.writes;
  const killed = timeline.kills.map((kill) => `${kill.region === 'witness' ? 'The witness' : `Region ${kill.region}`} was killed at ${duration(kill.atMs)}.`).join(' ');
  const back = report.events.filter((event) => event.kind === 'failover').map((event) =>
    event.rtoMs === null ? 'No write was seen after it.' : `Writes went on ${duration(event.rtoMs)} later.`).join(' ');
  const text = capital(headline(report));
  return markup`<div class="verdict ${report.ok ? 'good' : 'bad'}"><h1>${report.ok ? '✓' : '✗'} ${text}.</h1>
<p>${killed} ${back} ${plural(acknowledged, 'write')} acknowledged, ${lost === 0 && acknowledged > 0 ? 'every one is in the surviving database' : `${lost} of them missing from the surviving database`}; ${refused} refused, ${unknown} unknown. ${plural(report.checks.length, 'promise')} checked${failed.length === 0 ? ', all held.' : `, ${failed.length} broken:`}</p>
${failed.length === 0 ? null : markup`<ul>${failed.map((check) => markup`<li><b>${check.name}</b>: ${check.evidence}</li>`)}</ul>`}</div>`;
}

function figures(timeline: Timeline, report: DemoReport): Markup {
  const of = (kind: DemoEvent['kind']): DemoEvent[] => report.events.filter((event) => event.kind === kind);
  const failovers = of('failover');
  const switchovers = of('switchover');
  const rto = worst(failovers.map((event) => event.rtoMs ?? Number.NaN));
  const gap = worst(switchovers.map((event) => event.writeGapMs));
  const failedRequests = switchovers.reduce((sum, event) => sum + event.failedRequests, 0);
  const { lost, duplicated, unknown, acknowledged } = report.writes;
  const found = timeline.writes.filter((write) => write.outcome === 'unknown' && write.stored === true).length;
  const among = (events: readonly DemoEvent[]): string => (events.length > 1 ? `, slowest of ${events.length}` : '');
  return markup`<div class="figures">
${failovers.length === 0 ? null : figure('RTO at the writer', rto === null ? 'unknown' : duration(rto), `objective ${duration(report.objective.rtoMs)}${among(failovers)}`, rto !== null && rto <= report.objective.rtoMs)}
${switchovers.length === 0 ? null : figure('Switchover gap', gap === null ? 'unknown' : duration(gap), `longest time between two writes${among(switchovers)}`, null)}
${switchovers.length === 0 ? null : figure('Switchover failures', String(failedRequests), 'requests that failed meanwhile', failedRequests === 0)}
${figure('Lost', String(lost), `of ${acknowledged} acknowledged writes`, lost === 0 && acknowledged > 0)}
${figure('Present twice', String(duplicated), 'writes', duplicated === 0)}
${figure('Unknown', String(unknown), unknown === 0 ? 'no answer was missing' : `no answer came; ${found} are in the database`, null)}
</div>`;
}

function figure(label: string, value: string, note: string, good: boolean | null): Markup {
  const sign = good === null ? null : good ? markup` <span class="mark-good">✓</span>` : markup` <span class="mark-bad">✗</span>`;
  return markup`<div class="figure"><span>${label}</span><b>${value}${sign}</b><span class="soft">${note}</span></div>`;
}

function overview(timeline: Timeline, report: DemoReport): Markup {
  const brackets = report.events.flatMap((event) => {
    const window = eventWindow(event, timeline);
    return window === null ? [] : [{ ...window, label: `${NAMES[event.kind]} ${duration(window.toMs - window.fromMs)}` }];
  });
  const chart = renderChart(timeline, {
    fromMs: 0,
    toMs: timeline.durationMs,
    title: `The whole run: ${timeline.writes.length} writes over ${duration(timeline.durationMs)}`,
    marks: killsAndRecoveries(timeline, report.events),
    brackets,
    detail: false,
    phases: [],
    gap: null,
  });
  return markup`<section><h2>The whole run</h2><p class="note">Writes by the moment their outcome was known: acknowledged ones stand on the line, refused and unknown ones hang below it. Point at anything for its numbers.</p><div class="scroll">${chart}</div>${legend(timeline)}</section>`;
}

function killsAndRecoveries(timeline: Timeline, events: readonly DemoEvent[]): Mark[] {
  const killed = timeline.kills.map((kill): Mark => ({ atMs: kill.atMs, label: `✕ ${kill.region} killed`, tone: 'bad' }));
  const back = events.flatMap((event): Mark[] => {
    const window = event.kind === 'failover' ? eventWindow(event, timeline) : null;
    if (window === null || event.rtoMs === null) return [];
    return [{ atMs: window.fromMs + event.rtoMs, label: `writes again after ${duration(event.rtoMs)}`, tone: 'good' }];
  });
  return [...killed, ...back].sort((left, right) => left.atMs - right.atMs);
}

function eventPanel(timeline: Timeline, event: DemoEvent, index: number): Markup {
  const { epochBefore, epochAfter } = event;
  const heading = `${NAMES[event.kind]}: epoch ${epochBefore === epochAfter ? epochAfter : `${epochBefore} → ${epochAfter}`}`;
  const window = eventWindow(event, timeline);
  const facts = [
    event.rtoMs === null ? null : `writes again after ${duration(event.rtoMs)}`,
    event.kind === 'rejoin' ? null : `longest time without an acknowledged write ${duration(event.writeGapMs)}`,
    `${plural(event.failedRequests, 'request')} failed`,
  ].filter((fact) => fact !== null);
  if (window === null) {
    return markup`<section><h2 id="event-${index}">${heading}</h2><p>${capital(facts.join('; '))}. No phase of it was recorded.</p></section>`;
  }
  const lengthMs = window.toMs - window.fromMs;
  const view: Span = {
    fromMs: Math.max(0, window.fromMs - Math.max(400, lengthMs * 0.08)),
    toMs: Math.min(timeline.durationMs, window.toMs + Math.max(600, lengthMs * 0.12)),
  };
  const chart = renderChart(timeline, {
    ...view,
    title: `${heading}; ${event.phases.map((phase) => `${phase.name} ${duration(phase.endMs - phase.startMs)}`).join(', ')}`,
    marks: killsAndRecoveries(timeline, [event]).filter((mark) => mark.atMs >= view.fromMs && mark.atMs <= view.toMs),
    brackets: [],
    detail: view.toMs - view.fromMs <= DETAIL_MS_MAX,
    phases: event.phases,
    gap: event.kind === 'rejoin' ? null : longestGap(timeline.writes, window.fromMs, window.toMs),
  });
  return markup`<section><h2 id="event-${index}">${heading}</h2><p class="note">${capital(facts.join('; '))}.</p><div class="scroll">${chart}</div></section>`;
}

/** Its own promises stand with it, because its picture alone shows that nothing happened, which is the point. */
function scenePanel(timeline: Timeline, scene: Scene, index: number): Markup {
  const view: Span = { fromMs: Math.max(0, scene.fromMs - 1_000), toMs: Math.min(timeline.durationMs, scene.toMs + 1_000) };
  const heading = capital(scene.name);
  const chart = renderChart(timeline, {
    ...view,
    title: `${heading}: ${scene.outcome}`,
    marks: killsAndRecoveries(timeline, []).filter((mark) => mark.atMs >= view.fromMs && mark.atMs <= view.toMs),
    brackets: [],
    detail: view.toMs - view.fromMs <= DETAIL_MS_MAX,
    phases: [],
    gap: null,
  });
  const promises = scene.checks.map((one) => markup`<li>${one.passed ? markup`<span class="mark-good">✓</span>` : markup`<span class="mark-bad">✗</span>`} <b>${one.name}</b>: ${one.evidence}</li>`);
  return markup`<section><h2 id="scene-${index}">${heading}</h2><p class="note">${capital(scene.outcome)}.</p><div class="scroll">${chart}</div><ul>${promises}</ul></section>`;
}

function legend(timeline: Timeline): Markup {
  const swatch = (style: string, striped: boolean): Markup =>
    markup`<svg viewBox="0 0 26 14"><g class="${style}"><rect x="1" y="1" width="24" height="12" rx="2"/>${striped ? markup`<rect class="stripes" x="1" y="1" width="24" height="12" rx="2"/>` : null}</g></svg>`;
  const shape = (outcome: WriteRecord['outcome']): Markup =>
    markup`<svg viewBox="0 0 26 14"><g class="write ${outcome}"><line x1="2" x2="17" y1="7" y2="7"/>${shapeOf(outcome, 17, 7)}</g></svg>`;
  return markup`<ul class="legend">
<li>${shape('acknowledged')}acknowledged</li><li>${shape('refused')}refused: certainly not done</li><li>${shape('unknown')}unknown: no answer came</li>
${timeline.regions.map((region, index) => markup`<li>${swatch(regionClass(timeline, region), index % 4 > 0)}${region} active</li><li>${swatch(`${regionClass(timeline, region)} light`, index % 4 > 0)}${region} standby, or forwarding</li>`)}
<li>${swatch('waiting', true)}holding, starting</li><li>${swatch('closed', false)}closed</li><li>${swatch('none', false)}nobody, no answer</li></ul>`;
}

function checks(all: readonly Check[]): Markup {
  const sorted = [...all.filter((check) => !check.passed), ...all.filter((check) => check.passed)];
  return markup`<section><h2>Promises</h2><table><thead><tr><th></th><th>Promise</th><th>Evidence</th></tr></thead><tbody>
${sorted.map((check) => markup`<tr><td class="state">${check.passed ? markup`<span class="mark-good">✓ held</span>` : markup`<span class="mark-bad">✗ BROKEN</span>`}</td><td>${check.name}</td><td>${check.evidence}</td></tr>`)}
</tbody></table></section>`;
}

function unknownWrites(writes: readonly WriteRecord[]): Markup {
  const unknown = writes.filter((write) => write.outcome === 'unknown');
  if (unknown.length === 0) return markup`<section><h2>Unknown writes</h2><p>None: every write got an answer.</p></section>`;
  const listed = unknown.slice(0, LISTED_WRITES_MAX);
  const rest = unknown.length - listed.length;
  const where = (stored: boolean | null): string => (stored === null ? 'not looked for' : stored ? 'present' : 'absent');
  return markup`<section><h2>Unknown writes</h2><p class="note">The writer never learned what became of these. Present or absent, both are right: nobody was promised anything. Only twice would be wrong.</p>
<table><thead><tr><th>Id</th><th class="number">Sent at</th><th class="number">Given up after</th><th>Why</th><th>In the database</th></tr></thead><tbody>
${listed.map((write) => markup`<tr><td><code>${write.id}</code></td><td class="number">${duration(write.atMs)}</td><td class="number">${duration(write.endMs - write.atMs)}</td><td>${write.reason ?? ''}</td><td>${where(write.stored)}</td></tr>`)}
</tbody></table>${rest === 0 ? null : markup`<p class="note">and ${rest} more.</p>`}</section>`;
}

function parts(report: DemoReport): Markup {
  return markup`<section><h2>Real parts</h2><table><thead><tr><th>Part</th><th>Version</th></tr></thead><tbody>
${report.parts.map((part) => markup`<tr><td>${part.name}</td><td>${part.version}</td></tr>`)}
</tbody></table></section>`;
}

function worst(values: readonly number[]): number | null {
  if (values.length === 0 || values.some(Number.isNaN)) return null;
  return Math.max(...values);
}

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
