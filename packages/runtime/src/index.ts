// The daemon shell: clock, mailbox loop, durable state, lock, evidence.

export * from './clock.ts';
export * from './state-file.ts';
export * from './lock.ts';
export * from './audit.ts';
export * from './loop.ts';
