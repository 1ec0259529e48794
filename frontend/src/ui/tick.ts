/** One timer for the whole page: whatever shows an age is drawn again each second, while one looks. */
import { useSyncExternalStore } from 'react';

const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let count = 0;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  if (timer === undefined) {
    timer = setInterval(beat, 1000);
    document.addEventListener('visibilitychange', beat);
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    document.removeEventListener('visibilitychange', beat);
    timer = undefined;
  };
}

function beat(): void {
  if (document.visibilityState === 'hidden') return;
  count += 1;
  for (const one of listeners) one();
}

export function useTick(): number {
  return useSyncExternalStore(subscribe, () => count);
}
