/** How much what is shown can be trusted. Pure: from what was heard, and the time. */
import type { LiveState } from './connection';
import type { FailingReads } from './reads_watch';

export type Freshness = 'connecting' | 'live' | 'polling' | 'stale' | 'offline';

export const STALE_AFTER_MS = 20_000;
export const OFFLINE_AFTER_MS = 60_000;

export function freshnessOf(
  state: LiveState,
  failing: FailingReads | null,
  nowMs: number,
  waking = false,
): Freshness {
  // While nobody listened nothing could be heard: that is no failure of the API's.
  const age = nowMs - Math.max(state.heardAt, state.since);
  if (age > OFFLINE_AFTER_MS) return 'offline';
  // A living stream does not make old figures new.
  if (age > STALE_AFTER_MS || failing !== null) return 'stale';
  // What was on the page while nobody looked is not live before it has been asked for anew.
  return waking ? 'connecting' : state.mode;
}

export function isLate(freshness: Freshness): boolean {
  return freshness === 'stale' || freshness === 'offline';
}
