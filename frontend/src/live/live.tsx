/** The live connection as the page's components see it. */
import { useQueryClient } from '@tanstack/react-query';
import {
  createContext,
  type ReactNode,
  useContext,
  useEffect,
  useState,
  useSyncExternalStore,
} from 'react';
import { useTick } from '@/ui/tick';
import { sinkInto } from './apply';
import { LiveConnection } from './connection';
import { type Freshness, freshnessOf } from './freshness';

const Connection = createContext<LiveConnection | null>(null);

/** Keeps the stream open while its children are shown, that is while somebody is signed in. */
export function Live({ children }: { children: ReactNode }) {
  const cache = useQueryClient();
  const [connection] = useState(() => new LiveConnection(sinkInto(cache)));
  useEffect(() => {
    connection.start();
    const unsubscribe = cache.getQueryCache().subscribe((event) => {
      if (event.type === 'updated' && event.action.type === 'success') connection.heard();
    });
    return () => {
      unsubscribe();
      connection.stop();
    };
  }, [cache, connection]);
  return <Connection value={connection}>{children}</Connection>;
}

export type LiveView = {
  freshness: Freshness;
  /** Seconds since anything was heard from the API. */
  ageSeconds: number;
};

export function useLive(): LiveView {
  const connection = useContext(Connection);
  if (connection === null) throw new Error('useLive outside of <Live>');
  const state = useSyncExternalStore(connection.subscribe, connection.state);
  useTick();
  const now = performance.now();
  return {
    freshness: freshnessOf(state, now),
    ageSeconds: Math.max(0, Math.round((now - state.heardAt) / 1000)),
  };
}
