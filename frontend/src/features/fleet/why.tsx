/** Why a VM is as it is, in the fewest words: the hold's code is the same everywhere in Defib. */
import { Ban } from 'lucide-react';
import type { Vm } from '@/api/types';
import { en } from '@/text/en';
import { CloneFlag, PausedFlag, ResetPendingFlag } from '@/ui/flags';

export function Why({ vm }: { vm: Vm }) {
  // Most VMs are well, and a table has hundreds of them.
  if (!vm.resetPending && !vm.paused && !vm.cloneSuspected && vm.holdReason === null) return null;
  return (
    <span className="flex min-w-0 items-center gap-1.5">
      {vm.resetPending && <ResetPendingFlag />}
      {vm.paused && <PausedFlag />}
      {vm.cloneSuspected && <CloneFlag />}
      {vm.holdReason !== null && !vm.resetPending && vm.holdReason !== 'Paused' && (
        <span
          className="inline-flex min-w-0 items-center gap-1 text-sm"
          title={vm.holdMessage ?? en.flag.held(vm.holdReason)}
        >
          <Ban size={13} className="shrink-0 text-soft" aria-hidden="true" />
          <span className="shrink-0 font-medium">{vm.holdReason}</span>
          <span className="truncate text-soft">{vm.holdMessage}</span>
        </span>
      )}
    </span>
  );
}

/** Whether its figures are from before it fell silent. */
export function isSilent(vm: Vm): boolean {
  return vm.state === 'down' || vm.state === 'reset_failed';
}
