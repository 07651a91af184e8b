// The real clock, real chance and real waiting cannot be had inside a run of whatever kind, and can be had after it.

import { test } from 'tap';
import { explore } from './explore.ts';
import { FORBIDDEN, forbidGlobals, withoutGlobals } from './forbid-globals.ts';
import { runSeed } from './run.ts';
import { runScenario } from './scenario.ts';
import { World } from './world.ts';

const ASKED: Readonly<Record<string, () => unknown>> = {
  setTimeout: () => setTimeout(() => undefined, 0),
  setInterval: () => setInterval(() => undefined, 1),
  setImmediate: () => setImmediate(() => undefined),
  queueMicrotask: () => queueMicrotask(() => undefined),
  fetch: () => fetch('http://127.0.0.1:9/'),
  crypto: () => crypto.randomUUID(),
  performance: () => performance.now(),
  'Math.random': () => Math.random(),
  'Date.now': () => Date.now(),
  'new Date()': () => new Date(),
  'Date()': () => Date(),
};

test('each of them throws by its name', (t) => {
  for (const name of FORBIDDEN) t.ok(name in ASKED, `${name} is asked for here`);
  const allow = forbidGlobals();
  const threw = Object.entries(ASKED).map(([name, ask]) => {
    try {
      ask();
      return `${name} was had`;
    } catch (error) {
      return (error as Error).message;
    }
  });
  allow();
  t.same(threw, Object.keys(ASKED).map((name) => `${name} was used inside a simulated run; time and chance come in as data`));
  t.end();
});

test('a date of a given time stays', (t) => {
  const date = withoutGlobals(() => new Date(0));
  t.ok(date instanceof Date);
  t.equal(date.toISOString(), '1970-01-01T00:00:00.000Z');
  t.end();
});

test('afterwards all is as before, also when the run throws', (t) => {
  const before = [Date, setTimeout, performance, crypto, Math.random, Date.now];
  t.throws(() => withoutGlobals(() => Date.now()));
  t.strictSame([Date, setTimeout, performance, crypto, Math.random, Date.now], before);
  t.ok(new Date().getTime() > 0 && Date.now() > 0);
  t.end();
});

const used = /Date\.now was used inside a simulated run/;

test('a world is built, a scenario played and the small scope searched without them', (t) => {
  const rtoMs = { get rtoMs(): number { return Date.now(); } };
  t.throws(() => runSeed({ seed: 1, hours: 0.01, overrides: rtoMs }), used);
  const limits = { pauses: 0, losses: 0, delays: 0, switchovers: 0, writes: 0, statesMax: 10, get crashes(): number { return Date.now(); } };
  t.throws(() => explore(limits), used);
  const { kill } = World.prototype;
  t.teardown(() => Object.assign(World.prototype, { kill }));
  World.prototype.kill = () => void Date.now();
  t.throws(() => runScenario('start\nkill r1\n'), used);
  t.end();
});
