/** When a VM was last heard of. */
import clsx from 'clsx';
import type { Vm } from '@/api/types';
import { en } from '@/text/en';
import { Ago } from '@/ui/moment';
import { isSilent } from './why';

export function Heartbeat({ vm }: { vm: Vm }) {
  if (vm.lastHeartbeat === null) return <span className="text-soft">{en.time.never}</span>;
  return (
    <span className={clsx(isSilent(vm) && 'font-medium text-down')}>
      <Ago at={vm.lastHeartbeat} />
    </span>
  );
}
