// The register port over a TXT record of an authoritative PowerDNS.

export { createDnsRegister } from './register.ts';
export type { DnsRegister } from './register.ts';
export type { DnsRegisterOptions, RegisterMemory } from './options.ts';
export type { RegisterVoter } from './cross-check.ts';
