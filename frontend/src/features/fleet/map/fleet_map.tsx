/** The whole fleet at once: a shape for each VM, by node. Works with the mouse and with arrows. */
import { useQuery } from '@tanstack/react-query';
import { type KeyboardEvent, type PointerEvent, useMemo, useRef, useState } from 'react';
import type { FleetQuery } from '@/api/fleet_query';
import { keys } from '@/api/keys';
import { readFleet } from '@/api/reads';
import type { Fleet } from '@/api/types';
import { REFRESH_MS } from '@/app/query_client';
import { en } from '@/text/en';
import { useAddress } from '@/ui/address';
import { Button } from '@/ui/button';
import { Nothing, Pending } from '@/ui/trouble';
import { matcherFor, stateAt } from './fleet_words';
import { cellAt, type Direction, layoutOf, neighbour, vmAt } from './layout';
import { Legend } from './legend';
import { PointedAt } from './pointed_at';
import { useCanvas, useWidth } from './use_canvas';

const ARROWS: Record<string, Direction> = {
  ArrowLeft: 'left',
  ArrowRight: 'right',
  ArrowUp: 'up',
  ArrowDown: 'down',
};

export function FleetMap({ query, onTable }: { query: FleetQuery; onTable: () => void }) {
  const fleet = useQuery({
    queryKey: keys.fleet,
    queryFn: readFleet,
    refetchInterval: REFRESH_MS,
    // Ten thousand entries are compared more slowly than they are drawn.
    structuralSharing: false,
  });
  if (fleet.data === undefined) return <Pending query={fleet} rows={10} />;
  if (fleet.data.ids.length === 0)
    return <Nothing title={en.fleet.noVms} next={en.fleet.noVmsNext} />;
  return (
    <div className="flex flex-col gap-3">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-1">
        <Legend />
        <span className="flex-1" />
        <Button weight="quiet" onClick={onTable}>
          {en.fleet.mapAsTable}
        </Button>
      </div>
      {query.labels.length > 0 && <p className="text-sm text-soft">{en.fleet.mapLabels}</p>}
      <Canvas fleet={fleet.data} query={query} />
    </div>
  );
}

function Canvas({ fleet, query }: { fleet: Fleet; query: FleetQuery }) {
  const { change } = useAddress();
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  // Where the VMs stand changes only with the fleet's members, not with their states.
  const shape = `${fleet.ids.length} ${fleet.ids[0]} ${fleet.ids.at(-1)} ${fleet.nodes.length} ${width}`;
  // biome-ignore lint/correctness/useExhaustiveDependencies: `shape` stands for the fleet's members
  const layout = useMemo(() => layoutOf(fleet, width), [shape, fleet.node]);
  const matches = useMemo(() => matcherFor(fleet, query), [fleet, query]);
  const canvas = useCanvas(frame, { fleet, layout, matches, width });
  const [pointed, setPointed] = useState<number | null>(null);
  const at = pointed !== null && pointed < fleet.ids.length ? pointed : null;
  const open = (index: number) => change({ vm: `vm_${fleet.ids[index]}` });

  const point = (event: PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    setPointed(vmAt(layout, event.clientX - box.left, event.clientY - box.top));
  };
  const press = (event: KeyboardEvent) => {
    const direction = ARROWS[event.key];
    if (direction !== undefined) {
      event.preventDefault();
      const next = at === null ? firstUnhealthy(fleet) : neighbour(layout, at, direction);
      setPointed(next);
      scrollTo(frame.current, layout, next);
    } else if (event.key === 'Enter' && at !== null) open(at);
    else if (event.key === 'Escape') setPointed(null);
  };

  return (
    <div className="panel p-3">
      <div
        ref={frame}
        role="listbox"
        tabIndex={0}
        aria-label={en.fleet.mapLabel(fleet.ids.length)}
        aria-activedescendant={at === null ? undefined : 'map-vm'}
        style={{ height: layout.height }}
        className="relative cursor-default"
        onPointerMove={point}
        onPointerLeave={() => setPointed(null)}
        onClick={() => at !== null && open(at)}
        onKeyDown={press}
      >
        <canvas ref={canvas} className="sticky top-24 block" />
        {at !== null && <PointedAt fleet={fleet} layout={layout} index={at} width={width} />}
      </div>
    </div>
  );
}

function firstUnhealthy(fleet: Fleet): number {
  const found = fleet.ids.findIndex((_, index) => stateAt(fleet, index) !== 'healthy');
  return Math.max(0, found);
}

function scrollTo(
  frame: HTMLElement | null,
  layout: ReturnType<typeof layoutOf>,
  index: number,
): void {
  const place = layout.places[index];
  const block = place && layout.blocks[place.block];
  if (!frame || !place || !block) return;
  const y = frame.getBoundingClientRect().top + cellAt(block, place.place).y;
  if (y < 130) window.scrollBy(0, y - 130);
  else if (y > window.innerHeight - 60) window.scrollBy(0, y - window.innerHeight + 60);
}
