/** Enrolment tokens and the tokens of agents: who may report, and how that is ended. */
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { keys } from '@/api/keys';
import {
  AGENT_TOKENS,
  readAgentTokens,
  readEnrolmentTokens,
  revokeAgentToken,
  revokeEnrolmentToken,
} from '@/api/writes';
import { Refusal, useDoing } from '@/features/actions/action_dialog';
import { useMay } from '@/features/auth/who';
import { en } from '@/text/en';
import { enActions, enSettings as words } from '@/text/en_actions';
import { Button } from '@/ui/button';
import { DataTable } from '@/ui/data_table';
import { Modal } from '@/ui/modal';
import { Ago, Moment } from '@/ui/moment';
import { Pending } from '@/ui/trouble';

type Revoking = { name: string; lead: string; act: () => Promise<unknown> };

export function Tokens() {
  const [revoking, setRevoking] = useState<Revoking | null>(null);
  const may = useMay('administrator');
  if (!may)
    return (
      <section className="panel flex flex-col gap-3 p-4">
        <h2 className="text-base font-semibold">{words.tokens}</h2>
        <p className="text-soft">
          {words.tokensHidden} ({en.role.needs(en.role.names.administrator)})
        </p>
      </section>
    );
  return (
    <section className="panel flex flex-col gap-3 p-4">
      <h2 className="text-base font-semibold">{words.tokens}</h2>
      <p className="text-soft">{words.tokensLead}</p>
      <h3 className="font-semibold">{words.enrolment}</h3>
      <Enrolment onRevoke={setRevoking} />
      <h3 className="font-semibold">{words.agents}</h3>
      <Agents onRevoke={setRevoking} />
      {revoking !== null && <RevokeDialog {...revoking} onClose={() => setRevoking(null)} />}
    </section>
  );
}

type Props = { onRevoke: (revoking: Revoking) => void };

function Enrolment({ onRevoke }: Props) {
  const tokens = useQuery({
    queryKey: keys.enrolmentTokens,
    queryFn: readEnrolmentTokens,
    refetchInterval: 15_000,
  });
  if (tokens.data === undefined) return <Pending query={tokens} rows={2} />;
  return (
    <DataTable
      label={words.enrolment}
      empty={words.noEnrolment}
      columns={[words.name, words.cluster, words.uses, words.expires, words.madeBy, '']}
      rows={tokens.data.map((one) => ({
        key: one.id,
        cells: [
          one.name,
          one.cluster,
          words.usesOf(one.uses, one.usesMost),
          <Moment key="expires" at={one.expiresAt} />,
          one.createdBy,
          <Button
            key="revoke"
            onClick={() =>
              onRevoke({
                name: one.name,
                lead: words.revokeEnrolmentLead,
                act: () => revokeEnrolmentToken(one.id),
              })
            }
          >
            {words.revoke}
          </Button>,
        ],
      }))}
    />
  );
}

function Agents({ onRevoke }: Props) {
  const tokens = useInfiniteQuery({
    queryKey: keys.agentTokens,
    queryFn: ({ pageParam, signal }) => readAgentTokens(pageParam, { signal }),
    initialPageParam: null as string | null,
    getNextPageParam: (last) =>
      last.length < AGENT_TOKENS ? undefined : (last.at(-1)?.id ?? undefined),
  });
  if (tokens.data === undefined) return <Pending query={tokens} rows={2} />;
  return (
    <>
      <DataTable
        label={words.agents}
        empty={words.noAgents}
        columns={[words.name, words.vm, words.cluster, words.lastHeartbeat, words.expires, '']}
        rows={tokens.data.pages.flat().map((one) => ({
          key: one.id,
          cells: [
            one.name,
            one.kind === 'shared' ? words.shared : (one.hostname ?? one.vmid ?? '–'),
            one.cluster,
            one.lastHeartbeat === null ? '–' : <Ago key="heard" at={one.lastHeartbeat} />,
            one.expiresAt === null ? words.never : <Moment key="expires" at={one.expiresAt} />,
            <Button
              key="revoke"
              onClick={() =>
                onRevoke({
                  name: one.name,
                  lead: words.revokeAgentLead,
                  act: () => revokeAgentToken(one.id),
                })
              }
            >
              {words.revoke}
            </Button>,
          ],
        }))}
      />
      {tokens.hasNextPage && (
        <Button className="w-fit" onClick={() => void tokens.fetchNextPage()}>
          {words.more}
        </Button>
      )}
    </>
  );
}

function RevokeDialog({ name, lead, act, onClose }: Revoking & { onClose: () => void }) {
  const revoking = useDoing(act);
  return (
    <Modal title={words.revokeTitle(name)} closeLabel={enActions.cancel} onClose={onClose}>
      <div className="flex flex-col gap-4">
        <p>{lead}</p>
        {revoking.isError && <Refusal error={revoking.error} />}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{enActions.cancel}</Button>
          <Button
            weight="danger"
            disabled={revoking.isPending}
            onClick={() => revoking.mutate(undefined, { onSuccess: onClose })}
          >
            {words.revokeSubmit}
          </Button>
        </div>
      </div>
    </Modal>
  );
}
