// PowerDNS as the authoritative name server of a region.

export * from './publisher.ts';
