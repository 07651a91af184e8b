// A study as one page for people: the verdict, the figures, the picture of the distribution, and under them what supports it. No
// network, no script; whatever a name contains is text on it and nothing else.

import { worstCase } from '@continuum/core';
import { assumptions, meaningOf, percent, seconds, verdictOf } from './study-text.ts';
import type { StudySubject } from './study.ts';
import type { FamilyReport, Spread, StudyReport } from './study-report.ts';
import { escapeHtml } from './timeline.ts';

const WIDTH = 1_000;
const HEIGHT = 220;
const BASE = HEIGHT - 28;

export function renderStudyPage(subject: StudySubject, report: StudyReport): string {
  const title = `${report.name}: ${verdictOf(report)}`;
  const { timings } = subject.policy;
  return [
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">',
    `<title>${escapeHtml(title)}</title><style>${STYLE}</style></head><body><main>`,
    `<div class="verdict ${report.ok ? 'good' : 'bad'}"><h1>${report.ok ? '✓' : '✗'} ${escapeHtml(capital(verdictOf(report)))}.</h1>`,
    `<p><b>${escapeHtml(report.name)}</b>, ${subject.policy.mode}: ttl ${seconds(timings.ttlMs)}, renewal every ${seconds(timings.renewMs)}, promotion budget ${seconds(timings.promoteBudgetMs)}, DNS TTL ${timings.dnsTtlSeconds} s. Worst case by calculation ${seconds(worstCase(timings).sumMs)}.</p></div>`,
    figures(report),
    `<section><h2>A region dies</h2><p>Longest time without an acknowledged write, as a client outside sees it, for each of ${report.rto.count} losses of the region that held the lease which the other region took over.</p>${chart(report)}${spreadTable(report)}</section>`,
    refusals(report),
    `<section><h2>What each family of faults did</h2><p>Left: it was the only fault, and what came of it is its doing. Right: rounds with many faults at once that it was in.</p>${familyTable(report.families)}</section>`,
    violations(report),
    `<section><h2>What this rests on</h2><ul>${assumptions(subject.policy).map((line) => `<li>${escapeHtml(line)}</li>`).join('')}</ul><p>${report.seeds} seeds from ${report.firstSeed}, ${report.simulatedHours} simulated hours, log ${report.logHash}. The same seeds with the same specification and version are the same run.</p></section>`,
    '</main></body></html>\n',
  ].join('\n');
}

function figures(report: StudyReport): string {
  const { lost, rto, notTakenOver, objectiveMs, switchoverGap, overlap, violations: broken } = report;
  const tile = (label: string, value: string, note: string): string => `<div class="figure"><span>${label}</span><b>${value}</b><span class="soft">${note}</span></div>`;
  return `<div class="figures">${[
    tile('A region dies, median', rto.count === 0 ? 'none seen' : seconds(rto.median), `p99 ${seconds(rto.p99)}, longest ${seconds(rto.max)}`),
    tile('Taken over within the objective', rto.count === 0 ? 'unknown' : percent(rto.withinShare), `of ${seconds(objectiveMs)}`),
    tile('Lost and not taken over', String(notTakenOver.count), `of ${lost.count} lost regions; ${notTakenOver.late} of these waited longer than the objective`),
    tile('Planned switchover, median', switchoverGap.count === 0 ? 'none seen' : seconds(switchoverGap.median), `longest ${seconds(switchoverGap.max)} of ${switchoverGap.count}`),
    tile('Invariants broken', String(broken.length), `after ${report.failovers} failovers and ${report.switchovers} switchovers`),
    tile('Both believed', seconds(overlap.longestMs), `at most, ${overlap.times} times; nothing got through twice`),
  ].join('')}</div>`;
}

/** Bars from 0 to the objective and beyond; the objective is a line. */
function chart({ rto, objectiveMs }: StudyReport): string {
  const { histogram } = rto;
  const most = Math.max(1, ...histogram.map(({ count }) => count));
  const width = WIDTH / histogram.length;
  const bars = histogram.map(({ fromMs, toMs, count }, index) => {
    const height = ((BASE - 24) * count) / most;
    const late = fromMs >= objectiveMs ? ' class="late"' : '';
    return `<rect${late} x="${(index * width + 1).toFixed(1)}" y="${(BASE - height).toFixed(1)}" width="${(width - 2).toFixed(1)}" height="${height.toFixed(1)}"><title>${seconds(fromMs)} to ${seconds(toMs)}: ${count}</title></rect>`;
  });
  const objectiveX = Math.min(WIDTH - 1, (objectiveMs / ((histogram.at(-1)?.toMs ?? objectiveMs) || 1)) * WIDTH);
  const labels = histogram.flatMap(({ fromMs }, index) => (index % 4 === 0 ? [`<text x="${(index * width).toFixed(1)}" y="${HEIGHT - 10}">${seconds(fromMs)}</text>`] : []));
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="How long clients waited when a region died">${bars.join('')}<line class="axis" x1="0" y1="${BASE}" x2="${WIDTH}" y2="${BASE}"/>${labels.join('')}<line class="objective" x1="${objectiveX.toFixed(1)}" y1="4" x2="${objectiveX.toFixed(1)}" y2="${BASE}"/><text class="end" x="${(objectiveX - 6).toFixed(1)}" y="16">objective ${seconds(objectiveMs)}</text></svg>`;
}

function spreadTable({ rto, notTakenOver, rtoOfAnyFault, switchoverGap }: StudyReport): string {
  const row = (label: string, { count, min, median, p90, p99, max }: Spread): string =>
    `<tr><td>${label}</td><td>${count}</td>${[min, median, p90, p99, max].map((value) => `<td>${count === 0 ? '-' : seconds(value)}</td>`).join('')}</tr>`;
  return `<table><thead><tr><th></th><th>times</th><th>min</th><th>median</th><th>p90</th><th>p99</th><th>max</th></tr></thead><tbody>${row('a region dies and is taken over', rto)}${row('a region dies and is back first', notTakenOver)}${row('any single fault with a takeover', rtoOfAnyFault)}${row('planned switchover', switchoverGap)}</tbody></table>`;
}

function refusals({ refusals: list, approvals }: StudyReport): string {
  const rows = list.map(({ condition, times }) => `<tr><td>${times}</td><td>${escapeHtml(condition)}</td><td class="text">${escapeHtml(meaningOf(condition))}</td></tr>`);
  const approved = approvals === 0 ? '' : `<p>A person approved ${approvals} takeovers.</p>`;
  const table = rows.length === 0 ? '<p>Never.</p>' : `<table><thead><tr><th>times</th><th>condition</th><th class="text">what it says</th></tr></thead><tbody>${rows.join('')}</tbody></table>`;
  return `<section><h2>The lease was free, and a region did not take it</h2>${table}${approved}</section>`;
}

function familyTable(families: readonly FamilyReport[]): string {
  const longest = Math.max(1, ...families.map(({ alone }) => alone.longestGapMs.max));
  const rows = families.map(({ name, alone, together, violations: broken }) => {
    const { median, max } = alone.longestGapMs;
    const bar = `<span class="bar" style="width:${Math.round((100 * max) / longest)}%"></span>`;
    const left = alone.rounds === 0 ? '<td>0</td><td>-</td><td>-</td><td>-</td><td></td>' : `<td>${alone.rounds}</td><td>${alone.failovers}</td><td>${seconds(median)}</td><td>${seconds(max)}</td><td class="bars">${bar}</td>`;
    return `<tr><td>${escapeHtml(name)}</td>${left}<td>${together.rounds}</td><td>${together.failovers}</td><td>${seconds(together.stalledMs)}</td><td>${broken}</td></tr>`;
  });
  return `<div class="scroll"><table><thead><tr><th>family</th><th>alone</th><th>failovers</th><th>median stall</th><th>longest</th><th></th><th>with others</th><th>failovers</th><th>stalled</th><th>broken</th></tr></thead><tbody>${rows.join('')}</tbody></table></div>`;
}

function violations({ violations: list, name, hoursPerSeed }: StudyReport): string {
  if (list.length === 0) return '';
  const rows = list.map(({ seed, invariant, atMs, detail }) => `<li><b>${escapeHtml(invariant)}</b> in seed ${seed} after ${seconds(atMs)}: ${escapeHtml(detail)}. Replay: <code>continuum simulate --config FILE --seed ${seed} --hours ${hoursPerSeed}</code></li>`);
  return `<section><h2>Broken in ${escapeHtml(name)}</h2><ul>${rows.join('')}</ul></section>`;
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

const STYLE = `
:root{color-scheme:light dark;--page:#fbfbf9;--card:#fff;--text:#1b1f24;--soft:#5b6470;--line:#d9dce1;--good:#0a7d55;--bad:#c0392b;--bar:#0072b2}
@media(prefers-color-scheme:dark){:root{--page:#14171b;--card:#1c2026;--text:#e9ecf0;--soft:#9aa5b1;--line:#343b44;--good:#35c08c;--bad:#ff7b6b;--bar:#3a8fd0}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--text);font:15px/1.5 system-ui,sans-serif}main{max-width:1100px;margin:0 auto;padding:28px 24px 64px}
h1{font-size:28px;line-height:1.2;margin:0 0 6px}h2{font-size:19px;margin:0 0 4px}p{margin:0 0 10px;color:var(--soft)}code{font:13px ui-monospace,monospace}
.verdict{border-left:10px solid var(--good);padding:4px 0 4px 20px;margin-bottom:24px}.verdict.bad{border-color:var(--bad)}.good h1{color:var(--good)}.bad h1{color:var(--bad)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(180px,1fr));gap:12px;margin-bottom:24px}.figure,section{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px}
.figure b{display:block;font-size:26px;line-height:1.2}.figure span{font-size:13.5px}.soft{color:var(--soft)}section{padding:18px 20px;margin-bottom:20px}.scroll{overflow-x:auto}
svg{display:block;width:100%;height:auto;margin:6px 0 12px}svg rect{fill:var(--bar)}svg rect.late{fill:var(--bad)}svg text{font:12px system-ui,sans-serif;fill:var(--soft)}svg text.end{text-anchor:end;font-weight:650;fill:var(--text)}
.axis{stroke:var(--line)}.objective{stroke:var(--text);stroke-width:1.5;stroke-dasharray:5 4}
table{border-collapse:collapse;width:100%;font-size:14px}th,td{padding:5px 12px 5px 0;border-bottom:1px solid var(--line);text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
th{color:var(--soft);font-size:12.5px}th:first-child,td:first-child,td.text,th.text{text-align:left}td.text{white-space:normal}td.bars{width:140px}.bar{display:block;height:9px;background:var(--bar);border-radius:2px;min-width:1px}
@media print{:root{color-scheme:light}section,.figure{break-inside:avoid}*{print-color-adjust:exact}}`;
