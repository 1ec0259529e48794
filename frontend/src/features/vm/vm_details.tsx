/** All that is known of one VM: how it is, why it is treated so, its past, and what one can do. */
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { Failure } from '@/api/failure';
import { keys } from '@/api/keys';
import { readStatus, readVm } from '@/api/reads';
import type { Vm } from '@/api/types';
import { REFRESH_MS } from '@/app/query_client';
import { VmActions } from '@/features/actions/vm_actions';
import { en } from '@/text/en';
import { enVm } from '@/text/en_vm';
import { useAddress } from '@/ui/address';
import { Choice } from '@/ui/choice';
import { CloneFlag, PausedFlag, ResetPendingFlag } from '@/ui/flags';
import { Ago } from '@/ui/moment';
import { StateBadge } from '@/ui/state_mark';
import { Nothing, Pending } from '@/ui/trouble';
import { Charts } from './charts';
import { Holds } from './holds';
import { Figures, Identity } from './identity';
import { Resets } from './resets';
import { StateBand } from './state_band';
import { WhyPanel } from './why_panel';

export function useVm(id: string) {
  return useQuery({
    queryKey: keys.vmNow(id),
    queryFn: ({ signal }) => readVm(id, { signal }),
    refetchInterval: (query) => (isGone(query.state.error) ? false : REFRESH_MS),
  });
}

export function isGone(error: unknown): boolean {
  return error instanceof Failure && error.kind === 'notFound';
}

export function VmDetails({ id }: { id: string }) {
  const vm = useVm(id);
  // What was loaded before is not shown for a VM that is gone: nobody is to act on it.
  if (isGone(vm.error))
    return (
      <Nothing title={en.vm.gone} next={en.vm.goneNext}>
        <a className="text-accent underline" href="/">
          {en.vm.back}
        </a>
      </Nothing>
    );
  if (vm.data === undefined) return <Pending query={vm} />;
  return <Details vm={vm.data} />;
}

function Details({ vm }: { vm: Vm }) {
  const [hours, setHours] = useRange();
  const status = useQuery({ queryKey: keys.status, queryFn: readStatus });
  return (
    <div className="flex flex-col gap-5">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <StateBadge state={vm.state} />
        <span className="text-sm text-soft">
          {en.fleet.since} <Ago at={vm.stateSince} />
        </span>
        {vm.resetPending && <ResetPendingFlag />}
        {vm.paused && <PausedFlag />}
        {vm.cloneSuspected && <CloneFlag />}
        <span className="flex-1" />
        <VmActions vm={vm} />
      </div>
      <WhyPanel id={vm.id} />
      <div className="grid gap-5 md:grid-cols-2">
        <Identity vm={vm} />
        <Figures vm={vm} thresholds={status.data?.config} />
      </div>
      <Part
        title={enVm.charts.title}
        tools={
          <Choice
            label={enVm.charts.range}
            value={String(hours)}
            options={Object.entries(enVm.charts.ranges)}
            onChange={setHours}
          />
        }
      >
        <StateBand vm={vm} hours={hours} />
        <Charts id={vm.id} hours={hours} />
      </Part>
      <Part title={enVm.resets.title}>
        <Resets id={vm.id} />
      </Part>
      <Part title={enVm.holds.title}>
        <Holds id={vm.id} hours={hours} />
      </Part>
    </div>
  );
}

const USUAL_HOURS = 24;

/** The range of the history, in hours; it stands in the address as `range`. */
function useRange(): [number, (hours: string) => void] {
  const { params, change } = useAddress();
  const asked = params.get('range') ?? '';
  const hours = asked in enVm.charts.ranges ? Number(asked) : USUAL_HOURS;
  const set = (value: string) =>
    change({ range: Number(value) === USUAL_HOURS ? null : value }, { replace: true });
  return [hours, set];
}

function Part({
  title,
  tools,
  children,
}: {
  title: string;
  tools?: ReactNode;
  children: ReactNode;
}) {
  return (
    <section className="flex flex-col gap-3">
      <div className="flex items-center justify-between gap-3 border-b border-line pb-1.5">
        <h3 className="text-base font-semibold">{title}</h3>
        {tools}
      </div>
      {children}
    </section>
  );
}
