/**
 * The one dialog for everything a person does: what it means, why (required), and a button as strong
 * as what it can break. Nothing is sent before that button; closing sends nothing.
 */
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, type ReactNode, useState } from 'react';
import { Failure } from '@/api/failure';
import { keys } from '@/api/keys';
import { en } from '@/text/en';
import { enActions } from '@/text/en_actions';
import { Button } from '@/ui/button';
import { TextField } from '@/ui/field';
import { Modal } from '@/ui/modal';
import { failureText } from '@/ui/trouble';

type Shape = {
  title: string;
  lead: string;
  submit: string;
  weight?: 'strong' | 'danger';
  /** Do it; the answer's words are shown where `done` gives none. */
  act: (reason: string) => Promise<{ message: string }>;
  /** What keeps it from being sent, in words; null: nothing does. */
  problem?: () => string | null;
  onClose: () => void;
  /** More to fill in, below the reason. */
  children?: ReactNode;
  /** What to know before doing it, above the reason. */
  facts?: ReactNode;
};

export function ActionDialog({
  title,
  lead,
  submit,
  weight = 'strong',
  act,
  problem,
  onClose,
  children,
  facts,
}: Shape) {
  const [reason, setReason] = useState('');
  const [tried, setTried] = useState(false);
  const doing = useDoing(act);
  const reasonError = tried && reason.trim() === '' ? enActions.reasonMissing : null;
  const otherError = tried ? (problem?.() ?? null) : null;

  const send = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (reason.trim() === '' || (problem?.() ?? null) !== null) return;
    doing.mutate(reason.trim());
  };

  if (doing.isSuccess)
    return (
      <Modal title={title} closeLabel={en.vm.close} onClose={onClose}>
        <Outcome text={doing.data.message} onClose={onClose} />
      </Modal>
    );
  return (
    <Modal title={title} closeLabel={enActions.cancel} onClose={onClose}>
      <form onSubmit={send} noValidate className="flex flex-col gap-4">
        <p>{lead}</p>
        {facts}
        <TextField
          label={enActions.reason}
          hint={enActions.reasonHint}
          error={reasonError}
          value={reason}
          onChange={setReason}
          rows={2}
          autoFocus
        />
        {children}
        {otherError !== null && (
          <p role="alert" className="font-medium text-down">
            {otherError}
          </p>
        )}
        {doing.isError && <Refusal error={doing.error} />}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{enActions.cancel}</Button>
          <Button type="submit" weight={weight} disabled={doing.isPending}>
            {doing.isPending ? enActions.working : submit}
          </Button>
        </div>
      </form>
    </Modal>
  );
}

/** A change, after which everything that may show it is read again. */
export function useDoing<Wish, Answer>(act: (wish: Wish) => Promise<Answer>) {
  const cache = useQueryClient();
  return useMutation({
    mutationFn: act,
    onSettled: () => {
      for (const queryKey of [
        keys.lists,
        keys.vms,
        keys.system,
        keys.status,
        keys.globalStop,
        keys.maintenance,
        keys.audits,
        keys.tokens,
      ])
        void cache.invalidateQueries({ queryKey });
    },
  });
}

export function Outcome({ text, onClose }: { text: string; onClose: () => void }) {
  return (
    <div className="flex flex-col gap-4">
      <p role="status" className="first-letter:uppercase">
        {text}
      </p>
      <div className="flex justify-end">
        <Button weight="strong" onClick={onClose} autoFocus>
          {enActions.close}
        </Button>
      </div>
    </div>
  );
}

/** Why it was not done: the API's words, the hold's code, and Proxmox's own words. */
export function Refusal({ error }: { error: unknown }) {
  const details = error instanceof Failure ? error.details : {};
  const ours = details.proxmoxError !== undefined || details.reason !== undefined;
  return (
    <div role="alert" className="rounded-md border border-down p-3">
      <p className="font-semibold text-down">
        {details.reason === undefined ? enActions.failedTitle : enActions.holdSaid(details.reason)}
      </p>
      <p className="break-words first-letter:uppercase">
        {ours && error instanceof Error ? error.message : failureText(error)}
      </p>
      {details.fields?.map((one) => (
        <p key={one.field} className="text-sm">
          {one.field}: {one.message}
        </p>
      ))}
      {details.proxmoxError !== undefined && (
        <p className="mt-1 text-sm break-words">
          {enActions.proxmoxSaid}: <code className="font-mono">{details.proxmoxError}</code>
        </p>
      )}
    </div>
  );
}
