// What a name server is told for each placement, for each version of it. One probe per region, however many names follow it:
// all names of an application share one URL, and PowerDNS keeps one state for one URL and address.
//
//   single-region      plain addresses. Nothing is probed, nothing moves by itself.
//   active-active      the regions that answer the probe, the nearest or by weight. A region that is down is left out; with
//                      all down the choice is made as if all were up: never empty.
//   active-hotstandby  whoever answers for the lease.
//
// In active-hotstandby the answer follows the lease without any later write: each name server probes every region's gateway for
// `/.well-known/continuum/<lease>`, which answers 200 only in the region that holds a valid lease, and names the regions that did. The
// list of addresses is flat and both selectors are `all`, on purpose:
//   - exactly one region answers 200, so "all that are up" is the holder; during a hand-over it may be both, never neither;
//   - with nobody up (between two holders) and before the first probe after a start, all regions are named: the answer is
//     never empty, never random and never only a fenced region (I5), and a client tries the next address on refusal;
//   - grouped lists look more natural, but from 5.1 on their backup is the first group alone: one region, maybe the dead one.
//
// Weights under a probe are written as repetition: `pickwhashed` cannot probe, and `pickselfweighted` (5.0) takes its weights
// from the answer of the probed server. `hashed` keeps a client at its region as long as the set of regions is the same.

import { assert } from '../assert.ts';
import { probeQuery } from '../gate/probe.ts';
import type { IpAddress } from './address.ts';
import { formatIpAddress, parseIpAddress } from './address.ts';
import { byLocation, hasLocations, locationProblems } from './locations.ts';
import type { Locations } from './locations.ts';
import type { LuaExpression, LuaOption } from './lua.ts';
import { isLuaText, LUA_CONTENT_LENGTH_MAX, LUA_TEXT_LENGTH_MAX, luaRecordContent } from './lua.ts';
import { namesProblems, ownerName } from './names.ts';
import type { DnsProblem, Rrset, Synthesis } from './records.ts';
import { addressRrsets, isPort, LEASE, PATH, problem, PROBE_TIMEOUT_SECONDS, regionProblems, ttlProblems, WAITING_PROBE_TIMEOUT_SECONDS, WELL_KNOWN_PATH } from './records.ts';
import type { Note, PdnsVersion, ProbeWish } from './version-gate.ts';
import { GATED, knows, luaIsStatic } from './version-gate.ts';

export type Placement = 'single-region' | 'active-active' | 'active-hotstandby';

export type PlacementInput = {
  readonly placement: Placement;
  readonly version: PdnsVersion;
  readonly zone: string;
  /** The first concrete one is what the probes ask for. The zone's own name and `*.` wildcards are names too. */
  readonly names: readonly string[];
  readonly regions: readonly {
    readonly region: string;
    readonly addresses: readonly string[];
    readonly weight?: number;
    /** Of active-active with the nearest chosen: whom this region is the first choice for, while it is up. */
    readonly locations?: Locations;
  }[];
  readonly ttlSeconds: number;
  /** Of active-active. */
  readonly select?: 'nearest' | 'weighted';
  /** Of active-active: null for no probe. */
  readonly probe?: (ProbeWish & { readonly port: number; readonly path: string }) | null;
  /** Of active-hotstandby. */
  readonly lease?: { readonly name: string; readonly port: number; readonly path?: string; readonly probe?: ProbeWish };
};

export type Rendered = {
  /** Plain records: may be written at any time, on every version. */
  readonly rrsets: readonly Rrset[];
  /** LUA records: written once. From 5.1 on only by loading the zone, see `notes`. */
  readonly lua: readonly Rrset[];
  readonly notes: readonly Note[];
  /** What each part does, for a human. */
  readonly explain: readonly string[];
};

/** A server of 5.1 has answered a region that held no lease, alone, while the first probe of the holder was on its way. */
const FAILURES_OF_STANDBY = 'before an address was ever up the server counts it as up until so many probes have failed, so that a region without the lease could be the only answer: the first failed probe takes an address out';
const FAIL_UNTIL_PROBED = 'nothing: no PowerDNS does that. From 5.0 on the first question alone is answered SERVFAIL, and all that follow while the first probes run with every address';

const WEIGHT_MAX = 100;
/** Entries of one address list. */
const REPEATS_MAX = 64;
const SECONDS_MAX = 3_600;
/** With `stringmatch=`, its quotes and the two brackets that may follow it fits one segment. */
const MATCH_LENGTH_MAX = 239;

type Family = { readonly type: 'A' | 'AAAA'; readonly addresses: readonly (IpAddress & { readonly region: string; readonly weight: number })[] };
type Probe = { readonly url: string; readonly options: readonly (readonly [LuaOption, LuaExpression])[]; readonly notes: readonly Note[] };

/** Record sets for a placement; every problem of the input at once otherwise. */
export function renderPlacement(input: PlacementInput): Synthesis<Rendered> {
  const problems = inputProblems(input);
  const names = input.names.flatMap((name) => ownerName(name) ?? []);
  if (problems.length > 0) return { ok: false, problems };
  const families = familiesOf(input);
  if (input.placement === 'single-region') return { ok: true, value: renderPlain(input, names) };
  const probe = probeOf(input, names);
  if (probe !== null && 'problems' in probe) return { ok: false, problems: probe.problems };
  const contents = families.map((family) => luaRecordContent(family.type, choose(input, probe, family)));
  const longest = Math.max(...contents.map(({ length }) => length));
  if (longest > LUA_CONTENT_LENGTH_MAX) return { ok: false, problems: [problem('regions', longest, `fewer regions with locations, or fewer addresses: the record may have ${LUA_CONTENT_LENGTH_MAX} characters`)] };
  const lua = names.map((name) => ({ name, type: 'LUA' as const, ttlSeconds: input.ttlSeconds, records: contents }));
  const notes = [...(probe?.notes ?? []), ...serverNotes(input)];
  return { ok: true, value: { rrsets: [], lua, notes, explain: explain(input, probe) } };
}

/** As a zone file has it, with the notes as comments. */
export function renderText(rendered: Rendered, options: { readonly explain: boolean }): string {
  const line = ({ name, type, ttlSeconds, records }: Rrset): string[] => records.map((content) => `${name} ${ttlSeconds} IN ${type} ${content}`);
  const notes = rendered.notes.map(({ kind, what, reason }) => `; ${kind}: ${what}: ${reason}`);
  const words = options.explain ? rendered.explain.map((text) => `; ${text}`) : [];
  return `${[...words, ...notes, ...[...rendered.rrsets, ...rendered.lua].flatMap(line)].join('\n')}\n`;
}

function renderPlain(input: PlacementInput, names: readonly string[]): Rendered {
  const addresses = input.regions.flatMap((region) => region.addresses.map(parseIpAddress));
  const rrsets = names.flatMap((name) => addressRrsets(name, addresses, input.ttlSeconds));
  return { rrsets, lua: [], notes: [], explain: [`plain addresses of region ${input.regions[0]?.region}: nothing is probed, a change is a write`] };
}

function choose(input: PlacementInput, probe: Probe | null, family: Family): LuaExpression {
  const weighted = input.select === 'weighted';
  if (probe !== null && input.placement === 'active-hotstandby') return follow(probe, family.addresses.map(address), 'all');
  if (!weighted) return byLocation(input.regions, (region) => nearest(probe, family, region), nearest(probe, family, null));
  if (probe === null) return call('pickwhashed', [list(family.addresses.map((one) => list([{ kind: 'number', value: one.weight }, address(one)])))]);
  const repeated = family.addresses.flatMap((one) => Array.from({ length: one.weight / divisor(family) }, () => address(one)));
  return follow(probe, repeated, 'hashed');
}

/** The nearest of all, or, with `first`, that region's as long as one of its addresses is up. */
function nearest(probe: Probe | null, { addresses }: Family, first: string | null): LuaExpression {
  const own = addresses.filter(({ region }) => first === null || region === first).map(address);
  if (probe === null) return call('pickclosest', [list(own)]);
  if (first === null) return follow(probe, own, 'pickclosest');
  return follow(probe, [list(own), list(addresses.filter(({ region }) => region !== first).map(address))], 'pickclosest');
}

function follow(probe: Probe, addresses: readonly LuaExpression[], selector: 'all' | 'hashed' | 'pickclosest'): LuaExpression {
  const options = [['selector', text(selector)], ['backupSelector', text(selector)], ...probe.options] as const;
  return call('ifurlup', [text(probe.url), list(addresses), { kind: 'options', entries: options }]);
}

function probeOf(input: PlacementInput, names: readonly string[]): Probe | null | { readonly problems: readonly DnsProblem[] } {
  const { lease, placement } = input;
  const wish = placement === 'active-hotstandby' ? (lease?.probe ?? {}) : input.probe;
  if (wish === null || wish === undefined) return null;
  const host = names.find((name) => !name.startsWith('*.'))?.slice(0, -1);
  assert(host !== undefined, 'PROBE_NEEDS_NAME');
  const port = placement === 'active-hotstandby' ? lease?.port : input.probe?.port;
  const { timeoutSeconds = defaultTimeoutSeconds(placement) } = wish;
  const path = placement === 'active-hotstandby' ? `${lease?.path ?? WELL_KNOWN_PATH}${lease?.name}${probeQuery(timeoutSeconds)}` : input.probe?.path;
  const url = `http://${host}:${port}${path}`;
  if (!isLuaText(url)) return { problems: [problem('probe', url, `a shorter name or path: the probe's URL may have ${LUA_TEXT_LENGTH_MAX} characters, this one has ${url.length}`)] };
  const notes: Note[] = [];
  const problems: DnsProblem[] = [];
  const options: [LuaOption, LuaExpression][] = [
    ['timeout', text(String(timeoutSeconds))],
    ['useragent', text('continuum-dns')],
  ];
  if (wish.match !== undefined) options.push(['stringmatch', text(wish.match)]);
  for (const { wish: field, option, since, otherwise } of GATED) {
    const value = wish[field];
    if (value === undefined) continue;
    if (knows(input.version, since) && option === 'minimumFailures' && placement === 'active-hotstandby') notes.push({ kind: 'lowered', what: `probe.failures ${value}`, reason: FAILURES_OF_STANDBY });
    else if (knows(input.version, since)) options.push([option, text(String(value))]);
    else if (otherwise === null) problems.push(problem(`probe.${field}`, String(value), `PowerDNS ${since} or newer: ${input.version} would ignore it without a word`));
    else notes.push({ kind: 'lowered', what: `probe.${field} ${value}`, reason: `PowerDNS ${input.version} does not know it (${since} does): ${otherwise}` });
  }
  return problems.length > 0 ? { problems } : { url, options, notes };
}

function serverNotes(input: PlacementInput): Note[] {
  const notes: Note[] = [{ kind: 'needs', what: 'enable-lua-records=yes', reason: 'on the server; not `shared`, which lets the state of one record leak into another' }];
  if (input.placement === 'active-active' && input.select !== 'weighted') {
    notes.push({ kind: 'needs', what: 'edns-subnet-processing=yes and the geoip backend', reason: 'without the backend every answer names any region by chance, the same client here and there (seen on 4.7.3); without the setting, the nearest is nearest to the resolver' });
  }
  if (luaIsStatic(input.version)) {
    notes.push({ kind: 'static', what: 'LUA records', reason: `PowerDNS ${input.version} refuses to change them (enable-lua-record-updates=no, and it should stay so): load them once with "pdnsutil load-zone" or a zone file; only plain records are written later` });
  }
  return notes;
}

/** The notes follow it: there is always one. */
function explain(input: PlacementInput, probe: Probe | null): string[] {
  const every = probe === null ? [] : [
    `${probe.url}: what the server asks each region's address for, about once a second or as its interval says; 200 means up`,
    'one URL for all names: one probe per region, however many names follow it',
    `timeout ${defaultTimeoutSeconds(input.placement)} s unless given: a slower gateway is not fit to be named`,
    ...(input.placement === 'active-hotstandby' ? ["'wait' in the URL: the gate answers at the next change of the lease, or after so many milliseconds"] : []),
  ];
  const chosen = {
    'single-region': [],
    'active-hotstandby': [
      "selector 'all': exactly one region answers 200, the holder of the lease; during a hand-over it may be both, never neither",
      "backupSelector 'all': with no region up, and before the first probe has ended, all are named: never empty, never only a fenced one",
      'one flat list: from 5.1 on the backup of grouped lists is the first group alone, perhaps the dead region',
    ],
    'active-active':
      input.select === 'weighted'
        ? [probe === null ? 'pickwhashed: by weight, the same client stays at the same region; nothing is probed' : "'hashed' over a list that repeats each address by its weight: by weight among those that are up"]
        : [
            ...(hasLocations(input.regions) ? locationWords(probe) : []),
            probe === null ? 'pickclosest: the nearest by address; nothing is probed' : "'pickclosest' among those that are up; among all with none up",
          ],
  }[input.placement];
  return [`${input.placement} for PowerDNS ${input.version}, TTL ${input.ttlSeconds} s`, ...chosen, ...every, 'see also:'];
}

function locationWords(probe: Probe | null): string[] {
  const up = "'country', then 'continent': a client from there is answered by that region while one of its addresses is up, else by the others; with none up by any, from 5.1 on by that region";
  return [probe === null ? "'country', then 'continent': a client from there is answered by that region, up or not: nothing is probed" : up, 'a client from elsewhere, or whose place is not known:'];
}

function inputProblems(input: PlacementInput): DnsProblem[] {
  const { placement, lease, probe, regions } = input;
  const probed = placement === 'active-hotstandby' || (placement === 'active-active' && probe !== null && probe !== undefined);
  const wish = placement === 'active-hotstandby' ? lease?.probe : probe;
  const number = (field: string, value: number | undefined, max: number): DnsProblem[] =>
    value === undefined || (Number.isInteger(value) && value >= 1 && value <= max) ? [] : [problem(field, value, `a whole number from 1 to ${max}`)];
  return [
    ...namesProblems(input.zone, input.names, probed),
    ...ttlProblems(input.ttlSeconds),
    ...(placement === 'single-region' && regions.length !== 1 ? [problem('regions', regions.length, 'one region')] : []),
    ...regionProblems(regions, placement === 'single-region' ? 1 : 2),
    ...regions.flatMap(({ weight }, index) => number(`regions[${index}].weight`, weight, WEIGHT_MAX)),
    ...(placement !== 'active-hotstandby' || lease !== undefined ? [] : [problem('lease', 'nothing', 'the lease that the names follow')]),
    ...(lease === undefined ? [] : leaseProblems(lease)),
    ...(placement !== 'active-active' || probe === null || probe === undefined ? [] : endpointProblems(probe)),
    ...number('probe.intervalSeconds', wish?.intervalSeconds, SECONDS_MAX),
    ...number('probe.timeoutSeconds', wish?.timeoutSeconds, 10),
    ...number('probe.failures', wish?.failures, 100),
    ...(wish?.failUntilProbed === true ? [problem('probe.failUntilProbed', 'true', FAIL_UNTIL_PROBED)] : []),
    ...(wish?.httpCode === undefined || (wish.httpCode >= 100 && wish.httpCode <= 599 && Number.isInteger(wish.httpCode)) ? [] : [problem('probe.httpCode', wish.httpCode, 'from 100 to 599')]),
    ...(wish?.match === undefined || (wish.match.length <= MATCH_LENGTH_MAX && isLuaText(wish.match) && !/^\d+$/.test(wish.match)) ? [] : [problem('probe.match', wish.match, `letters, digits and . _ ~ : / -, not a number alone (5.0 takes that for a weight); at most ${MATCH_LENGTH_MAX}`)]),
    ...locationProblems(regions, placement === 'active-active' && input.select !== 'weighted'),
    ...(input.select === 'weighted' && probed ? weightProblems(regions) : []),
  ];
}

function leaseProblems({ name, port, path }: NonNullable<PlacementInput['lease']>): DnsProblem[] {
  return [
    ...(LEASE.test(name) ? [] : [problem('lease.name', name, 'letters, digits, ".", "_", "~", "-"; at most 63')]),
    ...(isPort(port) ? [] : [problem('lease.port', port, 'a whole number from 1 to 65535')]),
    ...(path === undefined || PATH.test(path) ? [] : [problem('lease.path', path, 'segments between slashes, as in "/.well-known/continuum/"')]),
  ];
}

function endpointProblems({ port, path }: { readonly port: number; readonly path: string }): DnsProblem[] {
  return [
    ...(isPort(port) ? [] : [problem('probe.port', port, 'a whole number from 1 to 65535')]),
    ...(PATH.test(`${path.replace(/\/$/, '')}/`) ? [] : [problem('probe.path', path, 'segments of letters, digits, ".", "_", "~", "-", as in "/healthz"')]),
  ];
}

function weightProblems(regions: PlacementInput['regions']): DnsProblem[] {
  const weights = regions.flatMap(({ weight = 1, addresses }) => addresses.map(() => weight));
  const total = weights.reduce((sum, weight) => sum + weight, 0) / weights.reduce(gcd, 0);
  return total <= REPEATS_MAX ? [] : [problem('regions', weights.join(':'), `weights whose shares make at most ${REPEATS_MAX} in all, such as 3:1`)];
}

function familiesOf(input: PlacementInput): Family[] {
  const addresses = input.regions.flatMap(({ region, addresses: texts, weight = 1 }) => texts.map((one) => ({ ...(parseIpAddress(one) as IpAddress), region, weight })));
  const families = ([['A', 4], ['AAAA', 6]] as const).map(([type, family]) => ({ type, addresses: addresses.filter((one) => one.family === family) }));
  return families.filter((family) => family.addresses.length > 0);
}

const defaultTimeoutSeconds = (placement: Placement): number => (placement === 'active-hotstandby' ? WAITING_PROBE_TIMEOUT_SECONDS : PROBE_TIMEOUT_SECONDS);
const divisor = (family: Family): number => family.addresses.map((one) => one.weight).reduce(gcd, 0);
const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
const address = (one: IpAddress): LuaExpression => text(formatIpAddress(one));
const text = (value: string): LuaExpression => ({ kind: 'text', value });
const list = (items: readonly LuaExpression[]): LuaExpression => ({ kind: 'list', items });
const call = (name: 'ifurlup' | 'pickclosest' | 'pickwhashed', parameters: readonly LuaExpression[]): LuaExpression => ({ kind: 'call', name, parameters });
