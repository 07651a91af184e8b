// The register port over HTTP: the witness as a Cloudflare Worker.

export { createWitnessRegister } from './register.ts';
export type { WitnessRegister } from './register.ts';
export type { WitnessRegisterOptions } from './options.ts';
