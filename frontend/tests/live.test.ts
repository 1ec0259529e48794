import { QueryClient, QueryObserver } from '@tanstack/react-query';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { Failure } from '@/api/failure';
import { fleetWith, pageWith } from '@/live/apply';
import { LiveConnection, retryAfterMs } from '@/live/connection';
import { freshnessOf } from '@/live/freshness';
import { ReadsWatch } from '@/live/reads_watch';
import { eventOf, eventsOf } from '@/live/server_sent_events';
import { ASLEEP_AFTER_MS, watchSleep } from '@/live/sleep';

const change = {
  id: 'vm_7',
  hostname: 'web-07',
  state: 'down' as const,
  health: 'down' as const,
  resetPending: true,
  at: '2026-03-01T11:55:00Z',
  reason: 'HeartbeatMissing',
};

function bodyOf(...pieces: string[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(encoder.encode(piece));
      controller.close();
    },
  });
}

describe('the stream of changes', () => {
  test('an event has its name, its number and its lines', () => {
    expect(eventOf('event: change\nid: 12\ndata: {"a":\ndata: 1}')).toEqual({
      event: 'change',
      id: '12',
      data: '{"a":\n1}',
    });
  });

  test('a comment is life, and no event', () => {
    expect(eventOf(': alive')).toBeNull();
  });

  test('events cut anywhere arrive whole', async () => {
    let heard = 0;
    const events = [];
    const body = bodyOf('event: snap', 'shot\ndata: 1\n', '\n: alive\n\ndata: 2\n\n', 'data: half');
    for await (const event of eventsOf(body, () => heard++)) events.push(event.data);
    expect(events).toEqual(['1', '2']);
    expect(heard).toBe(4);
  });

  test('a 401 ends it for good; the session decides what happens then', async () => {
    let opened = 0;
    const connection = new LiveConnection(
      { snapshot: () => undefined, changes: () => undefined, resync: () => undefined },
      async () => {
        opened += 1;
        return new Response(null, { status: 401 });
      },
    );
    connection.start();
    await Promise.resolve();
    await Promise.resolve();
    connection.stop();
    expect(opened).toBe(1);
  });

  test('a stream that opens makes the page live, and its end makes it ask by itself', async () => {
    const modes: string[] = [];
    const seen: unknown[] = [];
    const connection = new LiveConnection(
      { snapshot: (it) => seen.push(it), changes: () => undefined, resync: () => undefined },
      async () => new Response(bodyOf('event: snapshot\nid: 3\ndata: {"version":3}\n\n')),
    );
    const ended = new Promise<void>((resolve) => {
      connection.subscribe(() => {
        modes.push(connection.state().mode);
        if (connection.state().mode === 'polling') resolve();
      });
    });
    connection.start();
    await ended;
    connection.stop();
    expect(seen).toEqual([{ version: 3 }]);
    expect(modes[0]).toBe('live');
  });

  test('many failures wait longer, never longer than half a minute, never all at once', () => {
    expect(retryAfterMs(1, 0)).toBe(1000);
    expect(retryAfterMs(3, 0)).toBe(4000);
    expect(retryAfterMs(30, 0)).toBe(30_000);
    expect(retryAfterMs(30, 1)).toBe(15_000);
  });
});

describe('freshness', () => {
  test('goes by what was heard, on a clock nobody can set', () => {
    const state = { mode: 'live' as const, heardAt: 1000, since: 0 };
    expect(freshnessOf(state, null, 6000)).toBe('live');
    expect(freshnessOf(state, null, 26_000)).toBe('stale');
    expect(freshnessOf(state, null, 90_000)).toBe('offline');
    expect(freshnessOf({ ...state, mode: 'polling' }, null, 6000)).toBe('polling');
  });

  test('is stale beside a living stream where a read fails for too long, until it answers', async () => {
    const cache = new QueryClient({ defaultOptions: { queries: { retry: false } } });
    const reads = new ReadsWatch();
    let now = 0;
    let answer: () => unknown = () => 1;
    const stop = cache.getQueryCache().subscribe((event) => void reads.note(event, now));
    const watched = new QueryObserver(cache, { queryKey: ['a'], queryFn: async () => answer() });
    const leave = watched.subscribe(() => undefined);
    await watched.refetch();
    answer = () => {
      throw new Failure('slow', 'too slow');
    };
    now = 10_000;
    await watched.refetch();
    expect(reads.oldest(cache.getQueryCache(), now)).toBeNull();
    now = 30_000;
    cache.setQueryData(['a'], 2); // by the stream
    expect(reads.oldest(cache.getQueryCache(), now)?.ageSeconds).toBe(30);
    const failing = reads.oldest(cache.getQueryCache(), now);
    expect(freshnessOf({ mode: 'live', heardAt: now, since: 0 }, failing, now)).toBe('stale');
    answer = () => 3;
    await watched.refetch();
    expect(reads.oldest(cache.getQueryCache(), now)).toBeNull();
    leave();
    stop();
    cache.clear();
  });
});

describe('a page that nobody looks at', () => {
  test('is not live before what is in sight has been asked for anew', async () => {
    const cache = new QueryClient({ defaultOptions: { queries: { retry: false } } });
    const queries = cache.getQueryCache();
    const reads = new ReadsWatch();
    let answer: () => unknown = () => 1;
    const stop = queries.subscribe((event) => void reads.note(event, 0));
    const watched = new QueryObserver(cache, { queryKey: ['a'], queryFn: async () => answer() });
    const leave = watched.subscribe(() => undefined);
    await watched.refetch();
    expect(reads.isWaking(queries)).toBe(false);
    reads.sleep();
    expect(reads.isWaking(queries)).toBe(true);
    reads.wake(queries);
    for (const kind of ['unreachable', 'signedOut'] as const) {
      answer = () => {
        throw new Failure(kind, 'no');
      };
      await watched.refetch();
      expect(reads.isWaking(queries)).toBe(true);
    }
    const state = { mode: 'live' as const, heardAt: 1000, since: 90_000 };
    expect(freshnessOf(state, null, 91_000, true)).toBe('connecting');
    expect(freshnessOf(state, null, 120_000, true)).toBe('stale');
    answer = () => {
      throw new Failure('notFound', 'it is gone');
    };
    await watched.refetch();
    expect(reads.isWaking(queries)).toBe(false);
    leave();
    stop();
    cache.clear();
  });

  test('goes on with the stream where it was', async () => {
    const asked: (string | null)[] = [];
    const taken: unknown[] = [];
    const connection = new LiveConnection(
      { snapshot: (it) => taken.push(it), changes: () => undefined, resync: () => undefined },
      async (lastId, signal) => {
        asked.push(lastId);
        const first = new TextEncoder().encode('event: snapshot\nid: 3\ndata: {"version":3}\n\n');
        const body = new ReadableStream<Uint8Array>({
          start: (controller) => {
            controller.enqueue(first);
            signal.addEventListener('abort', () => controller.error(signal.reason));
          },
        });
        return new Response(body);
      },
    );
    connection.start();
    await vi.waitFor(() => expect(taken).toHaveLength(1));
    connection.sleep();
    expect(connection.state().mode).toBe('connecting');
    connection.start();
    await vi.waitFor(() => expect(taken).toHaveLength(2));
    connection.stop();
    expect(asked).toEqual([null, '3']);
  });
});

describe('sleep', () => {
  function watched() {
    const said: string[] = [];
    const stop = watchSleep({ sleep: () => said.push('sleep'), wake: () => said.push('wake') });
    onTestFinished(() => {
      stop();
      show('visible');
      vi.useRealTimers();
    });
    return said;
  }

  function show(state: 'visible' | 'hidden') {
    Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }

  test('is what a tab out of sight falls into, and a glance elsewhere is not', () => {
    vi.useFakeTimers();
    const said = watched();
    show('hidden');
    vi.advanceTimersByTime(ASLEEP_AFTER_MS - 1);
    show('visible');
    expect(said).toEqual([]);
    show('hidden');
    vi.advanceTimersByTime(ASLEEP_AFTER_MS);
    expect(said).toEqual(['sleep']);
    show('visible');
    expect(said).toEqual(['sleep', 'wake']);
  });

  test('is noticed of a machine that was suspended: its monotonic clock stood still', () => {
    vi.useFakeTimers();
    const said = watched();
    vi.advanceTimersByTime(60_000);
    expect(said).toEqual([]);
    vi.setSystemTime(Date.now() + 3_600_000);
    vi.advanceTimersByTime(2000);
    expect(said).toEqual(['sleep', 'wake']);
    vi.advanceTimersByTime(60_000);
    expect(said).toEqual(['sleep', 'wake']);
  });
});

describe('a change', () => {
  test('is seen in the list at once', () => {
    const vm = {
      id: 'vm_7',
      state: 'healthy',
      health: 'healthy',
      resetPending: false,
      stateSince: 'x',
    };
    const page = { items: [vm], nextCursor: null, total: 1 };
    const after = pageWith(page as never, new Map([['vm_7', change]]));
    expect(after?.items[0]).toMatchObject({ state: 'down', isDown: true, resetPending: true });
    expect(after?.items[0]?.stateSince).toBe(change.at);
  });

  test('is seen on the map, and leaves the others alone', () => {
    const fleet = { ids: [6, 7, 8], states: 'hhw' };
    expect(fleetWith(fleet as never, new Map([['vm_7', change]]))?.states).toBe('hdw');
    expect(fleetWith(fleet as never, new Map([['vm_99', { ...change, id: 'vm_99' }]]))).toBe(fleet);
  });
});
