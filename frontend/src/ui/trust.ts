/**
 * Whether anybody vouches that what is shown as healthy is healthy now.
 *
 * Where nobody does, as the data is old, or Defib hears or judges nothing, no green is shown anywhere:
 * a healthy VM is then a hollow grey shape.
 */
import { useSyncExternalStore } from 'react';

let vouched = true;
const listeners = new Set<() => void>();

export function vouch(holds: boolean): void {
  if (holds === vouched) return;
  vouched = holds;
  if (holds) delete document.documentElement.dataset.trust;
  else document.documentElement.dataset.trust = 'none';
  for (const listener of listeners) listener();
}

export function useVouched(): boolean {
  return useSyncExternalStore(subscribe, () => vouched);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
