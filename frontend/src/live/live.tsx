/** The live connection as the page's components see it. */
import { type QueryClient, useQueryClient } from '@tanstack/react-query';
import {
  createContext,
  type ReactNode,
  useContext,
  useEffect,
  useState,
  useSyncExternalStore,
} from 'react';
import { useSession } from '@/features/auth/who';
import { useTick } from '@/ui/tick';
import { sinkInto } from './apply';
import { LiveConnection } from './connection';
import { type Freshness, freshnessOf } from './freshness';
import { type FailingReads, ReadsWatch } from './reads_watch';
import { watchSleep } from './sleep';

type Heard = { connection: LiveConnection; reads: ReadsWatch };

const Hearing = createContext<Heard | null>(null);

/** Keeps the stream open while its children are shown and the session lasts. */
export function Live({ children }: { children: ReactNode }) {
  const cache = useQueryClient();
  const signedIn = useSession() === 'signedIn';
  const [heard] = useState<Heard>(() => ({
    connection: new LiveConnection(sinkInto(cache)),
    reads: new ReadsWatch(),
  }));
  useEffect(() => {
    const { connection, reads } = heard;
    const queries = cache.getQueryCache();
    return queries.subscribe((event) => {
      const waking = reads.isWaking(queries);
      const answered = reads.note(event, performance.now());
      if (answered) connection.heard(waking && !reads.isWaking(queries));
    });
  }, [cache, heard]);
  useEffect(() => {
    if (!signedIn) return;
    const { connection, reads } = heard;
    connection.start();
    const stop = watchSleep(sleeper(heard, cache));
    return () => {
      stop();
      connection.stop();
      // A session that is over hears nothing: what is shown is asked for anew in the next one.
      reads.wake(cache.getQueryCache());
    };
  }, [cache, heard, signedIn]);
  return <Hearing value={heard}>{children}</Hearing>;
}

/** Who does not look costs nothing; who looks again sees what is now, and until then nothing green. */
function sleeper({ connection, reads }: Heard, cache: QueryClient) {
  return {
    sleep: () => {
      reads.sleep();
      connection.sleep();
    },
    wake: () => {
      reads.wake(cache.getQueryCache());
      connection.start();
      // Joins what the cache asks for of its own when a tab comes back.
      void cache.refetchQueries({ type: 'active', stale: true }, { cancelRefetch: false });
    },
  };
}

export type LiveView = {
  freshness: Freshness;
  /** How old what is shown may be. */
  ageSeconds: number;
  /** Part of it is from before the page was out of sight. */
  waking: boolean;
  /** Reads that fail while the API is heard all the same. */
  failing: FailingReads | null;
};

export function useLive(): LiveView {
  const heard = useContext(Hearing);
  if (heard === null) throw new Error('useLive outside of <Live>');
  const { connection, reads } = heard;
  const cache = useQueryClient().getQueryCache();
  const state = useSyncExternalStore(connection.subscribe, connection.state);
  useTick();
  const now = performance.now();
  const failing = reads.oldest(cache, now);
  const waking = reads.isWaking(cache);
  const silent = Math.max(0, Math.round((now - state.heardAt) / 1000));
  return {
    freshness: freshnessOf(state, failing, now, waking),
    ageSeconds: Math.max(silent, failing?.ageSeconds ?? 0),
    waking,
    failing,
  };
}
