/** What can be done with one VM; each opens its dialog. */
import { Eraser, Pause, Play, RotateCw } from 'lucide-react';
import { useState } from 'react';
import type { Vm } from '@/api/types';
import { clearVm, pauseVm, unpauseVm } from '@/api/writes';
import { RoleButton } from '@/features/auth/role_button';
import { enActions } from '@/text/en_actions';
import { ChoiceField } from '@/ui/field';
import { ActionDialog } from './action_dialog';
import { ResetDialog } from './reset_dialog';

type Open = 'reset' | 'pause' | 'unpause' | 'clear' | null;

export function VmActions({ vm }: { vm: Vm }) {
  const [open, setOpen] = useState<Open>(null);
  const close = () => setOpen(null);
  const canClear = vm.resetAttempts > 0 || vm.state === 'reset_failed';
  return (
    <div className="flex flex-wrap gap-2">
      <RoleButton needs="operator" onClick={() => setOpen('reset')}>
        <RotateCw size={14} aria-hidden="true" />
        {enActions.reset.open}
      </RoleButton>
      {vm.paused ? (
        <RoleButton needs="operator" onClick={() => setOpen('unpause')}>
          <Play size={14} aria-hidden="true" />
          {enActions.pause.endOpen}
        </RoleButton>
      ) : (
        <RoleButton needs="operator" onClick={() => setOpen('pause')}>
          <Pause size={14} aria-hidden="true" />
          {enActions.pause.open}
        </RoleButton>
      )}
      {canClear && (
        <RoleButton needs="operator" onClick={() => setOpen('clear')}>
          <Eraser size={14} aria-hidden="true" />
          {enActions.clear.open}
        </RoleButton>
      )}
      {open === 'reset' && <ResetDialog vm={vm} onClose={close} />}
      {open === 'pause' && <PauseDialog vm={vm} onClose={close} />}
      {open === 'unpause' && (
        <ActionDialog
          title={enActions.pause.endTitle(vm.hostname)}
          lead={enActions.pause.endLead}
          submit={enActions.pause.endSubmit}
          act={(reason) => unpauseVm(vm.id, reason)}
          onClose={close}
        />
      )}
      {open === 'clear' && (
        <ActionDialog
          title={enActions.clear.title(vm.hostname)}
          lead={enActions.clear.lead}
          submit={enActions.clear.submit}
          act={(reason) => clearVm(vm.id, reason)}
          onClose={close}
        />
      )}
    </div>
  );
}

const USUAL_MINUTES = '60';

function PauseDialog({ vm, onClose }: { vm: Vm; onClose: () => void }) {
  const [minutes, setMinutes] = useState(USUAL_MINUTES);
  return (
    <ActionDialog
      title={enActions.pause.title(vm.hostname)}
      lead={enActions.pause.lead}
      submit={enActions.pause.submit}
      act={(reason) => pauseVm(vm.id, reason, minutes === '' ? null : Number(minutes))}
      onClose={onClose}
    >
      <ChoiceField
        label={enActions.pause.end}
        hint={minutes === '' ? enActions.pause.openEnd : undefined}
        value={minutes}
        // The shortest first; an object would put the numbers before the open end by itself.
        options={enActions.pause.ends}
        onChange={setMinutes}
      />
    </ActionDialog>
  );
}
