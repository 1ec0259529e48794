/** A VM as a page of its own. */
import { Link } from 'wouter';
import { en } from '@/text/en';
import { useVm, VmDetails } from './vm_details';

export function VmPage({ id }: { id: string }) {
  const vm = useVm(id);
  return (
    <article className="flex flex-col gap-3">
      <Link href="/" className="w-fit text-sm text-accent hover:underline">
        ← {en.vm.back}
      </Link>
      <h1 className="text-lg font-semibold break-all">{vm.data?.hostname ?? id}</h1>
      <VmDetails id={id} />
    </article>
  );
}
