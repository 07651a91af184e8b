// The only Lua that Continuum ever writes, as a typed tree. PowerDNS does not sandbox Lua records: whoever can add a
// token to one runs code on the name server. So there is no free-form Lua: functions come from a closed list, and a
// string is refused unless every character is harmless in Lua *and* in the DNS text around it. (Escaping instead would
// have to survive two parsers whose rules differ between PowerDNS versions.)

import { assert } from '../assert.ts';

export type LuaExpression =
  | { readonly kind: 'call'; readonly name: LuaFunction; readonly parameters: readonly LuaExpression[] }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'list'; readonly items: readonly LuaExpression[] }
  /** The value of the first case that holds. No value may be false or nothing: the next case would be taken. */
  | { readonly kind: 'choice'; readonly cases: readonly (readonly [condition: LuaExpression, value: LuaExpression])[]; readonly otherwise: LuaExpression }
  | { readonly kind: 'options'; readonly entries: readonly (readonly [LuaOption, LuaExpression])[] };

export type LuaFunction = 'ifurlup' | 'pickclosest' | 'pickwhashed' | 'country' | 'continent';
/** A server ignores options that it does not know, silently: `version-gate.ts` says which server knows which. */
export type LuaOption =
  | 'selector'
  | 'backupSelector'
  | 'timeout'
  | 'useragent'
  | 'stringmatch'
  | 'interval'
  | 'minimumFailures'
  | 'httpcode';

/** Largest character string of a DNS record. */
export const SEGMENT_BYTES_MAX = 255;
/** Largest text literal: with its two quotes and a following comma it still fits one segment. */
export const LUA_TEXT_LENGTH_MAX = 240;

const [AND, OR] = [' and ', ' or '];
/** Of a record's content: far below the 65,535 bytes that DNS has for it. */
export const LUA_CONTENT_LENGTH_MAX = 32_000;
/** `and` and `or` carry their spaces with them: they are apart from what follows also where the next segment is joined without one. */
const CUT_AFTER = new Set([',', '(', '{', AND, OR]);
const LUA_NUMBER_MAX = 1_000_000;
const LUA_TEXT = /^[A-Za-z0-9._~:/?=-]+$/;

/** Whether a text may become a Lua string. Neither quote, backslash, bracket, white space, `%` nor control character may. */
export function isLuaText(text: string): boolean {
  return text.length <= LUA_TEXT_LENGTH_MAX && LUA_TEXT.test(text);
}

/**
 * The content of a LUA record: the type that it answers, then quoted segments of at most 255 bytes. Segments are cut only
 * after a comma, an opening bracket, `and` or `or`: up to 5.0 PowerDNS joins segments with a space, later without, and both read the same there.
 */
export function luaRecordContent(type: 'A' | 'AAAA', expression: LuaExpression): string {
  const segments: string[] = [];
  let segment = '';
  for (const piece of pieces(tokens(expression))) {
    assert(piece.length <= SEGMENT_BYTES_MAX, 'LUA_PIECE_TOO_LONG', `${piece.length} bytes`);
    if (segment.length + piece.length > SEGMENT_BYTES_MAX) {
      segments.push(segment);
      segment = '';
    }
    segment += piece;
  }
  return [type, ...[...segments, segment].map((text) => `"${text}"`)].join(' ');
}

function tokens(expression: LuaExpression): string[] {
  switch (expression.kind) {
    case 'text':
      assert(isLuaText(expression.value), 'LUA_TEXT_UNSAFE', JSON.stringify(expression.value));
      return [`'${expression.value}'`];
    case 'number':
      assert(Number.isInteger(expression.value) && expression.value >= 0 && expression.value <= LUA_NUMBER_MAX, 'LUA_NUMBER', `${expression.value}`);
      return [String(expression.value)];
    case 'list':
      return ['{', ...separated(expression.items.map(tokens)), '}'];
    case 'choice':
      return [...expression.cases.flatMap(([condition, value]) => [...tokens(condition), AND, ...tokens(value), OR]), ...tokens(expression.otherwise)];
    case 'options':
      return ['{', ...separated(expression.entries.map(([name, value]) => [name, '=', ...tokens(value)])), '}'];
    case 'call':
      return [expression.name, '(', ...separated(expression.parameters.map(tokens)), ')'];
  }
}

function separated(groups: readonly string[][]): string[] {
  return groups.flatMap((group, index) => (index === 0 ? group : [',', ...group]));
}

/** Tokens glued together up to the next place where a cut is safe. */
function pieces(all: readonly string[]): string[] {
  const found: string[] = [];
  let piece = '';
  for (const token of all) {
    piece += token;
    if (CUT_AFTER.has(token)) {
      found.push(piece);
      piece = '';
    }
  }
  // An expression ends in a literal or a closing bracket: there is always a last piece.
  return [...found, piece];
}
