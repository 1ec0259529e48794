/** The compact fleet's letters and bits, as words; and which VMs a query means. Pure. */

import type { FleetQuery } from '@/api/fleet_query';
import type { Fleet, State } from '@/api/types';

const STATES: Record<string, State> = {
  h: 'healthy',
  w: 'warning',
  d: 'down',
  u: 'unknown',
  f: 'reset_failed',
};

export const PAUSED = 1;
export const RESET_PENDING = 2;
export const HELD = 4;

/** An unheard-of letter is `unknown`: never shown as healthy. */
export function stateAt(fleet: Fleet, index: number): State {
  return STATES[fleet.states[index] ?? ''] ?? 'unknown';
}

export function flagsAt(fleet: Fleet, index: number): number {
  return fleet.flags[index] ?? 0;
}

export function nodeAt(fleet: Fleet, index: number): string | null {
  return fleet.nodes[fleet.node[index] ?? -1]?.node ?? null;
}

/** Whether a VM fits the filters; labels are not in the compact form and are passed over. */
export function matcherFor(fleet: Fleet, query: FleetQuery): (index: number) => boolean {
  const search = query.search.toLowerCase();
  return (index) =>
    (query.health.length === 0 || query.health.includes(stateAt(fleet, index))) &&
    (query.node === null || nodeAt(fleet, index) === query.node) &&
    (query.paused === null || ((flagsAt(fleet, index) & PAUSED) !== 0) === query.paused) &&
    (search === '' ||
      (fleet.hostnames[index] ?? '').toLowerCase().includes(search) ||
      (nodeAt(fleet, index) ?? '').toLowerCase().includes(search));
}

export function countUnhealthy(fleet: Fleet, members: readonly number[]): number {
  return members.filter((index) => stateAt(fleet, index) !== 'healthy').length;
}
