/**
 * What the stream of changes says: the API's description has no words for the events of a stream.
 * Everything else is in `types.ts`, from the generated schema.
 */
import type { Counts, Health, State } from './types';

export type StateChange = {
  id: string;
  hostname: string;
  state: State;
  health: Health;
  resetPending: boolean;
  at: string;
  reason: string;
};

export type Snapshot = { version: number; vms: Counts };
export type Changes = { changes: StateChange[]; vms: Counts };
