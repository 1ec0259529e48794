/** Every read of the page: one function each, from the arguments to the API's answer. */
import { client, said } from './client';
import { askedBy, type FleetQuery } from './fleet_query';
import type { VmPage } from './types';

type Asked = { signal?: AbortSignal };

const vmHours = (id: string, hours: number) => ({
  params: { path: { vm_id: id }, query: { hours } },
});

const vmPath = (id: string) => ({ params: { path: { vm_id: id } } });

export const readStatus = ({ signal }: Asked = {}) =>
  said(client.GET('/api/status', { signal: signal ?? null }));

/** The API answers an array where nothing is asked for; with a limit it is always a page. */
export const readVmPage = (query: FleetQuery, limit: number, { signal }: Asked = {}) =>
  said(
    client.GET('/api/vms', {
      params: { query: { ...askedBy(query), limit } },
      signal: signal ?? null,
    }),
  ) as Promise<VmPage>;

export const readFleet = ({ signal }: Asked = {}) =>
  said(client.GET('/api/fleet', { signal: signal ?? null }));
export const readSparklines = (ids: readonly string[], { signal }: Asked = {}) =>
  said(
    client.GET('/api/sparklines', {
      params: { query: { ids: ids.join(',') } },
      signal: signal ?? null,
    }),
  );
export const readNodes = ({ signal }: Asked = {}) =>
  said(client.GET('/api/nodes', { signal: signal ?? null }));
export const readLabels = ({ signal }: Asked = {}) =>
  said(client.GET('/api/labels', { signal: signal ?? null }));
export const readSystem = ({ signal }: Asked = {}) =>
  said(client.GET('/api/system', { signal: signal ?? null }));
export const readCoverage = ({ signal }: Asked = {}) =>
  said(client.GET('/api/coverage', { signal: signal ?? null }));
export const readNotifications = ({ signal }: Asked = {}) =>
  said(client.GET('/api/notifications', { signal: signal ?? null }));
export const readConfigs = ({ signal }: Asked = {}) =>
  said(client.GET('/api/config', { signal: signal ?? null }));

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
  said(client.GET('/api/vms/{vm_id}/timeline', { ...vmHours(id, hours), signal: signal ?? null }));

export const readHolds = (id: string, hours: number, { signal }: Asked = {}) =>
  said(client.GET('/api/vms/{vm_id}/holds', { ...vmHours(id, hours), signal: signal ?? null }));

export const readMaintenance = ({ signal }: Asked = {}) =>
  said(client.GET('/api/maintenance', { signal: signal ?? null }));

export const readGlobalStop = ({ signal }: Asked = {}) =>
  said(client.GET('/api/global-stop', { signal: signal ?? null }));
