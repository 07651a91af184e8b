// One seed for human eyes: who knew what when, as text, and as one HTML page that needs nothing but itself.

import type { TraceLine } from './simulation.ts';

export function renderText(trace: readonly TraceLine[], lastLines = trace.length): string {
  const lines = trace.slice(-lastLines).map(({ atMs, who, what }) => `${clock(atMs)}  ${who.padEnd(14)}  ${what}`);
  return `${lines.join('\n')}\n`;
}

/** One column per party, one row per moment. */
export function renderHtml(title: string, trace: readonly TraceLine[]): string {
  const parties = [...new Set(trace.map(({ who }) => who))].sort();
  const head = parties.map((party) => `<th>${escapeHtml(party)}</th>`).join('');
  const rows = trace.map(({ atMs, who, what }) => {
    const cells = parties.map((party) => (party === who ? `<td class="${tone(what)}">${escapeHtml(what)}</td>` : '<td></td>'));
    return `<tr><th>${clock(atMs)}</th>${cells.join('')}</tr>`;
  });
  return [
    '<!doctype html><html lang="en"><meta charset="utf-8">',
    `<title>${escapeHtml(title)}</title>`,
    `<style>${STYLE}</style><h1>${escapeHtml(title)}</h1>`,
    `<table><thead><tr><th>time</th>${head}</tr></thead><tbody>${rows.join('\n')}</tbody></table></html>\n`,
  ].join('\n');
}

const STYLE = [
  'body{font:13px/1.4 system-ui,sans-serif;margin:1.5rem;color:#1b1b1b;background:#fff}',
  'h1{font-size:1.1rem}table{border-collapse:collapse}',
  'th,td{padding:.15rem .5rem;border-bottom:1px solid #eee;text-align:left;vertical-align:top;overflow-wrap:anywhere;max-width:28rem}',
  'thead th{position:sticky;top:0;background:#fff;border-bottom:2px solid #999}',
  'tbody th{font-weight:normal;font-variant-numeric:tabular-nums;white-space:nowrap;color:#555}',
  '.bad{background:#fde2e1}.turn{background:#e3effd}.fault{background:#fdf3d8}',
].join('');

function tone(what: string): string {
  if (what.startsWith('VIOLATION')) return 'bad';
  if (/^(phase|epoch|granted|transferred|released)/.test(what)) return 'turn';
  return /killed|stopped|cut|cannot|lost|down|suspended|dies|power/.test(what) ? 'fault' : '';
}

function clock(atMs: number): string {
  const seconds = Math.floor(atMs / 1_000);
  const part = (value: number, digits = 2): string => String(value).padStart(digits, '0');
  const ms = part(Math.floor(atMs % 1_000), 3);
  return `${part(Math.floor(seconds / 3_600))}:${part(Math.floor(seconds / 60) % 60)}:${part(seconds % 60)}.${ms}`;
}

export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
