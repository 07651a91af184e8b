// The daemon shell: clock, mailbox loop, durable state, lock, evidence, metrics.

export * from './clock.ts';
export * from './state-file.ts';
export * from './lock.ts';
export * from './audit.ts';
export * from './audit-chain.ts';
export * from './log-lines.ts';
export * from './loop.ts';
export * from './metrics-server.ts';
export * from './rotating.ts';
export * from './secret-file.ts';
