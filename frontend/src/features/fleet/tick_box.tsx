/** The box that chooses a VM for what is done with several at once. */
import type { Vm } from '@/api/types';
import { useMay } from '@/features/auth/who';
import { en } from '@/text/en';
import type { Selection } from './selection';

export function TickBox({ vm, selection }: { vm: Vm; selection: Selection }) {
  const may = useMay('operator');
  return (
    // The whole cell is the box's: a click beside it must not open the VM.
    // biome-ignore lint/a11y/noStaticElementInteractions: it only keeps clicks from what is around
    // biome-ignore lint/a11y/useKeyWithClickEvents: the box itself takes the keys
    <span className="relative z-10 flex items-center" onClick={(event) => event.stopPropagation()}>
      <input
        type="checkbox"
        aria-label={en.fleet.choose(vm.hostname)}
        title={may ? undefined : en.role.needs(en.role.names.operator)}
        disabled={!may}
        checked={selection.has(vm.id)}
        onChange={() => selection.toggle(vm.id)}
        className="size-4 accent-(--c-accent)"
      />
    </span>
  );
}
