// PostgreSQL, standalone: the controller owns the data directory and the server process.

export { createPostgresDatabase } from './database.ts';
export type { PostgresDatabase } from './database.ts';
export type { PostgresOptions } from './options.ts';
export { scramVerifier, setupStatements } from './setup.ts';
export type { SetupOptions } from './setup.ts';
export type { WeakSetting } from './weak-settings.ts';
