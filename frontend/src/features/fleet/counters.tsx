/** How many VMs are in each state: each number is a link to just those. */
import { useQuery } from '@tanstack/react-query';
import clsx from 'clsx';
import { Link } from 'wouter';
import { type FleetQuery, STATES } from '@/api/fleet_query';
import { keys } from '@/api/keys';
import { readStatus } from '@/api/reads';
import type { Counts, State } from '@/api/types';
import { REFRESH_MS } from '@/app/query_client';
import { en } from '@/text/en';
import { changed, useAddress } from '@/ui/address';
import { STATE_COLOUR, StateMark } from '@/ui/state_mark';
import { useForesight } from './use_fleet';

/** `down` of the API holds the `reset_failed` too; here each VM is counted once. */
export function countOf(counts: Counts, state: State): number {
  switch (state) {
    case 'reset_failed':
      return counts.resetFailed;
    case 'down':
      return counts.down - counts.resetFailed;
    default:
      return counts[state];
  }
}

export function useCounts() {
  return useQuery({ queryKey: keys.status, queryFn: readStatus, refetchInterval: REFRESH_MS });
}

export function Counters({ query }: { query: FleetQuery }) {
  const { data } = useCounts();
  const { params } = useAddress();
  const foresee = useForesight();
  const linkTo = (state: State | null) => {
    const changes = { health: state, cursor: null, page: null, vm: null };
    const text = changed(params, changes).toString();
    return { href: text === '' ? '/' : `/?${text}`, foresee: () => foresee(changes) };
  };
  return (
    <nav aria-label={en.fleet.counters} className="grid grid-cols-3 gap-2 sm:grid-cols-6">
      <Counter
        {...linkTo(null)}
        name={en.fleet.all}
        count={data?.vms.total}
        here={query.health.length === 0}
      />
      {STATES.map((state) => (
        <Counter
          key={state}
          {...linkTo(state)}
          state={state}
          name={en.state[state]}
          count={data && countOf(data.vms, state)}
          here={query.health.length === 1 && query.health[0] === state}
        />
      ))}
    </nav>
  );
}

type Shown = {
  href: string;
  foresee: () => void;
  name: string;
  count: number | undefined;
  here: boolean;
  state?: State;
};

function Counter({ href, foresee, name, count, here, state }: Shown) {
  // Zero is calm; only what is there has its colour.
  const lively = state !== undefined && (count ?? 0) > 0;
  return (
    <Link
      href={href}
      onPointerDown={foresee}
      onClick={foresee}
      aria-current={here ? 'true' : undefined}
      title={state && en.stateMeans[state]}
      className={clsx(
        'panel flex min-w-0 flex-col px-3 py-2 hover:border-line-strong',
        here && 'border-accent ring-1 ring-accent',
      )}
    >
      <span className={clsx('text-2xl leading-tight font-semibold', lively && STATE_COLOUR[state])}>
        {count === undefined ? '–' : count.toLocaleString('en')}
      </span>
      <span className="flex items-center gap-1.5 truncate text-xs font-medium text-soft">
        {state && (
          <span className={clsx(!lively && 'opacity-50')}>
            <StateMark state={state} size={12} />
          </span>
        )}
        {name}
      </span>
    </Link>
  );
}
