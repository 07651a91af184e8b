// What every daemon's configuration has in common: one report with all problems, and the fields that several of them have.

import { test } from 'tap';
import { z } from 'zod';
import { absolutePath, endpoint, formatProblems, logLevel, parseConfigFile, readable, socketPath } from './config-file.ts';
import type { ConfigProblem } from './config-file.ts';

const schema = z.strictObject({
  listen: endpoint('where metrics are read'),
  socket: socketPath("the controller's socket"),
  tokenFile: absolutePath('the token').optional(),
  logLevel,
});
const good = 'listen: 127.0.0.1:9188\nsocket: /run/gate.sock\n';

function problemsOf(text: string): readonly ConfigProblem[] {
  const parsed = parseConfigFile(text, schema);
  return parsed.ok ? [] : parsed.problems;
}

test('what is left out has its default, and an address is taken apart', async (t) => {
  t.same(parseConfigFile(good, schema), { ok: true, config: { listen: { host: '127.0.0.1', port: 9188 }, socket: '/run/gate.sock', logLevel: 'info' } });
  t.match(parseConfigFile(good.replace('127.0.0.1:9188', '"[::1]:1"'), schema), { config: { listen: { host: '::1', port: 1 } } });
});

test('an address that is none, or a port out of range', async (t) => {
  for (const listen of ['localhost:80', '127.0.0.1', '127.0.0.1:0', '127.0.0.1:65536', '::1:80', '"[127.0.0.1:80"', '7']) {
    t.match(problemsOf(good.replace('127.0.0.1:9188', listen)), [{ path: 'listen', fix: /^write where metrics are read as address:port/, line: 1 }], listen);
  }
});

test('a socket path that Linux cannot bind, and a path that depends on where the daemon was started', async (t) => {
  t.match(problemsOf(good.replace('/run/gate.sock', `/${'x'.repeat(106)}`)), []);
  t.match(problemsOf(good.replace('/run/gate.sock', `/${'x'.repeat(107)}`)), [{ path: 'socket', fix: /at most 107 bytes/, line: 2 }]);
  t.match(problemsOf(good.replace('/run/gate.sock', `/${'é'.repeat(54)}`)), [{ path: 'socket', fix: /at most 107 bytes/ }]);
  t.match(problemsOf(good.replace('/run/gate.sock', 'gate.sock')), [{ path: 'socket', value: '"gate.sock"', fix: "write the absolute path of the controller's socket" }]);
});

test('every problem in one report, in the order of the file, what is missing last; no secret is quoted', async (t) => {
  const problems = problemsOf('logLevel: loud\nspeed: 9\ntokenFile: hunter2\nlisten: [\'a\']\n');
  t.match(problems, [
    { path: 'logLevel', value: '"loud"', fix: 'write one of trace, debug, info, warn, error', line: 1 },
    { path: 'speed', value: '9', fix: 'unknown key: remove it, or correct its name', line: 2 },
    { path: 'tokenFile', value: '(not shown)', line: 3 },
    { path: 'listen', value: '(a list)', line: 4 },
    { path: 'socket', value: '(nothing)', line: null },
  ]);
  const text = formatProblems('gate.yaml', problems);
  t.match(text, /^5 problems in gate\.yaml\n {2}gate\.yaml:1 {2}logLevel = "loud"\n {6}write one of/);
  t.notMatch(text, /hunter2/);
});

test('what is no mapping, no YAML, names a key twice or hides behind an alias', async (t) => {
  for (const text of ['', '[]', '7', 'listen: [', `${good}listen: 127.0.0.1:1\n`, 'listen: &a 127.0.0.1:1\nsocket: *a\n']) {
    t.match(problemsOf(text)[0], { path: '(file)' }, JSON.stringify(text));
  }
});

test('what relates one part to another is reported beside the rest', async (t) => {
  const relate = (raw: unknown): ConfigProblem[] =>
    readable(logLevel, raw, ['logLevel']) === 'trace' ? [{ path: 'logLevel', value: 'trace', fix: 'not on this port', line: 3 }] : [];
  t.match(parseConfigFile(`${good}logLevel: trace\n`, schema, relate), { ok: false, problems: [{ fix: 'not on this port' }] });
  t.match(parseConfigFile(`listen: 1\nsocket: /s\nlogLevel: trace\n`, schema, relate), { ok: false, problems: [{ path: 'listen' }, { path: 'logLevel' }] });
  t.ok(parseConfigFile(good, schema, relate).ok);
});
