// On a terminal a picture that stays in its place, elsewhere one line per change.

import { spawnSync } from 'node:child_process';
import { test } from 'tap';
import type { LiveState } from './live-view.ts';
import { createLiveView } from './live-view.ts';
import { waitFor } from '../rig/process.ts';

const state: LiveState = {
  elapsedMs: 14_500,
  step: { name: 'r1 is dead', startedMs: 9_400 },
  lease: { holder: 'r2', epoch: 2 },
  ttlMs: 4_000,
  regions: [
    { region: 'r1', phase: null, actingEpoch: 0, validityMs: 0, database: null, gate: null },
    { region: 'r2', phase: 'active', actingEpoch: 2, validityMs: 3_000, database: 'primary', gate: 'open' },
  ],
  lag: [{ region: 'r1', verdict: 'standby-silent', milliseconds: null, bytes: null, ageMs: 5_100 }, { region: 'r2', verdict: 'promotable', milliseconds: 12, bytes: 2_048, ageMs: 200 }],
  resolvers: [{ resolver: '8.8.8.8', answer: 'r1+r2' }, { resolver: '9.9.9.9', answer: '' }],
  writes: [{ acknowledged: 10, refused: 0, unknown: 0 }, { acknowledged: 4, refused: 5, unknown: 1 }, { acknowledged: 1, refused: 0, unknown: 0 }],
  events: [{ atMs: 9_400, text: 'r1 killed' }],
};

function screen(size: { columns?: number; rows?: number; isTTY?: boolean } = {}) {
  const written: string[] = [];
  const stream = { isTTY: true, columns: 100, rows: 40, ...size, write: (text: string) => written.push(text) };
  return { stream, written, text: () => written.join('') };
}

const ESCAPE = '\u001b';
const CODE = new RegExp(`${ESCAPE}\\[[0-9;?]*[A-Za-z]`, 'g');
const COLOUR = new RegExp(`${ESCAPE}\\[[0-9;]+m`);
const withoutCodes = (text: string): string => text.replaceAll(CODE, '').replaceAll('\r', '');

test('the picture shows lease, validity, roles, lag, gates, DNS, writes and events', async (t) => {
  const { stream, text } = screen();
  const view = createLiveView(stream, {});
  view.update(state);
  view.close();
  const picture = withoutCodes(text());
  for (const part of ['14.5 s', 'r1 is dead', '5.1 s', 'r2 · epoch 2', '● epoch 2', '████████████····', '3.0 s', 'primary', 'r1 unknown standby-silent', 'r2 12 ms, 2.0 kB, 0.2 s old promotable', 'open',
    'no answer', '8.8.8.8 r1+r2', 'acknowledged', '15', '4/s', 'r1 killed']) t.ok(picture.includes(part), part);
});

test('a redraw goes back over the picture before it, and the cursor comes back at the end', async (t) => {
  const { stream, written, text } = screen();
  const view = createLiveView(stream, {});
  view.update(state);
  const lines = (written.at(-1) as string).split('\n').length - 1;
  view.close();
  view.close();
  view.update(state);
  t.equal(written[0], `${ESCAPE}[?25l`);
  t.ok((written.at(-2) as string).startsWith(`\u001b[${lines}A`));
  t.ok(text().endsWith('\u001b[?25h'));
  t.equal(written.length, 4, 'hide, draw, last draw, show: nothing after it is closed');
});

test('many updates are few drawings, and the last state is drawn', async (t) => {
  const { stream, written } = screen();
  const view = createLiveView(stream, {});
  for (let index = 0; index < 1_000; index++) view.update({ ...state, step: { name: `step ${index}`, startedMs: 0 } });
  t.equal(written.length, 2, 'the cursor is hidden and one picture is drawn');
  await waitFor('the last state', () => written.some((text) => text.includes('step 999')));
  t.ok(written.length <= 3);
  view.close();
});

test('no line is wider and no picture higher than the terminal', async (t) => {
  for (const [columns, rows] of [[100, 40], [60, 24], [30, 10], [5, 3]] as const) {
    const { stream, written } = screen({ columns, rows });
    const view = createLiveView(stream, {});
    view.update({ ...state, writes: Array.from({ length: 500 }, () => ({ acknowledged: 9, refused: 1, unknown: 1 })) });
    const lines = withoutCodes(written.at(-1) as string).split('\n').slice(0, -1);
    t.ok(lines.every((line) => [...line].length < columns), `${columns} columns`);
    t.ok(lines.length < rows, `${rows} rows`);
    view.close();
  }
});

test('NO_COLOR leaves the picture without colour, empty it means nothing', async (t) => {
  const drawn = (environment: Record<string, string>): string => {
    const { stream, text } = screen();
    const view = createLiveView(stream, environment);
    view.update(state);
    view.close();
    return text();
  };
  t.notMatch(drawn({ NO_COLOR: '1' }), COLOUR);
  t.match(drawn({ NO_COLOR: '' }), COLOUR);
});

test('text from other processes cannot steer the terminal', async (t) => {
  for (const isTTY of [true, false]) {
    const { stream, text } = screen({ isTTY });
    const view = createLiveView(stream, { NO_COLOR: '1' });
    view.update({ ...state, events: [{ atMs: 1, text: 'x\u001b]0;evil\u0007\u009b31m\ny' }] });
    view.close();
    t.match(text(), /x\?\]0;evil\?\?31m\?y/);
    t.ok(['\u0007', '\u009b', `${ESCAPE}]`].every((code) => !text().includes(code)));
  }
});

test('without a terminal there is a line for each change, and none for what always moves', async (t) => {
  const { stream, text } = screen({ isTTY: false });
  const view = createLiveView(stream, {});
  view.update(state);
  const first = text();
  t.notOk(first.includes(ESCAPE));
  t.match(first, /14\.5 s {2}== r1 is dead/);
  t.match(first, /lease: r2, epoch 2/);
  t.match(first, /9\.4 s {2}r1 killed/);
  view.update({ ...state, elapsedMs: 14_600, regions: state.regions.map((region) => ({ ...region, validityMs: 2_900 })), lag: state.lag.map((one) => (one.bytes === null ? one : { ...one, bytes: 7, milliseconds: 1 })) });
  t.equal(text(), first);
  view.update({ ...state, elapsedMs: 14_700, lease: { holder: null, epoch: 2 } });
  t.equal(text().slice(first.length), '  14.7 s  lease: r2, epoch 2 -> nobody, epoch 2\n');
  view.close();
});

test('a dumb terminal gets plain lines', async (t) => {
  const { stream, text } = screen();
  createLiveView(stream, { TERM: 'dumb' }).update(state);
  t.notOk(text().includes(ESCAPE));
});

test('a process that ends without closing gives the cursor back', async (t) => {
  const script = `import { createLiveView } from './live-view.ts';
    createLiveView({ isTTY: true, write: (text) => process.stdout.write(text) }, {});
    process.exit(3);`;
  const ended = spawnSync(process.execPath, ['--input-type=module', '-e', script], { cwd: import.meta.dirname, encoding: 'utf8' });
  t.equal(ended.status, 3, ended.stderr);
  t.equal(ended.stdout, '\u001b[?25l\u001b[?25h');
});
