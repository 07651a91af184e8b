// What travels from a controller to its gate: the instruction with what is left of its validity.

import type { TakenInstruction } from '@continuum/core';

export type GateInstruction = TakenInstruction & { readonly remainingMs: number };
