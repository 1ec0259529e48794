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
import { useAddress } from '@/ui/address';
import { STATE_COLOUR, StateMark } from '@/ui/state_mark';

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
  const hrefOf = (state: State | null) => {
    const next = new URLSearchParams(params);
    for (const name of ['health', 'cursor', 'page', 'vm']) next.delete(name);
    if (state !== null) next.set('health', state);
    const text = next.toString();
    return text === '' ? '/' : `/?${text}`;
  };
  return (
    <nav aria-label={en.fleet.counters} className="grid grid-cols-3 gap-2 sm:grid-cols-6">
      <Counter
        href={hrefOf(null)}
        name={en.fleet.all}
        count={data?.vms.total}
        here={query.health.length === 0}
      />
      {STATES.map((state) => (
        <Counter
          key={state}
          href={hrefOf(state)}
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
  name: string;
  count: number | undefined;
  here: boolean;
  state?: State;
};

function Counter({ href, name, count, here, state }: Shown) {
  // Zero is calm; only what is there has its colour.
  const lively = state !== undefined && (count ?? 0) > 0;
  return (
    <Link
      href={href}
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
