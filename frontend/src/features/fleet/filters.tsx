/** What narrows the fleet: search, node, label, pause, order. All of it is in the address. */
import { useQuery } from '@tanstack/react-query';
import { Search, X } from 'lucide-react';
import { type Ref, useEffect, useState } from 'react';
import { type FleetQuery, isFiltered, type Sort } from '@/api/fleet_query';
import { keys } from '@/api/keys';
import { readLabels, readNodes } from '@/api/reads';
import type { NodeCounts } from '@/api/types';
import { en } from '@/text/en';
import { Button } from '@/ui/button';
import { Choice } from '@/ui/choice';

type Ask = (changes: Partial<FleetQuery>, options?: { replace?: boolean }) => void;

/** Typing asks once one has paused this long. */
const TYPING_MS = 250;
/** The address takes no more. */
const MOST_LABELS = 10;

export function Filters({
  query,
  ask,
  searchRef,
}: {
  query: FleetQuery;
  ask: Ask;
  searchRef: Ref<HTMLInputElement>;
}) {
  return (
    <search className="flex flex-wrap items-center gap-2">
      <SearchField value={query.search} ask={ask} inputRef={searchRef} />
      <NodeChoice query={query} ask={ask} />
      <LabelChoice query={query} ask={ask} />
      <Choice
        label={en.fleet.paused}
        value={query.paused === null ? '' : String(query.paused)}
        options={[
          ['', en.fleet.pausedAny],
          ['true', en.fleet.pausedOnly],
          ['false', en.fleet.pausedNot],
        ]}
        onChange={(value) => ask({ paused: value === '' ? null : value === 'true' })}
      />
      <Choice
        label={en.fleet.sort}
        value={query.sort}
        options={[...sortOptions(query.sort)]}
        onChange={(value) => ask({ sort: value as Sort })}
      />
      {isFiltered(query) && (
        <Button
          weight="quiet"
          onClick={() => ask({ search: '', health: [], node: null, labels: [], paused: null })}
        >
          <X size={14} aria-hidden="true" />
          {en.fleet.reset}
        </Button>
      )}
    </search>
  );
}

function SearchField({
  value,
  ask,
  inputRef,
}: {
  value: string;
  ask: Ask;
  inputRef: Ref<HTMLInputElement>;
}) {
  const [typed, setTyped] = useState(value);
  const [asked, setAsked] = useState(value);
  if (asked !== value) {
    // The address changed by another way, such as Back: the field follows.
    setAsked(value);
    setTyped(value);
  }
  useEffect(() => {
    if (typed === value) return;
    const timer = setTimeout(() => {
      setAsked(typed);
      ask({ search: typed }, { replace: true });
    }, TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed, value, ask]);
  return (
    <div className="relative w-full sm:w-72">
      <Search
        size={15}
        aria-hidden="true"
        className="pointer-events-none absolute top-1/2 left-2.5 -translate-y-1/2 text-soft"
      />
      <input
        ref={inputRef}
        type="search"
        aria-label={en.fleet.search}
        placeholder={en.fleet.search}
        aria-keyshortcuts="/"
        maxLength={255}
        value={typed}
        onChange={(event) => setTyped(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === 'Escape') event.currentTarget.blur();
        }}
        className="h-8 w-full rounded-md border border-line-strong bg-surface pr-2 pl-8 placeholder:text-soft"
      />
    </div>
  );
}

function NodeChoice({ query, ask }: { query: FleetQuery; ask: Ask }) {
  const { data } = useQuery({ queryKey: keys.nodes, queryFn: readNodes, staleTime: 15_000 });
  const known = [...new Set((data ?? []).map((one) => one.node).filter((node) => node !== null))];
  const nodes = query.node === null || known.includes(query.node) ? known : [query.node, ...known];
  if (nodes.length === 0) return null;
  return (
    <Choice
      label={en.fleet.node}
      value={query.node ?? ''}
      options={[
        ['', en.fleet.anyNode],
        ...nodes.map((node) => [node, nodeText(node, data)] as const),
      ]}
      onChange={(value) => ask({ node: value === '' ? null : value })}
    />
  );
}

function nodeText(node: string, counts: NodeCounts[] | undefined): string {
  const bad = (counts ?? [])
    .filter((one) => one.node === node)
    .reduce((sum, one) => sum + one.down, 0);
  return bad === 0 ? node : `${node} (${bad} ${en.state.down.toLowerCase()})`;
}

/** A VM has to carry all of the chosen ones. */
function LabelChoice({ query, ask }: { query: FleetQuery; ask: Ask }) {
  const { data } = useQuery({ queryKey: keys.labels, queryFn: readLabels, staleTime: 60_000 });
  const known = (data ?? []).flatMap(({ key, values }) => values.map((value) => `${key}=${value}`));
  const others = known.filter((label) => !query.labels.includes(label));
  const chosen = query.labels;
  return (
    <>
      {others.length > 0 && chosen.length < MOST_LABELS && (
        <Choice
          label={en.fleet.label}
          value=""
          options={[
            ['', chosen.length === 0 ? en.fleet.anyLabel : en.fleet.anotherLabel],
            ...others.map((label) => [label, label] as const),
          ]}
          onChange={(value) => value !== '' && ask({ labels: [...chosen, value] })}
        />
      )}
      {chosen.map((label) => (
        <Button
          key={label}
          aria-label={en.fleet.remove(label)}
          onClick={() => ask({ labels: chosen.filter((one) => one !== label) })}
        >
          {label}
          <X size={14} aria-hidden="true" />
        </Button>
      ))}
    </>
  );
}

/** The table's heads may ask for an order the list does not name. */
function sortOptions(current: Sort): readonly (readonly [string, string])[] {
  const named: readonly (readonly [Sort, string])[] = [
    ['health', en.fleet.sorts.health],
    ['hostname', en.fleet.sorts.hostname],
    ['node', en.fleet.sorts.node],
    ['vmid', en.fleet.sorts.vmid],
    ['-cpu', en.fleet.sorts.cpu],
    ['-ram', en.fleet.sorts.ram],
    ['lastHeartbeat', en.fleet.sorts.lastHeartbeat],
  ];
  if (named.some(([sort]) => sort === current)) return named;
  const field = current.replace(/^-/, '') as keyof typeof en.fleet.sorts;
  return [...named, [current, `${en.fleet.sorts[field]} ↓`]];
}
