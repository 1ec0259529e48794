/** Each SystemConfig in force: read only, with the command that changes it. */
import { useQuery } from '@tanstack/react-query';
import { keys } from '@/api/keys';
import { readConfigs } from '@/api/reads';
import type { Config as SystemConfig } from '@/api/types';
import { enSettings as words } from '@/text/en_actions';
import { Facts } from '@/ui/field';
import { Moment } from '@/ui/moment';
import { Pending } from '@/ui/trouble';

export function Configs() {
  const configs = useQuery({
    queryKey: keys.configs,
    queryFn: readConfigs,
    refetchInterval: 15_000,
  });
  return (
    <section className="panel flex flex-col gap-3 p-4">
      <h2 className="text-base font-semibold">{words.configs}</h2>
      <p className="text-soft">{words.configsLead}</p>
      {configs.data === undefined ? (
        <Pending query={configs} rows={3} />
      ) : configs.data.length === 0 ? (
        <p className="text-soft">{words.noConfigs}</p>
      ) : (
        configs.data.map((one) => <Config key={`${one.namespace}/${one.name}`} config={one} />)
      )}
    </section>
  );
}

function Config({ config }: { config: SystemConfig }) {
  const fields = flattened(config.spec);
  return (
    <article className="flex flex-col gap-2 border-t border-line pt-3">
      <h3 className="font-semibold">
        {config.namespace}/{config.name}
      </h3>
      {config.invalid !== null && (
        <p role="alert" className="font-medium text-down">
          {words.invalid}: <span className="font-normal text-text">{config.invalid}</span>
        </p>
      )}
      <Facts
        rows={[
          [words.from, words.source[config.source] ?? config.source],
          [words.generation, config.generation ?? '–'],
          [
            words.since,
            config.inForceSince === null ? '–' : <Moment key="since" at={config.inForceSince} />,
          ],
          [words.vms, config.vms.toLocaleString('en')],
          [
            words.change,
            <code key="change" className="font-mono text-sm break-all">
              kubectl -n {config.namespace} edit dsc {config.name}
            </code>,
          ],
        ]}
      />
      <details>
        <summary className="w-fit cursor-pointer font-medium text-soft hover:text-text">
          {words.fields(fields.length)}
        </summary>
        <dl className="mt-2 grid grid-cols-[max-content_1fr] gap-x-4 gap-y-0.5 font-mono text-sm">
          {fields.map(([name, value]) => (
            <div key={name} className="contents">
              <dt className="text-soft">{name}</dt>
              <dd className="break-all">{value}</dd>
            </div>
          ))}
        </dl>
      </details>
    </article>
  );
}

/** A spec as `safety.maxDownPercent: 20` lines, in the order it has. */
export function flattened(spec: Record<string, unknown>, before = ''): [string, string][] {
  return Object.entries(spec).flatMap(([name, value]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? flattened(value as Record<string, unknown>, `${before}${name}.`)
      : [[`${before}${name}`, typeof value === 'string' ? value : JSON.stringify(value)]],
  );
}
