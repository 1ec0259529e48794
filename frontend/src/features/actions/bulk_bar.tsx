/** Reset several chosen VMs: capped, confirmed by typing how many, one after the other. */
import { useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useRef, useState } from 'react';
import { keys } from '@/api/keys';
import type { Vm } from '@/api/types';
import { askReset } from '@/api/writes';
import { enActions } from '@/text/en_actions';
import { Button } from '@/ui/button';
import { TextField } from '@/ui/field';
import { Modal } from '@/ui/modal';
import { failureText } from '@/ui/trouble';

/** More than a person means to reset by hand at once. */
export const MOST_AT_ONCE = 10;

const words = enActions.bulk;

export function BulkBar({ vms, onNone }: { vms: readonly Vm[]; onNone: () => void }) {
  const [open, setOpen] = useState(false);
  if (vms.length === 0) return null;
  const tooMany = vms.length > MOST_AT_ONCE;
  return (
    <div className="panel sticky bottom-3 z-20 flex flex-wrap items-center gap-2 px-4 py-2 shadow-lg">
      <span className="font-medium">{words.chosen(vms.length)}</span>
      {tooMany && <span className="text-sm text-soft">{words.most(MOST_AT_ONCE)}</span>}
      <span className="flex-1" />
      <Button onClick={onNone}>{words.none}</Button>
      <Button weight="danger" disabled={tooMany} onClick={() => setOpen(true)}>
        {words.open(vms.length)}
      </Button>
      {open && <BulkDialog vms={vms} onClose={() => setOpen(false)} onDone={onNone} />}
    </div>
  );
}

type Told = { text: string; wrong: boolean };
type DialogProps = { vms: readonly Vm[]; onClose: () => void; onDone: () => void };

function BulkDialog({ vms: given, onClose, onDone }: DialogProps) {
  const [vms] = useState(given); // what was confirmed stays what is done
  const run = useBulkReset(vms);
  const close = () => {
    run.stop();
    if (run.began) onDone();
    onClose();
  };
  return (
    <Modal title={words.title(vms.length)} closeLabel={enActions.close} onClose={close}>
      {run.began ? (
        <div className="flex flex-col gap-3">
          <Outcomes vms={vms} told={run.told} now={run.now} />
          <div className="flex justify-end gap-2">
            {run.now === null ? (
              <Button weight="strong" onClick={close}>
                {words.done}
              </Button>
            ) : (
              <Button onClick={run.stop}>{words.stop}</Button>
            )}
          </div>
        </div>
      ) : (
        <BulkForm vms={vms} onSend={run.begin} onClose={onClose} />
      )}
    </Modal>
  );
}

function useBulkReset(vms: readonly Vm[]) {
  const cache = useQueryClient();
  const [told, setTold] = useState<ReadonlyMap<string, Told>>(new Map());
  const [now, setNow] = useState<string | null>(null);
  const [began, setBegan] = useState(false);
  const stopped = useRef(false);
  const tell = (id: string, one: Told) => setTold((before) => new Map(before).set(id, one));
  const begin = async (reason: string) => {
    setBegan(true);
    for (const vm of vms) {
      if (stopped.current) {
        tell(vm.id, { text: words.skipped, wrong: false });
        continue;
      }
      setNow(vm.id);
      tell(vm.id, await outcomeOf(vm, reason));
    }
    setNow(null);
    for (const queryKey of [keys.lists, ['vm'], keys.system]) {
      void cache.invalidateQueries({ queryKey });
    }
  };
  const stop = () => {
    stopped.current = true;
  };
  return { told, now, began, begin: (reason: string) => void begin(reason), stop };
}

async function outcomeOf(vm: Vm, reason: string): Promise<Told> {
  try {
    const answer = await askReset(vm.id, { reason, force: false, key: crypto.randomUUID() });
    return { text: answer?.message ?? words.asked, wrong: false };
  } catch (error) {
    return { text: error instanceof Error ? error.message : failureText(error), wrong: true };
  }
}

type FormProps = { vms: readonly Vm[]; onSend: (reason: string) => void; onClose: () => void };

function BulkForm({ vms, onSend, onClose }: FormProps) {
  const [reason, setReason] = useState('');
  const [typed, setTyped] = useState('');
  const [tried, setTried] = useState(false);
  const wrong = typed.trim() !== String(vms.length);
  const send = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (reason.trim() !== '' && !wrong) onSend(reason.trim());
  };
  return (
    <form onSubmit={send} noValidate className="flex flex-col gap-4">
      <p>{enActions.reset.lead}</p>
      <p className="text-soft">{words.lead}</p>
      <p className="text-sm break-words">{vms.map((vm) => vm.hostname).join(', ')}</p>
      <TextField
        label={enActions.reason}
        error={tried && reason.trim() === '' ? enActions.reasonMissing : null}
        value={reason}
        onChange={setReason}
        rows={2}
        autoFocus
      />
      <TextField
        label={words.type(vms.length)}
        error={tried && wrong ? words.typeMissing(vms.length) : null}
        value={typed}
        onChange={setTyped}
      />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{enActions.cancel}</Button>
        <Button type="submit" weight="danger">
          {words.submit(vms.length)}
        </Button>
      </div>
    </form>
  );
}

type OutcomesProps = {
  vms: readonly Vm[];
  told: ReadonlyMap<string, Told>;
  now: string | null;
};

function Outcomes({ vms, told, now }: OutcomesProps) {
  return (
    <ul aria-live="polite" className="divide-y divide-line">
      {vms.map((vm) => {
        const one = told.get(vm.id);
        return (
          <li key={vm.id} className="py-1.5">
            <span className="font-medium break-all">{vm.hostname}</span>{' '}
            <span className={one?.wrong ? 'text-down' : 'text-soft'}>
              {one?.text ?? (vm.id === now ? words.now : words.waiting)}
            </span>
          </li>
        );
      })}
    </ul>
  );
}
