/** The fleet as cards, for small ones: all of a VM at a glance. */
import clsx from 'clsx';
import { type KeyboardEvent, memo, useState } from 'react';
import type { Sort } from '@/api/fleet_query';
import type { Sparkline, Vm } from '@/api/types';
import { en } from '@/text/en';
import { useAddress } from '@/ui/address';
import { StateBadge } from '@/ui/state_mark';
import { Heartbeat } from './heartbeat';
import { Meter } from './meter';
import type { Selection } from './selection';
import { TickBox } from './tick_box';
import type { Thresholds } from './vm_columns';
import { isSilent, Why } from './why';

const EDGES: Record<Vm['state'], string> = {
  healthy: 'border-l-line-strong',
  warning: 'border-l-warning',
  down: 'border-l-down',
  unknown: 'border-l-unknown',
  reset_failed: 'border-l-reset-failed',
};

export function VmCards({
  vms,
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
  return (
    <ul
      className="grid grid-cols-[repeat(auto-fill,minmax(min(100%,280px),1fr))] gap-3"
      onKeyDown={moveByArrows}
    >
      {vms.map((vm) => (
        <Card key={vm.id} {...{ vm, selection, thresholds, open }} line={lines.get(vm.id)} />
      ))}
    </ul>
  );
}

type CardProps = {
  vm: Vm;
  selection: Selection;
  line: Sparkline | undefined;
  thresholds: Thresholds | undefined;
  open: (id: string) => void;
};

const Card = memo(function Card({ vm, selection, line, thresholds, open }: CardProps) {
  const silent = isSilent(vm);
  return (
    <li
      className={clsx(
        'panel relative flex min-w-0 flex-col gap-2 border-l-4 p-3 hover:border-line-strong',
        EDGES[vm.state],
      )}
    >
      <div className="flex items-center gap-2">
        <TickBox vm={vm} selection={selection} />
        <a
          href={`?vm=${vm.id}`}
          data-row-link
          title={vm.hostname}
          onClick={(event) => {
            if (event.metaKey || event.ctrlKey || event.shiftKey) return;
            event.preventDefault();
            open(vm.id);
          }}
          // The whole card is the link's area.
          className="min-w-0 flex-1 truncate font-semibold after:absolute after:inset-0"
        >
          {vm.hostname}
        </a>
        <span className="shrink-0 text-xs text-soft">
          {vm.vmid}
          {vm.node !== null && ` · ${vm.node}`}
        </span>
      </div>
      <div className="flex items-center justify-between gap-2">
        <StateBadge state={vm.state} />
        <span className="text-sm text-soft">
          <Heartbeat vm={vm} />
        </span>
      </div>
      <dl className="grid grid-cols-[2.5rem_1fr] items-center gap-x-2 text-sm">
        <dt className="text-soft">{en.fleet.columns.cpu}</dt>
        <dd>
          <Meter
            value={vm.cpuUsage}
            threshold={thresholds?.cpuThreshold}
            old={silent}
            label={en.fleet.columns.cpu}
            line={line?.cpu}
          />
        </dd>
        <dt className="text-soft">{en.fleet.columns.ram}</dt>
        <dd>
          <Meter
            value={vm.ramPercent}
            threshold={thresholds?.ramThreshold}
            old={silent}
            label={en.fleet.columns.ram}
            line={line?.ram}
          />
        </dd>
      </dl>
      <div className="min-h-5">
        <Why vm={vm} />
      </div>
    </li>
  );
});

/** Left and right go from card to card, up and down from row to row. */
function moveByArrows(event: KeyboardEvent<HTMLElement>): void {
  const links = [...event.currentTarget.querySelectorAll<HTMLAnchorElement>('[data-row-link]')];
  const here = links.indexOf(document.activeElement as HTMLAnchorElement);
  if (here === -1) return;
  const columns = getComputedStyle(event.currentTarget).gridTemplateColumns.split(' ').length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
  const next = step === undefined ? undefined : links[here + step];
  if (next === undefined) return;
  event.preventDefault();
  next.focus();
}
