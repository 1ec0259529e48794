/** A VM over the fleet. Its address is the fleet's with `vm=`, so Back closes it. */
import type { Vm } from '@/api/types';
import { en } from '@/text/en';
import { useAddress } from '@/ui/address';
import { Modal } from '@/ui/modal';
import { VmDetails } from './vm_details';

/** `siblings` are the VMs of the list behind it, for previous and next. */
export function VmModal({ id }: { id: string; siblings: readonly Vm[] }) {
  const { change } = useAddress();
  return (
    <Modal
      size="wide"
      title={en.vm.details(id)}
      closeLabel={en.vm.close}
      onClose={() => change({ vm: null, tab: null, range: null })}
    >
      <VmDetails id={id} />
    </Modal>
  );
}
