/** A VM over the fleet. Its address is the fleet's with `vm=`, so Back closes it. */
import { ChevronLeft, ChevronRight, Maximize2 } from 'lucide-react';
import type { Vm } from '@/api/types';
import { en } from '@/text/en';
import { enVm } from '@/text/en_vm';
import { useAddress } from '@/ui/address';
import { IconButton } from '@/ui/button';
import { Modal } from '@/ui/modal';
import { useVm, VmDetails } from './vm_details';

/** `siblings` are the VMs of the list behind it, for previous and next. */
export function VmModal({ id, siblings }: { id: string; siblings: readonly Vm[] }) {
  const { change, navigate } = useAddress();
  const vm = useVm(id);
  const known = siblings.find((one) => one.id === id);
  const hostname = vm.data?.hostname ?? known?.hostname ?? id;
  return (
    <Modal
      size="wide"
      title={<span className="break-all">{hostname}</span>}
      description={en.vm.details(hostname)}
      closeLabel={en.vm.close}
      onClose={() => change({ vm: null, tab: null, range: null })}
      tools={
        <span className="-my-1 flex">
          <Turn to={neighbour(siblings, id, -1)} label={enVm.previous} Sign={ChevronLeft} />
          <Turn to={neighbour(siblings, id, 1)} label={enVm.next} Sign={ChevronRight} />
          <IconButton label={en.vm.openPage} onClick={() => navigate(`/vm/${id}`)}>
            <Maximize2 size={15} />
          </IconButton>
        </span>
      }
    >
      <VmDetails key={id} id={id} />
    </Modal>
  );
}

export function neighbour(siblings: readonly Vm[], id: string, step: -1 | 1): Vm | null {
  const here = siblings.findIndex((one) => one.id === id);
  return here === -1 ? null : (siblings[here + step] ?? null);
}

function Turn({ to, label, Sign }: { to: Vm | null; label: string; Sign: typeof ChevronLeft }) {
  const { change } = useAddress();
  return (
    <IconButton
      label={label}
      disabled={to === null}
      // Not a step of its own for Back, which closes the details.
      onClick={() => to !== null && change({ vm: to.id }, { replace: true })}
    >
      <Sign size={18} />
    </IconButton>
  );
}
