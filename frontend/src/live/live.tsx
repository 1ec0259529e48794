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
import { useSession } from '@/features/auth/who';
import { useTick } from '@/ui/tick';
import { sinkInto } from './apply';
import { LiveConnection } from './connection';
import { type Freshness, freshnessOf } from './freshness';
import { type FailingReads, ReadsWatch } from './reads_watch';

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
    return cache.getQueryCache().subscribe((event) => {
      if (reads.note(event, performance.now())) connection.heard();
    });
  }, [cache, heard]);
  useEffect(() => {
    if (!signedIn) return;
    heard.connection.start();
    return () => heard.connection.stop();
  }, [heard, signedIn]);
  return <Hearing value={heard}>{children}</Hearing>;
}

export type LiveView = {
  freshness: Freshness;
  /** How old what is shown may be. */
  ageSeconds: number;
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
  const silent = Math.max(0, Math.round((now - state.heardAt) / 1000));
  return {
    freshness: freshnessOf(state, failing, now),
    ageSeconds: Math.max(silent, failing?.ageSeconds ?? 0),
    failing,
  };
}
