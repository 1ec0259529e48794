/** The fleet view's state: what the address asks for, and the page of VMs that answers it. */
import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/react-query';
import { useCallback, useMemo } from 'react';
import { type FleetQuery, paramsOf, queryFrom } from '@/api/fleet_query';
import { keys } from '@/api/keys';
import { readVmPage } from '@/api/reads';
import { REFRESH_MS } from '@/app/query_client';
import { type Change, changed, useAddress } from '@/ui/address';

/** VMs on one page: what a person may look through, and one quick answer. */
export const PAGE_SIZE = 200;
/** A list that nobody looks at is kept for the way back to it, and no longer: it is large. */
const LEFT_MS = 60_000;

const FIELDS = ['search', 'health', 'node', 'label', 'paused', 'sort', 'cursor', 'page'] as const;

export function useFleetQuery() {
  const { params, change } = useAddress();
  const query = useMemo(() => queryFrom(params), [params]);
  const page = Math.max(1, Number(params.get('page')) || 1);
  /** Ask for something else: begins on its first page. */
  const ask = useCallback(
    (changes: Partial<FleetQuery>, options: { replace?: boolean } = {}) => {
      const now = queryFrom(new URLSearchParams(location.search));
      change(addressOf({ ...now, cursor: null, ...changes }), options);
    },
    [change],
  );
  /** Turn to a page; its cursor came with the page before. */
  const turn = useCallback(
    (cursor: string | null, number: number) =>
      change({ cursor, page: cursor === null ? null : String(number) }),
    [change],
  );
  return { query, page, ask, turn };
}

const listOf = (query: FleetQuery) => ({
  queryKey: keys.list(query, PAGE_SIZE),
  queryFn: ({ signal }: { signal: AbortSignal }) => readVmPage(query, PAGE_SIZE, { signal }),
  gcTime: LEFT_MS,
});

export function useVmPage(query: FleetQuery) {
  return useQuery({
    ...listOf(query),
    refetchInterval: REFRESH_MS,
    placeholderData: keepPreviousData,
  });
}

/**
 * Asks for the list that a change of the address will show, before the change is made: from the
 * press of a button, its answer is on the way while the button is let go and the page is drawn.
 */
export function useForesight(): (changes: Change) => void {
  const cache = useQueryClient();
  return useCallback(
    (changes) => {
      const next = changed(new URLSearchParams(location.search), changes);
      void cache.prefetchQuery(listOf(queryFrom(next)));
    },
    [cache],
  );
}

/** The address of a query, as changes to whatever else stands there. */
export function addressOf(query: FleetQuery) {
  const params = paramsOf(query);
  return Object.fromEntries(
    FIELDS.map((field) => {
      const values = params.getAll(field);
      return [field, values.length === 0 ? null : values];
    }),
  );
}
