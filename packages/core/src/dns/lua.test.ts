// The tree of a LUA record as text: every kind of node, every limit, and where a long one is cut.

import { test } from 'tap';
import type { LuaExpression } from './lua.ts';
import { isLuaText, LUA_TEXT_LENGTH_MAX, luaRecordContent, SEGMENT_BYTES_MAX } from './lua.ts';

const text = (value: string): LuaExpression => ({ kind: 'text', value });
const number = (value: number): LuaExpression => ({ kind: 'number', value });
const list = (...items: LuaExpression[]): LuaExpression => ({ kind: 'list', items });

test('each kind of expression has one form', async (t) => {
  const written: readonly [LuaExpression, string][] = [
    [text('a.b'), "'a.b'"],
    [number(0), '0'],
    [number(1_000_000), '1000000'],
    [list(), '{}'],
    [list(text('a'), number(1)), "{'a',1}"],
    [{ kind: 'options', entries: [['timeout', text('1')], ['interval', number(2)]] }, "{timeout='1',interval=2}"],
    [{ kind: 'call', name: 'pickclosest', parameters: [list(text('192.0.2.1'))] }, "pickclosest({'192.0.2.1'})"],
  ];
  for (const [expression, source] of written) t.equal(luaRecordContent('AAAA', expression), `AAAA "${source}"`);
});

test('a choice is the value of its first case that holds, and may be cut after each and, each or', async (t) => {
  const there = (code: string): LuaExpression => ({ kind: 'call', name: 'country', parameters: [text(code)] });
  const choice = (value: string): LuaExpression => ({ kind: 'choice', cases: [[there('DE'), text(value)], [there('FR'), text(value)]], otherwise: text('c') });
  t.equal(luaRecordContent('A', choice('b')), `A "country('DE') and 'b' or country('FR') and 'b' or 'c'"`);
  const long = 'b'.repeat(LUA_TEXT_LENGTH_MAX);
  t.equal(luaRecordContent('A', choice(long)), `A "country('DE') and " "'${long}' or country(" "'FR') and " "'${long}' or 'c'"`);
  t.equal(luaRecordContent('A', { kind: 'choice', cases: [], otherwise: text('c') }), `A "'c'"`);
});

test('a text is harmless in Lua and in DNS, and fits a segment with its quotes and a comma', async (t) => {
  t.ok(isLuaText('AZaz09._~:/?=-'));
  t.ok(isLuaText('a'.repeat(LUA_TEXT_LENGTH_MAX)));
  t.notOk(isLuaText('a'.repeat(LUA_TEXT_LENGTH_MAX + 1)));
  for (const bad of ['', "'", '"', '\\', '[', ']', ' ', '\n', '%', ';', '{', '(', ',', 'é', 'a b', ' a', 'a ']) t.notOk(isLuaText(bad), JSON.stringify(bad));
});

test('what is no text or no number of ours ends the process', async (t) => {
  t.throws(() => luaRecordContent('A', text("'")), { message: `CTM_ASSERT_LUA_TEXT_UNSAFE: "'"` });
  for (const value of [-1, 0.5, 1_000_001, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.throws(() => luaRecordContent('A', number(value)), { message: `CTM_ASSERT_LUA_NUMBER: ${value}` });
  }
});

test('a record is cut after a comma or an opening bracket, each segment as full as it may be', async (t) => {
  const item = 'a'.repeat(125);
  // "{" + 'item', is 129 bytes, each further one 128: two make 257.
  const content = luaRecordContent('A', list(text(item), text(item), text(item)));
  t.equal(content, `A "{'${item}'," "'${item}'," "'${item}'}"`);
  const exact = luaRecordContent('A', list(text('a'.repeat(124)), text('b'.repeat(125)), text('c')));
  const segments = [...exact.matchAll(/"([^"]*)"/g)].map((match) => match[1] ?? '');
  t.same(segments.map((segment) => segment.length), [128, 132]);
  const full = luaRecordContent('A', list(text('a'.repeat(124)), text('b'.repeat(124)), text('c')));
  t.same([...full.matchAll(/"([^"]*)"/g)].map((match) => (match[1] ?? '').length), [SEGMENT_BYTES_MAX, 4], 'up to the last byte');
});

test('a call is cut after its opening bracket too', async (t) => {
  const item = 'a'.repeat(LUA_TEXT_LENGTH_MAX);
  const call = (parameter: LuaExpression): LuaExpression => ({ kind: 'call', name: 'pickwhashed', parameters: [parameter] });
  t.equal(luaRecordContent('A', call(call(text(item)))), `A "pickwhashed(pickwhashed(" "'${item}'))"`);
});

test('a piece that fills a segment is one, and a longer one ends the process', async (t) => {
  const option = (length: number): LuaExpression => ({ kind: 'options', entries: [['backupSelector', text('a'.repeat(length))]] });
  const full = `backupSelector='${'a'.repeat(237)}'}`;
  t.equal(full.length, SEGMENT_BYTES_MAX);
  t.equal(luaRecordContent('A', option(237)), `A "{" "${full}"`);
  t.throws(() => luaRecordContent('A', option(238)), { message: 'CTM_ASSERT_LUA_PIECE_TOO_LONG: 256 bytes' });
});
