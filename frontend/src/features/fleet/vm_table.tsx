/** The fleet as rows. Only the rows in sight are in the document. */
import { FlexRender, type Row, useTable } from '@tanstack/react-table';
import { useWindowVirtualizer } from '@tanstack/react-virtual';
import clsx from 'clsx';
import { ArrowDown, ArrowUp } from 'lucide-react';
import { type KeyboardEvent, memo, useLayoutEffect, useRef, useState } from 'react';
import type { Sort } from '@/api/fleet_query';
import type { Sparkline, Vm } from '@/api/types';
import { useAddress } from '@/ui/address';
import type { Selection } from './selection';
import { useForesight } from './use_fleet';
import {
  Choosing,
  COLUMNS,
  features,
  LastHour,
  Limits,
  LOOKS,
  Opening,
  type Thresholds,
} from './vm_columns';

const ROW_PX = 38;
/** Rows beyond the edge: as much as a turn of the wheel brings into sight. */
const ROWS_BEYOND = 8;

type Props = {
  vms: Vm[];
  sort: Sort;
  selection: Selection;
  lines: ReadonlyMap<string, Sparkline>;
  thresholds?: Thresholds | undefined;
};

export function VmTable({ vms, sort, selection, lines, thresholds }: Props) {
  const { change } = useAddress();
  const [open] = useState(() => (id: string) => change({ vm: id }));
  return (
    <Choosing value={selection}>
      <Opening value={open}>
        <Limits value={thresholds}>
          <LastHour value={lines}>
            <Rows vms={vms} sort={sort} open={open} />
          </LastHour>
        </Limits>
      </Opening>
    </Choosing>
  );
}

type RowsProps = { vms: Vm[]; sort: Sort; open: (id: string) => void };

/** Drawn again for another list, another order, or another place of the window: nothing else. */
const Rows = memo(function Rows({ vms, sort, open }: RowsProps) {
  const table = useTable({ features, columns: COLUMNS, data: vms, getRowId: (vm) => vm.id });
  const { rows } = table.getRowModel();
  const body = useRef<HTMLTableSectionElement>(null);
  const [offset, setOffset] = useState(0);
  useLayoutEffect(() => {
    const top = body.current?.getBoundingClientRect().top ?? 0;
    setOffset(top + window.scrollY);
  }, []);
  const virtual = useWindowVirtualizer({
    count: rows.length,
    estimateSize: () => ROW_PX,
    overscan: ROWS_BEYOND,
    scrollMargin: offset,
  });
  const inSight = virtual.getVirtualItems();
  const above = (inSight[0]?.start ?? offset) - offset;
  const below = virtual.getTotalSize() - ((inSight.at(-1)?.end ?? offset) - offset);
  return (
    <div className="panel overflow-clip">
      <table className="w-full table-fixed border-collapse" aria-rowcount={rows.length + 1}>
        <thead>
          {table.getHeaderGroups().map((group) => (
            <tr key={group.id} className="border-b border-line text-left text-xs text-soft">
              {group.headers.map((header) => (
                <Head key={header.id} id={header.id} sort={sort}>
                  <FlexRender header={header} />
                </Head>
              ))}
            </tr>
          ))}
        </thead>
        <tbody ref={body} onKeyDown={moveByArrows}>
          <Space px={above} />
          {inSight.map(({ index }) => {
            const row = rows[index];
            return row && <OneRow key={row.id} row={row} place={index + 2} open={open} />;
          })}
          <Space px={below} />
        </tbody>
      </table>
    </div>
  );
});

type OneRowProps = { row: Row<typeof features, Vm>; place: number; open: (id: string) => void };

const OneRow = memo(
  function OneRow({ row, place, open }: OneRowProps) {
    return (
      <tr
        aria-rowindex={place}
        onClick={(event) => opens(event) && open(row.id)}
        className="h-[38px] cursor-pointer border-b border-line last:border-b-0 hover:bg-raised"
      >
        {row.getAllCells().map((cell) => (
          <td key={cell.id} className={clsx('truncate px-3', LOOKS[cell.column.id]?.className)}>
            <FlexRender cell={cell} />
          </td>
        ))}
      </tr>
    );
  },
  // The table makes new rows for each answer; the VM in one is the same until it changes.
  (before, now) =>
    before.row.original === now.row.original &&
    before.place === now.place &&
    before.open === now.open,
);

function Space({ px }: { px: number }) {
  if (px <= 0) return null;
  return (
    <tr>
      <td colSpan={10} style={{ height: px, padding: 0 }} />
    </tr>
  );
}

function Head({ id, sort, children }: { id: string; sort: Sort; children: React.ReactNode }) {
  const { change } = useAddress();
  const foresee = useForesight();
  const look = LOOKS[id];
  const field = look?.sort;
  if (field === undefined)
    return <th className={clsx('px-3 py-2 font-medium', look?.className)}>{children}</th>;
  const ascending = sort === field;
  const descending = sort === `-${field}`;
  const next = ascending ? (`-${field}` as const) : field;
  const order = { sort: next === 'health' ? null : next, cursor: null, page: null };
  return (
    <th
      aria-sort={ascending ? 'ascending' : descending ? 'descending' : 'none'}
      className={clsx('px-3 py-2 font-medium', look?.className)}
    >
      <button
        type="button"
        onPointerDown={() => foresee(order)}
        onClick={() => {
          foresee(order);
          change(order);
        }}
        className={clsx(
          'inline-flex items-center gap-1 font-medium hover:text-text',
          (ascending || descending) && 'text-text',
        )}
      >
        {children}
        {ascending && <ArrowUp size={12} aria-hidden="true" />}
        {descending && <ArrowDown size={12} aria-hidden="true" />}
      </button>
    </th>
  );
}

/** A click opens the row, but not one that ends the marking of text. */
function opens(event: React.MouseEvent): boolean {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return false;
  return window.getSelection()?.isCollapsed ?? true;
}

/** Up and down go from host name to host name. */
function moveByArrows(event: KeyboardEvent<HTMLElement>): void {
  if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
  const links = [...event.currentTarget.querySelectorAll<HTMLAnchorElement>('[data-row-link]')];
  const here = links.indexOf(document.activeElement as HTMLAnchorElement);
  const next = links[here + (event.key === 'ArrowDown' ? 1 : -1)];
  if (here === -1 || next === undefined) return;
  event.preventDefault();
  next.focus();
}
