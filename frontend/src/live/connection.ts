/**
 * The one stream of changes, and how fresh what the page shows is.
 *
 * While the stream is up the page is `live`. When it is not, the page asks every five seconds
 * (`polling`) and goes on trying the stream. `heardAt` is on the monotonic clock: the browser's
 * clock plays no part in deciding that something is old.
 */
import { signedFetch } from '@/api/client';
import type { Changes, Snapshot } from '@/api/events';
import { Failure } from '@/api/failure';
import { eventsOf, type ServerEvent } from './server_sent_events';

export type Mode = 'connecting' | 'live' | 'polling';

/** The server sends at least a comment every 15 s; a stream silent for longer is dead. */
const SILENT_MS = 40_000;
const SLOWEST_RETRY_MS = 30_000;

export type Sink = {
  snapshot: (snapshot: Snapshot) => void;
  changes: (changes: Changes) => void;
  resync: () => void;
};

/** `heardAt`: of what is shown. `since`: nothing was to be heard before, as nobody listened. */
export type LiveState = { mode: Mode; heardAt: number; since: number };

export class LiveConnection {
  #state: LiveState;
  #listeners = new Set<() => void>();
  #lastId: string | null = null;
  #stopping: AbortController | null = null;

  constructor(
    private readonly sink: Sink,
    private readonly open: (
      lastId: string | null,
      signal: AbortSignal,
    ) => Promise<Response> = openStream,
  ) {
    const now = performance.now();
    this.#state = { mode: 'connecting', heardAt: now, since: now };
  }

  state = (): LiveState => this.#state;

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** An answer came by another way: what is shown is fresh. `tell`: whoever watches is to know now. */
  heard = (tell = false): void => {
    // Once a second is enough else.
    if (tell || performance.now() - this.#state.heardAt > 1000)
      this.#become({ heardAt: performance.now() });
  };

  start(): void {
    if (this.#stopping !== null) return;
    this.#stopping = new AbortController();
    this.#state = { ...this.#state, since: performance.now() };
    void this.#run(this.#stopping.signal);
  }

  stop(): void {
    this.#stopping?.abort();
    this.#stopping = null;
  }

  /** Stop for as long as nobody looks; `start` goes on after the last event that was taken. */
  sleep(): void {
    this.stop();
    this.#become({ mode: 'connecting' });
  }

  async #run(stopped: AbortSignal): Promise<void> {
    for (let failures = 0; !stopped.aborted; ) {
      const began = performance.now();
      const ending = await this.#once(stopped);
      if (stopped.aborted || ending === 'signedOut') return;
      this.#become({ mode: 'polling' });
      failures = performance.now() - began > SILENT_MS ? 0 : failures + 1;
      await pause(retryAfterMs(failures), stopped);
    }
  }

  async #once(stopped: AbortSignal): Promise<'ended' | 'signedOut'> {
    const began = performance.now();
    const silent = new AbortController();
    const watch = setInterval(() => {
      if (performance.now() - Math.max(this.#state.heardAt, began) > SILENT_MS) silent.abort();
    }, 5000);
    try {
      const signal = AbortSignal.any([stopped, silent.signal]);
      const response = await this.open(this.#lastId, signal);
      if (response.status === 401) return 'signedOut';
      if (!response.ok || response.body === null) return 'ended';
      this.#become({ mode: 'live', heardAt: performance.now() });
      const body = eventsOf(response.body, () => this.heard());
      for await (const event of body) this.#take(event);
      return 'ended';
    } catch (error) {
      return error instanceof Failure && error.kind === 'signedOut' ? 'signedOut' : 'ended';
    } finally {
      clearInterval(watch);
    }
  }

  #take(event: ServerEvent): void {
    if (event.event === 'snapshot') this.sink.snapshot(JSON.parse(event.data));
    else if (event.event === 'change') this.sink.changes(JSON.parse(event.data));
    else if (event.event === 'resync') this.sink.resync();
    // Only after it was applied: a stream that breaks in between brings it again.
    if (event.event === 'resync') this.#lastId = null;
    else if (event.id !== null) this.#lastId = event.id;
  }

  #become(change: Partial<LiveState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }
}

/** 1, 2, 4 ... 30 s, each cut by up to half so that many open pages do not come back at once. */
export function retryAfterMs(failures: number, chance: number = Math.random()): number {
  const whole = Math.min(SLOWEST_RETRY_MS, 1000 * 2 ** Math.max(0, failures - 1));
  return whole * (1 - chance / 2);
}

function openStream(lastId: string | null, signal: AbortSignal): Promise<Response> {
  const headers: HeadersInit = { Accept: 'text/event-stream' };
  if (lastId !== null) headers['Last-Event-ID'] = lastId;
  const address = new URL('/api/events', location.origin).href;
  return signedFetch(address, { signal, patienceMs: null, headers });
}

function pause(ms: number, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    stopped.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
