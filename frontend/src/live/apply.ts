/** What the stream says, carried into the query cache: the only place that writes there. */
import type { QueryClient } from '@tanstack/react-query';
import type { Changes, StateChange } from '@/api/events';
import { keys } from '@/api/keys';
import type { Counts, Fleet, State, Status, Vm, VmPage } from '@/api/types';
import type { Sink } from './connection';

/** Lists are asked for anew at most this often, however many changes come. */
const SETTLE_MS = 1500;

const LETTERS: Record<State, string> = {
  healthy: 'h',
  warning: 'w',
  down: 'd',
  unknown: 'u',
  reset_failed: 'f',
};

export function sinkInto(cache: QueryClient): Sink {
  const refreshLists = atMostEvery(SETTLE_MS, () => {
    for (const queryKey of [keys.lists, keys.fleet, keys.nodes, keys.system])
      void cache.invalidateQueries({ queryKey });
  });
  return {
    snapshot: ({ vms }) => {
      setCounts(cache, vms);
      refreshLists();
    },
    changes: ({ changes, vms }: Changes) => {
      setCounts(cache, vms);
      const byId = new Map(changes.map((one) => [one.id, one]));
      cache.setQueriesData<VmPage>({ queryKey: keys.lists }, (page) => pageWith(page, byId));
      cache.setQueryData<Fleet>(keys.fleet, (fleet) => fleetWith(fleet, byId));
      for (const id of byId.keys()) void cache.invalidateQueries({ queryKey: keys.vm(id) });
      refreshLists();
    },
    resync: () => void cache.invalidateQueries(),
  };
}

function setCounts(cache: QueryClient, vms: Counts): void {
  cache.setQueryData<Status>(keys.status, (status) => status && { ...status, vms });
}

/** A list with the changed rows as they are now; the order follows with the next answer. */
export function pageWith(
  page: VmPage | undefined,
  changes: ReadonlyMap<string, StateChange>,
): VmPage | undefined {
  if (!page?.items.some((vm) => changes.has(vm.id))) return page;
  return { ...page, items: page.items.map((vm) => vmWith(vm, changes.get(vm.id))) };
}

function vmWith(vm: Vm, change: StateChange | undefined): Vm {
  if (change === undefined) return vm;
  const { state, resetPending, at } = change;
  return {
    ...vm,
    state,
    health: change.health,
    resetPending,
    stateSince: state === vm.state ? vm.stateSince : at,
    isDown: state === 'down' || state === 'reset_failed',
    isWarning: state === 'warning',
  };
}

export function fleetWith(
  fleet: Fleet | undefined,
  changes: ReadonlyMap<string, StateChange>,
): Fleet | undefined {
  if (fleet === undefined) return undefined;
  const states = [...fleet.states];
  let found = false;
  fleet.ids.forEach((id, index) => {
    const change = changes.get(`vm_${id}`);
    if (change === undefined) return;
    states[index] = LETTERS[change.state];
    found = true;
  });
  return found ? { ...fleet, states: states.join('') } : fleet;
}

function atMostEvery(ms: number, run: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return () => {
    if (timer !== undefined) return;
    timer = setTimeout(() => {
      timer = undefined;
      run();
    }, ms);
  };
}
