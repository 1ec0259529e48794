/** How much what is shown can be trusted. Pure: from the connection's state and the time. */
import type { LiveState } from './connection';

/** `late` is no alarm yet: a tab that was hidden comes back with one. */
export type Freshness = 'connecting' | 'live' | 'polling' | 'stale' | 'offline';

export const STALE_AFTER_MS = 20_000;
export const OFFLINE_AFTER_MS = 60_000;

export function freshnessOf(state: LiveState, nowMs: number): Freshness {
  const age = nowMs - state.heardAt;
  if (age > OFFLINE_AFTER_MS) return 'offline';
  if (age > STALE_AFTER_MS) return 'stale';
  return state.mode;
}
