/** How a VM comes into the fleet: a command to paste, with a token that is good for one machine. */
import { useMutation, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { client, said } from '@/api/client';
import { keys } from '@/api/keys';
import { RoleButton } from '@/features/auth/role_button';
import { en } from '@/text/en';
import { Button } from '@/ui/button';
import { Modal } from '@/ui/modal';
import { FailureNote, failureText, Loading } from '@/ui/trouble';

const GOOD_FOR_MINUTES = 60;

export function AddVm({ onClose }: { onClose: () => void }) {
  const install = useQuery({
    queryKey: keys.install,
    queryFn: ({ signal }) => said(client.GET('/api/install', { signal })),
  });
  const making = useMutation({
    mutationFn: () =>
      said(
        client.POST('/api/enrolment-tokens', {
          body: {
            name: 'dashboard',
            cluster: 'default',
            minutes: GOOD_FOR_MINUTES,
            uses: 1,
            matchLabels: {},
          },
        }),
      ),
  });
  const withToken = (command: string) =>
    making.data === undefined
      ? command
      : command.replaceAll(install.data?.placeholder ?? 'ENROLMENT_TOKEN', making.data.token);
  return (
    <Modal title={en.addVm.title} closeLabel={en.addVm.close} onClose={onClose} size="wide">
      {install.isError && (
        <FailureNote error={install.error} onRetry={() => void install.refetch()} />
      )}
      {install.isPending && <Loading rows={3} />}
      {install.data && (
        <div className="flex flex-col gap-4">
          <p className="max-w-prose">{en.addVm.lead}</p>
          {making.data === undefined ? (
            <RoleButton
              needs="administrator"
              weight="strong"
              className="self-start"
              disabled={making.isPending}
              onClick={() => making.mutate()}
            >
              {en.addVm.make}
            </RoleButton>
          ) : (
            <p className="text-soft">{en.addVm.made}</p>
          )}
          {making.isError && (
            <p role="alert" className="font-medium text-down">
              {failureText(making.error)}
            </p>
          )}
          <Command title={en.addVm.linux} text={withToken(install.data.linux)} />
          <Command title={en.addVm.windows} text={withToken(install.data.windows)} />
          <p className="max-w-prose text-soft">{en.addVm.after}</p>
        </div>
      )}
    </Modal>
  );
}

function Command({ title, text }: { title: string; text: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard?.writeText(text);
    setCopied(true);
  };
  return (
    <section>
      <div className="mb-1 flex items-center justify-between">
        <h3 className="font-semibold">{title}</h3>
        <Button onClick={() => void copy()}>{copied ? en.addVm.copied : en.addVm.copy}</Button>
      </div>
      <pre className="rounded-md border border-line bg-page p-3 font-mono text-xs break-all whitespace-pre-wrap">
        {text}
      </pre>
    </section>
  );
}
