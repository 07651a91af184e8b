// PowerDNS as the authoritative name server of a region.

export * from './publisher.ts';
export * from './guarded-publisher.ts';
export * from './answers.ts';
