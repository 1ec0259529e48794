/**
 * What stands in each column of the table, and how wide it is. The columns never change: what cells
 * show beside their VM comes to them apart, so that a row is drawn again only when its VM changes.
 */
import { createColumnHelper, tableFeatures } from '@tanstack/react-table';
import { createContext, useContext } from 'react';
import type { SortField } from '@/api/fleet_query';
import type { Sparkline, Status, Vm } from '@/api/types';
import { en } from '@/text/en';
import { StateBadge } from '@/ui/state_mark';
import { Heartbeat } from './heartbeat';
import { Meter } from './meter';
import type { Selection } from './selection';
import { TickBox } from './tick_box';
import { isSilent, Why } from './why';

export type Thresholds = Status['config'];
type Lines = ReadonlyMap<string, Sparkline>;

/** Widths and what a phone leaves out, by column. */
export const LOOKS: Record<string, { sort?: SortField; className: string }> = {
  choose: { className: 'w-10 max-sm:hidden' },
  state: { sort: 'health', className: 'w-36 max-sm:w-12' },
  hostname: { sort: 'hostname', className: 'w-56 max-sm:w-auto' },
  why: { className: 'max-sm:hidden' },
  node: { sort: 'node', className: 'w-32 max-lg:hidden' },
  vmid: { sort: 'vmid', className: 'w-20 max-lg:hidden' },
  cpu: { sort: 'cpu', className: 'w-44 max-md:hidden' },
  ram: { sort: 'ram', className: 'w-44 max-md:hidden' },
  disk: { className: 'w-32 max-xl:hidden' },
  heartbeat: { sort: 'lastHeartbeat', className: 'w-36' },
};

export const Choosing = createContext<Selection>({ has: () => false, toggle: () => undefined });
export const Opening = createContext<(id: string) => void>(() => undefined);
export const Limits = createContext<Thresholds | undefined>(undefined);
export const LastHour = createContext<Lines>(new Map());

export const features = tableFeatures({});
const helper = createColumnHelper<typeof features, Vm>();

export const COLUMNS = helper.columns([
  helper.display({
    id: 'choose',
    header: () => <span className="sr-only">{en.fleet.chooseColumn}</span>,
    cell: ({ row }) => <Choose vm={row.original} />,
  }),
  helper.display({
    id: 'state',
    header: () => <span className="max-sm:sr-only">{en.fleet.columns.state}</span>,
    cell: ({ row }) => <StateBadge narrow state={row.original.state} />,
  }),
  helper.display({
    id: 'hostname',
    header: en.fleet.columns.hostname,
    cell: ({ row }) => <HostLink vm={row.original} />,
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
    cell: ({ row }) => <CpuMeter vm={row.original} />,
  }),
  helper.display({
    id: 'ram',
    header: en.fleet.columns.ram,
    cell: ({ row }) => <RamMeter vm={row.original} />,
  }),
  helper.display({
    id: 'disk',
    header: en.fleet.columns.disk,
    cell: ({ row }) => <DiskMeter vm={row.original} />,
  }),
  helper.display({
    id: 'heartbeat',
    header: en.fleet.columns.heartbeat,
    cell: ({ row }) => <Heartbeat vm={row.original} />,
  }),
]);

type OfVm = { vm: Vm };

function Choose({ vm }: OfVm) {
  return <TickBox vm={vm} selection={useContext(Choosing)} />;
}

function HostLink({ vm }: OfVm) {
  const open = useContext(Opening);
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

function CpuMeter({ vm }: OfVm) {
  return (
    <Meter
      value={vm.cpuUsage}
      threshold={useContext(Limits)?.cpuThreshold}
      old={isSilent(vm)}
      label={en.fleet.columns.cpu}
      line={useContext(LastHour).get(vm.id)?.cpu ?? null}
    />
  );
}

function RamMeter({ vm }: OfVm) {
  return (
    <Meter
      value={vm.ramPercent}
      threshold={useContext(Limits)?.ramThreshold}
      old={isSilent(vm)}
      label={en.fleet.columns.ram}
      line={useContext(LastHour).get(vm.id)?.ram ?? null}
    />
  );
}

function DiskMeter({ vm }: OfVm) {
  return <Meter value={vm.diskPercent} old={isSilent(vm)} label={en.fleet.columns.disk} />;
}
