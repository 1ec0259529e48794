/** Every reset of a VM: what was asked, what Proxmox said, and whether it helped. */
import { useQuery } from '@tanstack/react-query';
import clsx from 'clsx';
import { keys } from '@/api/keys';
import { readResets } from '@/api/reads';
import type { Reset } from '@/api/types';
import { REFRESH_MS } from '@/app/query_client';
import { enVm } from '@/text/en_vm';
import { DataTable } from '@/ui/data_table';
import { Moment } from '@/ui/moment';
import { durationText } from '@/ui/time';
import { Pending } from '@/ui/trouble';

const words = enVm.resets;

export function Resets({ id }: { id: string }) {
  const resets = useQuery({
    queryKey: keys.vmResets(id),
    queryFn: ({ signal }) => readResets(id, { signal }),
    refetchInterval: REFRESH_MS,
  });
  if (resets.data === undefined) return <Pending query={resets} rows={3} />;
  return (
    <DataTable
      label={words.title}
      empty={words.none}
      columns={[words.at, words.outcome, words.proven, words.by, words.reason, words.proxmox]}
      rows={resets.data.map((reset) => ({
        key: reset.id,
        cells: [
          <Moment key="at" at={reset.timestamp} />,
          <Phase key="phase" reset={reset} />,
          provenText(reset),
          <span key="by">
            {reset.actor} <span className="text-soft">({words.sources[reset.source]})</span>
          </span>,
          <span key="reason" className="break-words">
            {reset.reason}
          </span>,
          <Proxmox key="proxmox" reset={reset} />,
        ],
      }))}
    />
  );
}

const COLOURS: Partial<Record<Reset['phase'], string>> = {
  succeeded: 'text-healthy',
  failed: 'text-down',
  unknown: 'text-warning',
  cancelled: 'text-soft',
  dry_run: 'text-soft',
};

function Phase({ reset }: { reset: Reset }) {
  const which =
    reset.source === 'auto' && reset.attempt > 0 ? words.attempt(reset.attempt) : words.manual;
  return (
    <span className="whitespace-nowrap">
      <span className={clsx('font-medium', COLOURS[reset.phase] ?? 'text-pending')}>
        {words.phases[reset.phase]}
      </span>
      <br />
      <span className="text-soft">
        {words.actions[reset.action]}, {which}
      </span>
    </span>
  );
}

export function provenText(reset: Reset): string {
  if (reset.sentAt === null) return '–';
  if (reset.recoveredAt === null) return words.notProven;
  const seconds = (Date.parse(reset.recoveredAt) - Date.parse(reset.sentAt)) / 1000;
  return words.provenAfter(durationText(seconds));
}

function Proxmox({ reset }: { reset: Reset }) {
  const exit = reset.proxmoxResponse?.exitstatus;
  return (
    <div className="max-w-80 min-w-48 text-soft">
      {reset.error !== null && <p className="break-words text-text">{reset.error}</p>}
      {typeof exit === 'string' && <p className="break-words">{exit}</p>}
      {reset.upid !== null && (
        <p className="truncate font-mono text-xs" title={reset.upid}>
          {reset.upid}
        </p>
      )}
    </div>
  );
}
