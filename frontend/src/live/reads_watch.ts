/**
 * Which of the reads in sight fail, and how old what they show is.
 *
 * The stream may live while a read fails: then its part of the page is old, and says so. Ages are on
 * the monotonic clock. A first answer that never came is no matter of age: its view says that it
 * could not be loaded.
 */
import type { QueryCache, QueryCacheNotifyEvent } from '@tanstack/react-query';
import { Failure, isPassing } from '@/api/failure';
import { STALE_AFTER_MS } from './freshness';

export type FailingReads = { ageSeconds: number; error: unknown };

export class ReadsWatch {
  #answeredAt = new Map<string, number>();
  #failed = new Map<string, unknown>();
  #asleep = false;
  #awaited = new Set<string>();

  /** Take note of what became of a read; true where the API has answered it. */
  note(event: QueryCacheNotifyEvent, nowMs: number): boolean {
    const { queryHash } = event.query;
    if (event.type === 'removed') {
      this.#answeredAt.delete(queryHash);
      this.#failed.delete(queryHash);
      this.#awaited.delete(queryHash);
    }
    if (event.type !== 'updated') return false;
    const { action } = event;
    if (action.type === 'error') {
      if (isPassing(action.error)) this.#failed.set(queryHash, action.error);
      // A "no" is an answer too: what is gone is not old.
      else if (!isOver(action.error)) this.#awaited.delete(queryHash);
    }
    // What the stream writes into the cache is no answer to the read.
    if (action.type !== 'success' || action.manual) return false;
    this.#answeredAt.set(queryHash, nowMs);
    this.#failed.delete(queryHash);
    this.#awaited.delete(queryHash);
    return true;
  }

  /** Nobody looks: from now on nothing is asked for. */
  sleep(): void {
    this.#asleep = true;
  }

  /** Somebody looks again: what is in sight and old is awaited. */
  wake(cache: QueryCache): void {
    this.#asleep = false;
    for (const query of cache.getAll())
      if (query.isActive() && query.isStale()) this.#awaited.add(query.queryHash);
  }

  /** Whether part of what is in sight is from before the page slept. */
  isWaking(cache: QueryCache): boolean {
    return this.#asleep || [...this.#awaited].some((hash) => cache.get(hash)?.isActive());
  }

  /** The oldest of what failing reads show; null while none is older than may be. */
  oldest(cache: QueryCache, nowMs: number): FailingReads | null {
    let found: FailingReads | null = null;
    for (const [hash, error] of this.#failed) {
      const answeredAt = this.#answeredAt.get(hash);
      if (answeredAt === undefined || !cache.get(hash)?.isActive()) continue;
      const age = nowMs - answeredAt;
      if (age > STALE_AFTER_MS && age / 1000 > (found?.ageSeconds ?? 0))
        found = { ageSeconds: Math.round(age / 1000), error };
    }
    return found;
  }
}

function isOver(error: unknown): boolean {
  return error instanceof Failure && error.kind === 'signedOut';
}
