/** Which VMs the fleet view shows, as the address bar has it and as the API is asked for it. */
import type { State } from './types';

export const STATES: readonly State[] = ['reset_failed', 'down', 'warning', 'unknown', 'healthy'];

export const SORTS = ['health', 'hostname', 'node', 'vmid', 'cpu', 'ram', 'lastHeartbeat'] as const;
export type SortField = (typeof SORTS)[number];
export type Sort = SortField | `-${SortField}`;

export type FleetQuery = {
  search: string;
  health: State[];
  node: string | null;
  labels: string[];
  paused: boolean | null;
  sort: Sort;
  cursor: string | null;
};

export const EVERYTHING: FleetQuery = {
  search: '',
  health: [],
  node: null,
  labels: [],
  paused: null,
  sort: 'health',
  cursor: null,
};

/** Read it from the address bar; whatever makes no sense there is passed over. */
export function queryFrom(search: URLSearchParams): FleetQuery {
  const paused = search.get('paused');
  return {
    search: (search.get('search') ?? '').slice(0, 255),
    health: (search.get('health') ?? '').split(',').filter(isState),
    node: search.get('node'),
    labels: search.getAll('label').slice(0, 10),
    paused: paused === 'true' ? true : paused === 'false' ? false : null,
    sort: sortFrom(search.get('sort')),
    cursor: search.get('cursor'),
  };
}

/** Write it: only what differs from showing everything. */
export function paramsOf(query: FleetQuery): URLSearchParams {
  const params = new URLSearchParams();
  if (query.search !== '') params.set('search', query.search);
  if (query.health.length > 0) params.set('health', query.health.join(','));
  if (query.node !== null) params.set('node', query.node);
  for (const label of query.labels) params.append('label', label);
  if (query.paused !== null) params.set('paused', String(query.paused));
  if (query.sort !== 'health') params.set('sort', query.sort);
  if (query.cursor !== null) params.set('cursor', query.cursor);
  return params;
}

/** What the API is asked, by its parameters' names. */
export function askedBy(query: FleetQuery) {
  return {
    sort: query.sort,
    ...(query.search !== '' && { search: query.search }),
    ...(query.health.length > 0 && { health: query.health.join(',') }),
    ...(query.node !== null && { node: query.node }),
    ...(query.labels.length > 0 && { label: query.labels }),
    ...(query.paused !== null && { paused: query.paused }),
    ...(query.cursor !== null && { cursor: query.cursor }),
  };
}

/** Whether anything but the order is asked for. */
export function isFiltered(query: FleetQuery): boolean {
  return (
    query.search !== '' ||
    query.health.length > 0 ||
    query.node !== null ||
    query.labels.length > 0 ||
    query.paused !== null
  );
}

function isState(word: string): word is State {
  return (STATES as readonly string[]).includes(word);
}

function sortFrom(word: string | null): Sort {
  const field = (word ?? '').replace(/^-/, '');
  return (SORTS as readonly string[]).includes(field) ? (word as Sort) : 'health';
}
