/** How Defib itself is: what it hears, who leads, what it may reach, and what holds it back. */
import { useQuery } from '@tanstack/react-query';
import { CircleCheck, CircleHelp, CircleSlash } from 'lucide-react';
import type { ReactNode } from 'react';
import { keys } from '@/api/keys';
import { readSystem } from '@/api/reads';
import { type Cluster, type Relay, relaysOf, type System } from '@/api/types';
import { REFRESH_MS } from '@/app/query_client';
import { en } from '@/text/en';
import { Ago } from '@/ui/moment';
import { Pending } from '@/ui/trouble';
import { Coverage } from './coverage';

const words = en.system;

export function SystemPage() {
  const system = useQuery({
    queryKey: keys.system,
    queryFn: readSystem,
    refetchInterval: REFRESH_MS,
  });
  if (system.data === undefined) return <Pending query={system} />;
  const { data } = system;
  const relays = relaysOf(data);
  return (
    <div className="flex flex-col gap-3">
      <h1 className="text-lg font-semibold">{words.title}</h1>
      <div className="grid gap-3 md:grid-cols-2 xl:grid-cols-3">
        <Ingest system={data} />
        <Operator system={data} />
        {relays.length > 0 && <Relays relays={relays} />}
        <Queue system={data} />
        <Clusters clusters={data.clusters} />
        <Brakes system={data} />
        <Holds system={data} />
      </div>
      <Coverage />
      <p className="text-sm text-soft">
        {words.version} {data.version}
      </p>
    </div>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="panel flex flex-col gap-2 p-4">
      <h2 className="text-xs font-semibold tracking-wide text-soft uppercase">{title}</h2>
      {children}
    </section>
  );
}

/** A verdict as sign, word and colour; `null` where nobody knows. */
function Verdict({ good, children }: { good: boolean | null; children: ReactNode }) {
  const [Sign, colour] =
    good === null
      ? [CircleHelp, 'text-unknown']
      : good
        ? [CircleCheck, 'text-healthy']
        : [CircleSlash, 'text-down'];
  return (
    <p className={`flex items-center gap-2 font-medium ${colour}`}>
      <Sign size={17} className="shrink-0" aria-hidden="true" />
      {children}
    </p>
  );
}

function Facts({ facts }: { facts: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1">
      {facts.map(([name, value]) => (
        <div key={name} className="contents">
          <dt className="text-soft">{name}</dt>
          <dd className="min-w-0 truncate text-right">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

const when = (at: string | null) => (at === null ? en.time.never : <Ago at={at} />);

function Ingest({ system }: { system: System }) {
  const { ingest, redis } = system;
  return (
    <Part title={words.ingest}>
      <Verdict good={ingest.live}>{ingest.live ? words.ingestLive : words.ingestBlind}</Verdict>
      <Facts
        facts={[
          ...(ingest.blindSince === null ? [] : [[words.since, when(ingest.blindSince)] as const]),
          [words.running, words.replicas(ingest.replicas.filter((one) => one.live).length)],
          [words.reportsWaiting, system.reportsWaiting],
          [words.redis, words.redisState[redis]],
        ]}
      />
    </Part>
  );
}

function Relays({ relays }: { relays: readonly Relay[] }) {
  return (
    <Part title={words.relays}>
      {relays.map((relay) => (
        <div key={relay.name}>
          <Verdict good={relay.provedAt === null ? null : relay.live}>
            {relay.name}: {relay.live ? words.relayHeard : words.relayNotHeard}
          </Verdict>
          <p className="text-sm text-soft">
            {relay.cluster} · {words.relayLast} {when(relay.provedAt)} ·{' '}
            {words.relayWaiting(relay.waiting)}
            {relay.lost > 0 && (
              <span className="font-medium text-warning"> · {words.relayLost(relay.lost)}</span>
            )}
            {relay.version !== null && ` · ${relay.version}`}
          </p>
        </div>
      ))}
    </Part>
  );
}

function Operator({ system: { operator } }: { system: System }) {
  const { leader } = operator;
  return (
    <Part title={words.operator}>
      <Verdict good={leader !== null}>{leader === null ? words.noLeader : words.hasLeader}</Verdict>
      <Facts
        facts={[
          [
            words.leader,
            <span title={leader ?? ''} key="leader">
              {leader ?? words.none}
            </span>,
          ],
          [words.lastSweep, when(operator.lastSweep)],
          [words.kubernetes, when(operator.kubernetesHeardAt)],
          [words.statusesWaiting, operator.statusesWaiting],
        ]}
      />
    </Part>
  );
}

function Queue({ system: { intents } }: { system: System }) {
  return (
    <Part title={words.queue}>
      <Facts
        facts={[
          [words.requested, intents.requested],
          [words.sending, intents.sending],
          [words.sent, intents.sent],
        ]}
      />
    </Part>
  );
}

function Clusters({ clusters }: { clusters: readonly Cluster[] }) {
  return (
    <Part title={words.clusters}>
      {clusters.length === 0 && <p className="text-soft">{words.noClusters}</p>}
      {clusters.map((cluster) => (
        <div key={`${cluster.namespace} ${cluster.name}`} className="flex flex-col gap-1">
          <Verdict good={cluster.reachable}>
            {cluster.name}: {reachText(cluster)}
          </Verdict>
          {(cluster.invalid ?? cluster.message) && (
            <p className="text-sm text-soft">{cluster.invalid ?? cluster.message}</p>
          )}
          {cluster.tokenMissing.length > 0 && (
            <p className="text-sm font-medium text-warning">
              {words.tokenMissing(cluster.tokenMissing.join(', '))}
            </p>
          )}
          <p className="text-sm text-soft">
            {cluster.nodes
              .map((node) =>
                node.online === false ? `${node.name} (${en.fleet.nodeOffline})` : node.name,
              )
              .join(', ')}
          </p>
        </div>
      ))}
    </Part>
  );
}

function reachText({ reachable, quorate, version }: Cluster): string {
  if (reachable === null) return words.notAsked;
  if (!reachable) return words.unreachable;
  const quorum = quorate === null ? [] : [quorate ? words.quorate : words.notQuorate];
  return [words.reachable, ...(version === null ? [] : [version]), ...quorum].join(' · ');
}

function Brakes({ system: { brakes } }: { system: System }) {
  return (
    <Part title={words.brakes}>
      {brakes.length === 0 && <p className="text-soft">{words.noBrakes}</p>}
      {brakes.map((brake) => (
        <div key={`${brake.reason} ${brake.scope}`}>
          <p className="font-medium text-warning">
            {brake.reason} · {brake.scope}
          </p>
          <p className="text-sm text-soft">
            {brake.message} · <Ago at={brake.since} />
          </p>
        </div>
      ))}
    </Part>
  );
}

function Holds({ system: { holds } }: { system: System }) {
  return (
    <Part title={words.holds}>
      {holds.length === 0 ? (
        <p className="text-soft">{words.noHolds}</p>
      ) : (
        <Facts
          facts={holds.map((hold) => [
            hold.reason,
            <span key="count">
              {hold.alerting > 0 && (
                <span className="font-medium text-warning" title={words.alertingMeans}>
                  {words.alerting(hold.alerting)}{' '}
                </span>
              )}
              {hold.count}
            </span>,
          ])}
        />
      )}
    </Part>
  );
}
