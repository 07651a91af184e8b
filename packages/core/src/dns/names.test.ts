// Which names one specification may answer for, and what is looked up to see whether it does.

import { test } from 'tap';
import { lookedUpName, namesProblems, ownerName } from './names.ts';

const ZONE = 'app.example';
const label = 'a'.repeat(63);
/** 63 + 1 + 63 + 1 + 63 + 1 + `last` + 12 characters. */
const long = (last: number): string => `${label}.${label}.${label}.${'b'.repeat(last)}.${ZONE}`;

const problems = (names: readonly string[], probed = true, zone = ZONE): string[] => namesProblems(zone, names, probed).map(({ field, value, fix }) => `${field} ${value}: ${fix}`);

test('hosts at any depth, the zone itself and wildcards are names of one specification', async (t) => {
  t.same(problems(['app.example', 'www.app.example', 'a.b.app.example', '*.app.example', '*.b.app.example']), []);
  t.same(problems(['*.app.example'], false), [], 'a wildcard alone, when nobody probes');
  t.same(problems([long(38)]), [], 'as long as a name may be');
  t.same([ownerName('WWW.App.Example.'), ownerName('*.app.example'), ownerName('a b')], ['www.app.example.', '*.app.example.', null]);
});

test('each problem names the field, the value and the fix', async (t) => {
  const wildcard = 'the wildcard first and alone, as in "*.app.example"';
  const cases: readonly [readonly string[], string][] = [
    [['www.app.example', 'WWW.app.example.'], 'names[1] "WWW.app.example.": each name once: names[0] is the same'],
    [['app.example', '*.app.example', '*.app.example'], 'names[2] "*.app.example": each name once: names[1] is the same'],
    [['www.other.example', 'app.example'], 'names[0] "www.other.example": a name in the zone app.example.'],
    [['app.example', 'wwwapp.example'], 'names[1] "wwwapp.example": a name in the zone app.example.'],
    [['app.example', '*.example'], 'names[1] "*.example": a name in the zone app.example.'],
    [['app.example', 'a.*.app.example'], `names[1] "a.*.app.example": ${wildcard}`],
    [['app.example', '*.*.app.example'], `names[1] "*.*.app.example": ${wildcard}`],
    [['app.example', 'www*.app.example'], `names[1] "www*.app.example": ${wildcard}`],
    [['app.example', '*'], `names[1] "*": ${wildcard}`],
    [['app.example', '*.'], `names[1] "*.": ${wildcard}`],
    [['app.example', `${label}a.app.example`], `names[1] "${label}a.app.example": at most 63 characters between two dots`],
    [['app.example', ''], 'names[1] "": a host name, perhaps with "*." before it'],
    [['*.app.example'], 'names "*.app.example": at least one name that is no wildcard: the probes ask for it'],
    [[], 'names 0: from 1 to 64 names'],
  ];
  for (const [names, expected] of cases) t.ok(problems(names).includes(expected), `${expected} <- ${problems(names).join(' | ')}`);
  t.match(problems(['app.example', long(39)]), [/names\[1\] .*: a name of at most 242 characters: one that is longer still stands beside it/]);
  t.match(problems(['app.example', long(50)]), [/names\[1\] .*: a name of at most 253 characters, this one has 254$/]);
  t.match(problems(['app.example', `*.${long(48)}`]), [/names\[1\] .*: a name of at most 253 characters, this one has 254$/], 'the wildcard counts');
  t.same(problems(['a b', 'a b', 'app.example']).filter((one) => /once/.test(one)), [], 'what is no name is told as that, and once for each');
  t.same(problems(['app.example'], true, 'a b'), ['zone "a b": a domain name such as "app.example"']);
});

test('under a wildcard a name is looked up that nothing else answers', async (t) => {
  t.same(['www.app.example', '*.app.example'].map(lookedUpName), ['www.app.example', 'continuum-look.app.example']);
});
