/** Who is signed in, and what he may, for components. */
import { useSyncExternalStore } from 'react';
import type { Me, Role } from '@/api/types';
import { type SessionState, session } from './session';

const RANK: Record<Role, number> = { viewer: 0, operator: 1, administrator: 2 };

export function useSession(): SessionState {
  return useSyncExternalStore(session.subscribe, session.state);
}

export function useMe(): Me | null {
  return useSyncExternalStore(session.subscribe, session.me);
}

export function reaches(role: Role | undefined, needed: Role): boolean {
  return role !== undefined && RANK[role] >= RANK[needed];
}

/** Whether one's role reaches so far. The API decides; this only says so beforehand. */
export function useMay(needed: Role): boolean {
  return reaches(useMe()?.role, needed);
}
