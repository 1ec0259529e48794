/** A VM as a page of its own. */
import { VmDetails } from './vm_details';

export function VmPage({ id }: { id: string }) {
  return <VmDetails id={id} />;
}
