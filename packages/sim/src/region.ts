// What one region is made of: it shares a machine, and fails together when the power goes.

import type { Machine } from './machine.ts';
import type { RegionEdge } from './models/clients.ts';
import type { Controller } from './models/controller.ts';
import type { Database } from './models/database.ts';
import type { DatabaseOperator } from './models/database-operator.ts';
import type { Gate } from './models/gateway.ts';
import type { Link } from './network.ts';

export type Region = {
  readonly name: string;
  readonly machine: Machine;
  readonly controller: Controller;
  readonly database: Database;
  readonly operator: DatabaseOperator;
  readonly gate: Gate;
  readonly up: Link;
  readonly down: Link;
  readonly edge: RegionEdge;
};

/** Which life of its controller knows of the lease; null: none has heard of it yet. */
export function knowingLife({ controller }: Region): number | null {
  return controller.state.view === null ? null : controller.process.generation;
}
