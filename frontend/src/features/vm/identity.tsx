/** Which VM this is, and the figures of its last report. */
import type { ReactNode } from 'react';
import type { Vm } from '@/api/types';
import { Meter } from '@/features/fleet/meter';
import { isSilent } from '@/features/fleet/why';
import { enVm } from '@/text/en_vm';
import { Facts } from '@/ui/field';
import { Ago, Moment } from '@/ui/moment';
import { durationText } from '@/ui/time';

export function Identity({ vm }: { vm: Vm }) {
  return <Facts rows={rowsOf(vm)} />;
}

function rowsOf(vm: Vm): (readonly [string, ReactNode])[] {
  const object = vm.name === null ? enVm.noResource : `${vm.namespace}/${vm.name}`;
  const labels = Object.entries(vm.labels).map(([key, value]) => `${key}=${value}`);
  const rows: (readonly [string, ReactNode])[] = [
    [enVm.vmid, vm.vmid],
    [enVm.node, vm.node ?? enVm.unknownNode],
    [enVm.cluster, vm.cluster],
    [enVm.resource, object],
    [
      enVm.lastHeartbeat,
      vm.lastHeartbeat === null ? (
        enVm.neverReported
      ) : (
        <span key="heard">
          <Ago at={vm.lastHeartbeat} />{' '}
          <span className="text-soft">
            (<Moment at={vm.lastHeartbeat} />)
          </span>
        </span>
      ),
    ],
  ];
  if (vm.uptime !== null && !isSilent(vm)) rows.push([enVm.uptime, durationText(vm.uptime)]);
  if (labels.length > 0) rows.push([enVm.labels, labels.join(', ')]);
  if (vm.removedAt !== null)
    rows.push([
      enVm.removed,
      <span key="removed">
        <Moment at={vm.removedAt} />
        <span className="text-soft">: {enVm.removedMeans}</span>
      </span>,
    ]);
  if (vm.paused)
    rows.push([
      enVm.pausedUntil,
      <span key="paused">
        {vm.pausedUntil === null ? enVm.pausedOpen : <Moment at={vm.pausedUntil} />}
        {vm.pausedReason !== null && <span className="text-soft">: {vm.pausedReason}</span>}
      </span>,
    ]);
  return rows;
}

type Thresholds = { cpuThreshold: number; ramThreshold: number } | undefined;

export function Figures({ vm, thresholds }: { vm: Vm; thresholds: Thresholds }) {
  const old = isSilent(vm);
  return (
    <div className="flex flex-col gap-2">
      <h3 className="text-sm text-soft">{old ? enVm.figuresOld : enVm.figures}</h3>
      <dl className="grid grid-cols-[3rem_1fr] items-center gap-x-3 gap-y-1.5">
        <dt>{enVm.cpu}</dt>
        <dd>
          <Meter
            value={vm.cpuUsage}
            threshold={thresholds?.cpuThreshold}
            old={old}
            label={enVm.cpu}
          />
        </dd>
        <dt>{enVm.ram}</dt>
        <dd>
          <Meter
            value={vm.ramPercent}
            threshold={thresholds?.ramThreshold}
            old={old}
            label={enVm.ram}
          />
          <Amount used={vm.ramUsage} total={vm.ramTotal} />
        </dd>
        <dt>{enVm.disk}</dt>
        <dd>
          <Meter value={vm.diskPercent} old={old} label={enVm.disk} />
          <Amount used={vm.diskUsage} total={vm.diskTotal} />
          <Fullest vm={vm} />
        </dd>
      </dl>
    </div>
  );
}

function Amount({ used, total }: { used: number | null; total: number | null }) {
  if (used === null || total === null) return null;
  return (
    <span className="text-xs text-soft">{enVm.ofMiB(amountText(used), amountText(total))}</span>
  );
}

/** The root may be half empty while another mount is full. */
function Fullest({ vm: { worstDiskMount, worstDiskPercent } }: { vm: Vm }) {
  if (worstDiskMount === null || worstDiskPercent === null) return null;
  return (
    <span className="block text-xs break-all text-soft">
      {enVm.fullest(worstDiskMount, Math.round(worstDiskPercent))}
    </span>
  );
}

/** MiB as people say it: `512 MiB`, `4.0 GiB`, `1.2 TiB`. */
export function amountText(mebibytes: number): string {
  if (mebibytes < 1024) return `${mebibytes} MiB`;
  const gibibytes = mebibytes / 1024;
  return gibibytes < 1024 ? `${gibibytes.toFixed(1)} GiB` : `${(gibibytes / 1024).toFixed(1)} TiB`;
}
