/** From page to page. The way back is remembered while the page is open. */
import { ChevronLeft, ChevronRight, ChevronsLeft } from 'lucide-react';
import { type FleetQuery, paramsOf } from '@/api/fleet_query';
import type { VmPage } from '@/api/types';
import { en } from '@/text/en';
import { IconButton } from '@/ui/button';
import { PAGE_SIZE, useForesight } from './use_fleet';

/** The cursor of each page seen, by what was asked for: cursors only lead forward. */
const seen = new Map<string, (string | null)[]>();

type Props = {
  data: VmPage;
  page: number;
  query: FleetQuery;
  turn: (cursor: string | null, page: number) => void;
};

export function Pager({ data, page, query, turn }: Props) {
  const foresee = useForesight();
  const path = cursorsOf(query);
  path[page] = query.cursor;
  const from = (page - 1) * PAGE_SIZE + 1;
  const before = page > 2 ? path[page - 1] : null;
  return (
    <div className="flex items-center justify-end gap-1 text-soft">
      <span className="mr-2" aria-live="polite" data-total={data.total}>
        {en.fleet.shown(from, from + data.items.length - 1, data.total)}
      </span>
      <IconButton label={en.fleet.first} disabled={page === 1} onClick={() => turn(null, 1)}>
        <ChevronsLeft size={17} />
      </IconButton>
      <IconButton
        label={en.fleet.previous}
        // Who came by a link knows no way back but to the first page.
        disabled={page === 1 || before === undefined}
        onClick={() => turn(before ?? null, page - 1)}
      >
        <ChevronLeft size={17} />
      </IconButton>
      <IconButton
        label={en.fleet.next}
        disabled={data.nextCursor === null}
        onPointerDown={() => foresee({ cursor: data.nextCursor })}
        onClick={() => turn(data.nextCursor, page + 1)}
      >
        <ChevronRight size={17} />
      </IconButton>
    </div>
  );
}

function cursorsOf(query: FleetQuery): (string | null)[] {
  const key = paramsOf({ ...query, cursor: null }).toString();
  const known = seen.get(key) ?? [];
  seen.set(key, known);
  return known;
}
