// Replication lag: a number with an age, or an honest unknown.

export * from './debounce.ts';
export * from './figures.ts';
export * from './measure.ts';
export * from './member-evidence.ts';
export * from './member-verdict.ts';
export * from './member-view.ts';
export * from './progress.ts';
export * from './published.ts';
export * from './reading.ts';
export * from './report.ts';
export * from './reported.ts';
export * from './sample.ts';
export * from './shard.ts';
export * from './state.ts';
export * from './time-map.ts';
export * from './verdict.ts';
