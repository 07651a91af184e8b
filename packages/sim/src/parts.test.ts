// The simulator's own parts: chance, order, clocks and links are what they claim to be.

import { test } from 'tap';
import { EventHeap } from './event-heap.ts';
import { Machine, Process } from './machine.ts';
import { Link } from './network.ts';
import { Prng } from './prng.ts';
import { Simulation } from './simulation.ts';

test('a generator repeats itself from its seed, and differs between seeds and streams', (t) => {
  const draws = (prng: Prng): number[] => Array.from({ length: 8 }, () => prng.bits());
  t.same(draws(new Prng(5)), draws(new Prng(5)));
  t.notSame(draws(new Prng(5)), draws(new Prng(6)));
  t.notSame(draws(new Prng(5)), draws(new Prng(5, 1)));
  t.end();
});

test('draws keep within their bounds', (t) => {
  const prng = new Prng(9);
  for (let count = 0; count < 2_000; count++) {
    const spread = prng.spread(2, 50);
    const whole = prng.integer(3, 5);
    const wait = prng.wait(10);
    if (spread < 2 || spread > 50.001 || whole < 3 || whole > 5 || wait < 0 || wait > 80) t.fail(`${spread} ${whole} ${wait}`);
  }
  t.end();
});

test('events come in the order of their times, and in the order asked for at the same time', (t) => {
  const heap = new EventHeap();
  const prng = new Prng(3);
  const seen: [number, number][] = [];
  for (let count = 0; count < 500; count++) {
    const atMs = prng.integer(0, 40);
    heap.push(atMs, () => seen.push([atMs, count]));
  }
  for (let next = heap.pop(); next !== undefined; next = heap.pop()) next.run();
  t.equal(seen.length, 500);
  t.ok(seen.every(([atMs, order], index) => {
    const before = seen[index - 1];
    return before === undefined || before[0] < atMs || (before[0] === atMs && before[1] < order);
  }));
  t.end();
});

test('a sleeping machine stops its monotonic clock, its timers and its processes, not its wall clock', (t) => {
  const sim = new Simulation(1, false);
  const machine = new Machine(sim, 'm', 0, 0);
  const process = new Process(sim, machine, 'p');
  process.start();
  const start = machine.now();
  let firedMs = 0;
  let heardMs = 0;
  process.after(1_000, () => {
    firedMs = sim.nowMs;
  });
  sim.runUntil(400);
  machine.suspend();
  sim.at(600, () => process.deliver(() => {
    heardMs = sim.nowMs;
  }));
  sim.runUntil(5_400);
  t.equal(machine.now().monoMs - start.monoMs, 400);
  t.equal(machine.now().wallMs - start.wallMs, 5_400);
  machine.resume();
  sim.runUntil(10_000);
  t.equal(firedMs, 6_000);
  t.equal(heardMs, 5_400);
  t.end();
});

test('work of an earlier life of a process is dropped', (t) => {
  const sim = new Simulation(1, false);
  const process = new Process(sim, new Machine(sim, 'm', 0, 0), 'p');
  process.start();
  let ran = false;
  process.after(10, () => {
    ran = true;
  });
  process.kill();
  process.start();
  sim.runUntil(100);
  t.equal(ran, false);
  t.end();
});

test('a link that is cut delivers nothing, a clogged one everything at once later', (t) => {
  const sim = new Simulation(1, false);
  const link = new Link(sim, 'l', 1);
  const seen: string[] = [];
  link.cut('a');
  link.cut('b');
  link.mend('a');
  link.send(() => seen.push('cut'));
  link.mend('b');
  link.clog();
  link.send(() => seen.push('clogged'));
  sim.runUntil(100);
  t.same(seen, []);
  link.unclog();
  sim.runUntil(200);
  t.same(seen, ['clogged']);
  t.end();
});

test('what waited in a clog is lost when the link is cut before it arrives, and waits on when it is clogged again', (t) => {
  const sim = new Simulation(1, false);
  const link = new Link(sim, 'l', 1);
  const seen: string[] = [];
  const clogged = (what: string): void => {
    link.clog();
    link.send(() => seen.push(what));
    sim.runUntil(sim.nowMs + 100);
    link.unclog();
  };
  clogged('cut');
  link.cut('a');
  sim.runUntil(sim.nowMs + 100);
  link.mend('a');
  clogged('late');
  link.clog();
  sim.runUntil(sim.nowMs + 100);
  t.same(seen, []);
  link.unclog();
  sim.runUntil(sim.nowMs + 100);
  t.same(seen, ['late']);
  t.end();
});

test('an old message comes once more, if the link stands by then', (t) => {
  const sim = new Simulation(1, false);
  const link = new Link(sim, 'l', 1);
  const seen: number[] = [];
  let again = 0;
  link.replays = { share: 1, afterMs: 10_000, replayed: () => again++ };
  link.send(() => seen.push(sim.nowMs));
  sim.runUntil(10_000);
  t.equal(seen.length, 2);
  t.equal(again, 1);
  link.send(() => seen.push(sim.nowMs));
  sim.runUntil(sim.nowMs + 20);
  link.cut('a');
  sim.runUntil(30_000);
  t.equal(seen.length, 3);
  t.equal(again, 1);
  t.end();
});

test('a machine that loses power in its sleep does nothing of what waited for it', (t) => {
  const sim = new Simulation(1, false);
  const machine = new Machine(sim, 'm', 0, 0);
  const process = new Process(sim, machine, 'p');
  const done: string[] = [];
  process.start();
  machine.suspend();
  process.after(10, () => done.push('timer'));
  process.deliver(() => done.push('request'));
  sim.runUntil(400);
  machine.crash();
  t.equal(machine.suspendedMs, 400);
  machine.boot();
  process.start();
  process.deliver(() => done.push('of the next life'));
  sim.runUntil(800);
  t.same(done, ['of the next life']);
  t.end();
});
