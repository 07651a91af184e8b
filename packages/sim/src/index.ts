// The deterministic simulator: the real lease, decision and gate functions under every fault, replayable from a seed.

export * from './bug-zoo.ts';
export * from './marks.ts';
export * from './options.ts';
export * from './prng.ts';
export * from './profile.ts';
export * from './run.ts';
export * from './scenario.ts';
export * from './shrink.ts';
export * from './simulation.ts';
export * from './study-page.ts';
export * from './study-report.ts';
export * from './study-text.ts';
export * from './study.ts';
export * from './timeline.ts';
export * from './world.ts';
