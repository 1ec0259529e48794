/** How a VM comes into the fleet: a command to paste. */
import { en } from '@/text/en';
import { Modal } from '@/ui/modal';

export function AddVm({ onClose }: { onClose: () => void }) {
  return (
    <Modal title={en.addVm.title} closeLabel={en.addVm.close} onClose={onClose}>
      <p>{en.addVm.lead}</p>
    </Modal>
  );
}
