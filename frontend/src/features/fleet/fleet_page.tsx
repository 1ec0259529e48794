/** The fleet: what is unhealthy first, in three forms, with what narrows it. */
import { Plus } from 'lucide-react';
import { lazy, Suspense, useRef, useState } from 'react';
import { isFiltered } from '@/api/fleet_query';
import type { Vm } from '@/api/types';
import { BulkBar } from '@/features/actions/bulk_bar';
import { VmModal } from '@/features/vm/vm_modal';
import { en } from '@/text/en';
import { useAddress } from '@/ui/address';
import { Button } from '@/ui/button';
import type { Preferences } from '@/ui/preferences';
import { prefer, usePreferences } from '@/ui/preferences';
import { useShortcuts } from '@/ui/shortcuts';
import { Loading, Nothing, Pending } from '@/ui/trouble';
import { Counters, useCounts } from './counters';
import { Filters } from './filters';
import { Pager } from './pager';
import { type Selection, useSelection } from './selection';
import { useSparklines } from './sparkline';
import { useFleetQuery, useVmPage } from './use_fleet';
import { ViewSwitch } from './view_switch';
import { VmCards } from './vm_cards';
import { VmTable } from './vm_table';

const FleetMap = lazy(async () => ({ default: (await import('./map/fleet_map')).FleetMap }));
const AddVm = lazy(async () => ({ default: (await import('@/features/enrol/add_vm')).AddVm }));

type View = 'cards' | 'table' | 'map';

/** As many cards as one can take in; beyond that rows are quicker to read. */
const MOST_CARDS = 48;

const NOBODY: readonly Vm[] = [];

export function FleetPage() {
  const { params, change } = useAddress();
  const { query, page, ask, turn } = useFleetQuery();
  const list = useVmPage(query);
  const view = useView(params.get('view'), list.data?.total);
  const { selection, chosen, none } = useSelection(list.data?.items ?? NOBODY);
  const [adding, setAdding] = useState(false);
  const search = useRef<HTMLInputElement>(null);
  const show = (wanted: View) => {
    prefer({ view: wanted });
    change({ view: wanted }, { replace: true });
  };
  useShortcuts({
    '/': () => search.current?.focus(),
    'v c': () => show('cards'),
    'v t': () => show('table'),
    'v m': () => show('map'),
  });
  const openId = params.get('vm');
  return (
    <div className="flex flex-col gap-3">
      <h1 className="sr-only">{en.fleet.title}</h1>
      <Counters query={query} />
      <div className="flex flex-wrap items-center gap-2">
        <div className="w-full min-w-0 lg:w-auto lg:flex-1">
          <Filters query={query} ask={ask} searchRef={search} />
        </div>
        <ViewSwitch view={view} onChange={show} />
        <Button onClick={() => setAdding(true)}>
          <Plus size={15} aria-hidden="true" />
          {en.fleet.addVm}
        </Button>
      </div>
      {view === 'map' ? (
        <Suspense fallback={<Loading />}>
          <FleetMap query={query} onTable={() => show('table')} />
        </Suspense>
      ) : (
        <Vms
          {...{ list, query, page, view, turn, selection }}
          onAdd={() => setAdding(true)}
          onAll={() =>
            change({
              search: null,
              health: null,
              node: null,
              label: null,
              paused: null,
              cursor: null,
              page: null,
            })
          }
        />
      )}
      <BulkBar vms={view === 'map' ? NOBODY : chosen} onNone={none} />
      {openId !== null && <VmModal id={openId} siblings={list.data?.items ?? []} />}
      {adding && (
        <Suspense fallback={null}>
          <AddVm onClose={() => setAdding(false)} />
        </Suspense>
      )}
    </div>
  );
}

/** The address decides, then what one likes, then the size of what is shown. */
function useView(asked: string | null, total: number | undefined): View {
  const liked = usePreferences().view;
  return chosenView(asked, liked, total ?? 0, matchMedia('(max-width: 639px)').matches);
}

export function chosenView(
  asked: string | null,
  liked: Preferences['view'],
  total: number,
  narrow: boolean,
): View {
  if (asked === 'cards' || asked === 'table' || asked === 'map') return asked;
  if (liked !== 'auto') return liked;
  return total <= MOST_CARDS && !narrow ? 'cards' : 'table';
}

type VmsProps = {
  list: ReturnType<typeof useVmPage>;
  page: number;
  view: View;
  selection: Selection;
  onAdd: () => void;
  onAll: () => void;
} & Pick<ReturnType<typeof useFleetQuery>, 'query' | 'turn'>;

function Vms({ list, query, page, view, turn, selection, onAdd, onAll }: VmsProps) {
  const { data: status } = useCounts();
  const lines = useSparklines(list.data?.items ?? NOBODY);
  if (list.data === undefined) return <Pending query={list} rows={10} />;
  if (list.data.items.length === 0) {
    return isFiltered(query) || (status?.vms.total ?? 0) > 0 ? (
      <Nothing title={en.fleet.noMatch} next={en.fleet.noMatchNext}>
        <Button onClick={onAll}>{en.fleet.reset}</Button>
      </Nothing>
    ) : (
      <Nothing title={en.fleet.noVms} next={en.fleet.noVmsNext}>
        <Button weight="strong" onClick={onAdd}>
          {en.fleet.addVm}
        </Button>
      </Nothing>
    );
  }
  const Shown = view === 'cards' ? VmCards : VmTable;
  return (
    <>
      <Shown
        vms={list.data.items}
        sort={query.sort}
        selection={selection}
        lines={lines}
        thresholds={status?.config}
      />
      <Pager data={list.data} page={page} turn={turn} query={query} />
    </>
  );
}
