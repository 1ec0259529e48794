/** The fleet as rows. Only the rows in sight are in the document. */
import { createColumnHelper, tableFeatures, useTable } from '@tanstack/react-table';
import { useWindowVirtualizer } from '@tanstack/react-virtual';
import clsx from 'clsx';
import { ArrowDown, ArrowUp } from 'lucide-react';
import { type KeyboardEvent, useLayoutEffect, useMemo, useRef, useState } from 'react';
import type { Sort, SortField } from '@/api/fleet_query';
import type { Sparkline, Status, Vm } from '@/api/types';
import { en } from '@/text/en';
import { useAddress } from '@/ui/address';
import { Ago } from '@/ui/moment';
import { StateBadge } from '@/ui/state_mark';
import { Meter } from './meter';
import type { Selection } from './selection';
import { TickBox } from './tick_box';
import { isSilent, Why } from './why';

export type Thresholds = Status['config'];

const ROW_PX = 38;

type Look = { sort?: SortField; className: string };

/** Widths and what a phone leaves out, by column. */
const LOOKS: Record<string, Look> = {
  choose: { className: 'w-10 max-sm:hidden' },
  state: { sort: 'health', className: 'w-36 max-sm:w-10' },
  hostname: { sort: 'hostname', className: 'w-56 max-sm:w-auto' },
  why: { className: 'max-sm:hidden' },
  node: { sort: 'node', className: 'w-32 max-lg:hidden' },
  vmid: { sort: 'vmid', className: 'w-20 max-lg:hidden' },
  cpu: { sort: 'cpu', className: 'w-44 max-md:hidden' },
  ram: { sort: 'ram', className: 'w-44 max-md:hidden' },
  disk: { className: 'w-32 max-xl:hidden' },
  heartbeat: { sort: 'lastHeartbeat', className: 'w-36 max-sm:w-24' },
};

const features = tableFeatures({});
const helper = createColumnHelper<typeof features, Vm>();

function columnsFor(
  thresholds: Thresholds | undefined,
  selection: Selection,
  lines: ReadonlyMap<string, Sparkline>,
  open: (id: string) => void,
) {
  return helper.columns([
    helper.display({
      id: 'choose',
      header: () => <span className="sr-only">{en.fleet.chooseColumn}</span>,
      cell: ({ row }) => <TickBox vm={row.original} selection={selection} />,
    }),
    helper.display({
      id: 'state',
      header: en.fleet.columns.state,
      cell: ({ row }) => <NarrowState vm={row.original} />,
    }),
    helper.display({
      id: 'hostname',
      header: en.fleet.columns.hostname,
      cell: ({ row }) => <HostLink vm={row.original} open={open} />,
    }),
    helper.display({
      id: 'why',
      header: en.fleet.columns.why,
      cell: ({ row }) => <Why vm={row.original} />,
    }),
    helper.display({
      id: 'node',
      header: en.fleet.columns.node,
      cell: ({ row }) => row.original.node ?? <span className="text-soft">–</span>,
    }),
    helper.display({
      id: 'vmid',
      header: en.fleet.columns.vmid,
      cell: ({ row }) => row.original.vmid,
    }),
    helper.display({
      id: 'cpu',
      header: en.fleet.columns.cpu,
      cell: ({ row }) => (
        <Meter
          value={row.original.cpuUsage}
          threshold={thresholds?.cpuThreshold}
          old={isSilent(row.original)}
          label={en.fleet.columns.cpu}
          line={lines.get(row.id)?.cpu}
        />
      ),
    }),
    helper.display({
      id: 'ram',
      header: en.fleet.columns.ram,
      cell: ({ row }) => (
        <Meter
          value={row.original.ramPercent}
          threshold={thresholds?.ramThreshold}
          old={isSilent(row.original)}
          label={en.fleet.columns.ram}
          line={lines.get(row.id)?.ram}
        />
      ),
    }),
    helper.display({
      id: 'disk',
      header: en.fleet.columns.disk,
      cell: ({ row }) => (
        <Meter
          value={row.original.diskPercent}
          old={isSilent(row.original)}
          label={en.fleet.columns.disk}
        />
      ),
    }),
    helper.display({
      id: 'heartbeat',
      header: en.fleet.columns.heartbeat,
      cell: ({ row }) => <Heartbeat vm={row.original} />,
    }),
  ]);
}

export function VmTable({
  vms,
  sort,
  selection,
  lines,
  thresholds,
}: {
  vms: Vm[];
  sort: Sort;
  selection: Selection;
  lines: ReadonlyMap<string, Sparkline>;
  thresholds?: Thresholds | undefined;
}) {
  const { change } = useAddress();
  const [open] = useState(() => (id: string) => change({ vm: id }));
  const columns = useMemo(
    () => columnsFor(thresholds, selection, lines, open),
    [thresholds, selection, lines, open],
  );
  const table = useTable({ features, columns, data: vms, getRowId: (vm) => vm.id });
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
    overscan: 12,
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
                  <table.FlexRender header={header} />
                </Head>
              ))}
            </tr>
          ))}
        </thead>
        <tbody ref={body} onKeyDown={moveByArrows}>
          <Space px={above} />
          {inSight.map(({ index }) => {
            const row = rows[index];
            if (row === undefined) return null;
            return (
              <tr
                key={row.id}
                aria-rowindex={index + 2}
                onClick={(event) => opens(event) && open(row.id)}
                className="h-[38px] cursor-pointer border-b border-line last:border-b-0 hover:bg-raised"
              >
                {row.getAllCells().map((cell) => (
                  <td
                    key={cell.id}
                    className={clsx('truncate px-3', LOOKS[cell.column.id]?.className)}
                  >
                    <table.FlexRender cell={cell} />
                  </td>
                ))}
              </tr>
            );
          })}
          <Space px={below} />
        </tbody>
      </table>
    </div>
  );
}

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
  const look = LOOKS[id];
  const field = look?.sort;
  if (field === undefined)
    return <th className={clsx('px-3 py-2 font-medium', look?.className)}>{children}</th>;
  const ascending = sort === field;
  const descending = sort === `-${field}`;
  const next = ascending ? `-${field}` : field;
  return (
    <th
      aria-sort={ascending ? 'ascending' : descending ? 'descending' : 'none'}
      className={clsx('px-3 py-2 font-medium', look?.className)}
    >
      <button
        type="button"
        onClick={() => change({ sort: next === 'health' ? null : next, cursor: null, page: null })}
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

function NarrowState({ vm }: { vm: Vm }) {
  return (
    <span className="max-sm:[&_span]:text-[0px]">
      <StateBadge state={vm.state} />
    </span>
  );
}

function HostLink({ vm, open }: { vm: Vm; open: (id: string) => void }) {
  return (
    <a
      href={`?vm=${vm.id}`}
      data-row-link
      title={vm.hostname}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey) return;
        event.preventDefault();
        event.stopPropagation();
        open(vm.id);
      }}
      className="font-medium hover:underline"
    >
      {vm.hostname}
    </a>
  );
}

export function Heartbeat({ vm }: { vm: Vm }) {
  if (vm.lastHeartbeat === null) return <span className="text-soft">{en.time.never}</span>;
  return (
    <span className={clsx(isSilent(vm) && 'font-medium text-down')}>
      <Ago at={vm.lastHeartbeat} />
    </span>
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
