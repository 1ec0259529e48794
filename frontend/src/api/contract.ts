/**
 * What the page reads and the API's description does not have yet.
 *
 * Each type here goes away when `schema.d.ts` has it. Nothing else may be declared by hand.
 */
import type { Counts, State, Stop, Vm } from './types';

export type VmPage = { items: Vm[]; nextCursor: string | null; total: number };

/** The whole fleet in columns: `states` and `flags` have one entry for each of `ids`. */
export type FleetColumns = {
  version: number;
  takenAt: string;
  nodes: { cluster: string; node: string | null }[];
  ids: number[];
  hostnames: string[];
  node: number[];
  states: string;
  flags: number[];
};

export type NodeCounts = {
  cluster: string;
  node: string | null;
  online: boolean | null;
  total: number;
  healthy: number;
  warning: number;
  down: number;
  unknown: number;
  resetFailed: number;
};

export type LabelValues = { key: string; values: string[] };

export type Transition = { at: string; from: State | null; to: State; reason: string };
export type HoldInterval = {
  reason: string;
  message: string;
  startedAt: string;
  endedAt: string | null;
};

export type Replica = { name: string; live?: boolean; provenAt?: string | null };
export type Brake = {
  reason: string;
  scope: string;
  message: string;
  since: string;
  vms: number;
};
export type ClusterHealth = {
  name: string;
  reachable: boolean | null;
  version: string | null;
  quorate: boolean | null;
  message: string | null;
  nodes: { node: string; online: boolean | null }[];
};

export type SystemHealth = {
  ingest: { live: boolean; blindSince: string | null; replicas: Replica[] };
  operator: {
    leader: string | null;
    lastSweep: string | null;
    sweepAgeSeconds: number | null;
    kubernetesHeardAt: string | null;
  };
  clusters: ClusterHealth[];
  holds: { reason: string; count: number }[];
  brakes: Brake[];
  globalStop: Stop | null;
  intents: { requested: number; sending: number; sent: number };
  redis: 'ok' | 'degraded' | 'off';
  version: string;
};

export type ConfigRow = {
  name: string;
  namespace: string;
  source: string;
  generation: number | null;
  spec: Record<string, unknown>;
  invalid: string | null;
  inForceSince: string | null;
  vms: number;
};

export type StateChange = {
  id: string;
  hostname: string;
  state: State;
  health: string;
  resetPending: boolean;
  at: string;
  reason: string;
};

export type Snapshot = { version: number; vms: Counts };
export type Changes = { changes: StateChange[]; vms: Counts };
