/** Every read of the page: one function each, from the arguments to the API's answer. */
import { client, readJson, said } from './client';
import type {
  ConfigRow,
  FleetColumns,
  HoldInterval,
  LabelValues,
  NodeCounts,
  SystemHealth,
  Transition,
  VmPage,
} from './contract';
import { type FleetQuery, paramsOf } from './fleet_query';

type Asked = { signal?: AbortSignal };

const vmPath = (id: string) => ({ params: { path: { vm_id: id } } });

export const readStatus = ({ signal }: Asked = {}) =>
  said(client.GET('/api/status', { signal: signal ?? null }));

export const readVmPage = (query: FleetQuery, limit: number, { signal }: Asked = {}) => {
  const params = paramsOf(query);
  params.set('limit', String(limit));
  return readJson<VmPage>(`/api/vms?${params}`, signal);
};

export const readFleet = ({ signal }: Asked = {}) => readJson<FleetColumns>('/api/fleet', signal);
export const readNodes = ({ signal }: Asked = {}) => readJson<NodeCounts[]>('/api/nodes', signal);
export const readLabels = ({ signal }: Asked = {}) =>
  readJson<LabelValues[]>('/api/labels', signal);
export const readSystem = ({ signal }: Asked = {}) => readJson<SystemHealth>('/api/system', signal);
export const readConfigs = ({ signal }: Asked = {}) => readJson<ConfigRow[]>('/api/config', signal);

export const readVm = (id: string, { signal }: Asked = {}) =>
  said(client.GET('/api/vms/{vm_id}', { ...vmPath(id), signal: signal ?? null }));

export const readMetrics = (id: string, hours: number, { signal }: Asked = {}) =>
  said(
    client.GET('/api/vms/{vm_id}/metrics', {
      params: { path: { vm_id: id }, query: { hours } },
      signal: signal ?? null,
    }),
  );

export const readResets = (id: string, { signal }: Asked = {}) =>
  said(client.GET('/api/vms/{vm_id}/reset-history', { ...vmPath(id), signal: signal ?? null }));

export const readExplanation = (id: string, { signal }: Asked = {}) =>
  said(client.GET('/api/vms/{vm_id}/explain', { ...vmPath(id), signal: signal ?? null }));

export const readTimeline = (id: string, hours: number, { signal }: Asked = {}) =>
  readJson<Transition[]>(`/api/vms/${encodeURIComponent(id)}/timeline?hours=${hours}`, signal);

export const readHolds = (id: string, hours: number, { signal }: Asked = {}) =>
  readJson<HoldInterval[]>(`/api/vms/${encodeURIComponent(id)}/holds?hours=${hours}`, signal);

export const readMaintenance = ({ signal }: Asked = {}) =>
  said(client.GET('/api/maintenance', { signal: signal ?? null }));

export const readGlobalStop = ({ signal }: Asked = {}) =>
  said(client.GET('/api/global-stop', { signal: signal ?? null }));
