/** All that is known of one VM. */
import { useQuery } from '@tanstack/react-query';
import { Failure } from '@/api/failure';
import { keys } from '@/api/keys';
import { readVm } from '@/api/reads';
import { REFRESH_MS } from '@/app/query_client';
import { en } from '@/text/en';
import { StateBadge } from '@/ui/state_mark';
import { FailureNote, Loading, Nothing } from '@/ui/trouble';

export function VmDetails({ id }: { id: string }) {
  const vm = useQuery({
    queryKey: keys.vmNow(id),
    queryFn: ({ signal }) => readVm(id, { signal }),
    refetchInterval: REFRESH_MS,
  });
  if (vm.error instanceof Failure && vm.error.kind === 'notFound')
    return <Nothing title={en.vm.gone} next={en.vm.goneNext} />;
  if (vm.data === undefined)
    return vm.isError ? (
      <FailureNote error={vm.error} onRetry={() => void vm.refetch()} />
    ) : (
      <Loading />
    );
  return (
    <div className="flex items-center gap-3">
      <h2 className="text-lg font-semibold break-all">{vm.data.hostname}</h2>
      <StateBadge state={vm.data.state} />
    </div>
  );
}
