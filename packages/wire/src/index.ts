// What processes say to each other: schemas, the types inferred from them, and the signatures on them.

export * from './fields.ts';
export * from './gate-link.ts';
export * from './lease.ts';
export * from './keys.ts';
export * from './signature.ts';
