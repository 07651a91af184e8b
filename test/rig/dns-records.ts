// The record of an application in hot standby, as the core writes it for the PowerDNS of the tests.

import { renderPlacement } from '@continuum/core';
import type { Rrset } from '@continuum/core';

export type HotStandby = {
  readonly name: string;
  readonly lease: string;
  readonly regions: readonly { readonly region: string; readonly addresses: readonly string[] }[];
  /** Of the gateways. */
  readonly port: number;
  readonly ttlSeconds: number;
};

/** The name's own parent is taken for its zone. Throws for what cannot be rendered. */
export function hotStandbyRecord({ name, lease, regions, port, ttlSeconds }: HotStandby): Rrset {
  const zone = name.slice(name.indexOf('.') + 1);
  const made = renderPlacement({ placement: 'active-hotstandby', version: '4.7', zone, names: [name], regions, ttlSeconds, lease: { name: lease, port } });
  const record = made.ok ? made.value.lua[0] : undefined;
  if (record === undefined) throw new Error(JSON.stringify(made));
  return record;
}
