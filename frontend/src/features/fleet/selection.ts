/**
 * Which VMs are ticked. Only those that are in sight count: nobody resets what he does not see.
 */
import { useCallback, useMemo, useState } from 'react';
import type { Vm } from '@/api/types';

export type Selection = {
  has: (id: string) => boolean;
  toggle: (id: string) => void;
};

export function useSelection(vms: readonly Vm[]) {
  const [ids, setIds] = useState<ReadonlySet<string>>(new Set());
  const toggle = useCallback(
    (id: string) =>
      setIds((before) => {
        const next = new Set(before);
        if (!next.delete(id)) next.add(id);
        return next;
      }),
    [],
  );
  const none = useCallback(() => setIds(new Set()), []);
  const selection = useMemo<Selection>(() => ({ has: (id) => ids.has(id), toggle }), [ids, toggle]);
  const chosen = useMemo(() => vms.filter((vm) => ids.has(vm.id)), [vms, ids]);
  return { selection, chosen, none };
}
