/** Every change a person can make: one function each. All are audited by the API. */
import { client, said } from './client';
import type { Deed } from './types';

const vmPath = (id: string) => ({ path: { vm_id: id } });

export type ResetWish = { reason: string; force: boolean; key: string };

/** Ask for a reset. `key` makes asking twice the same as asking once. */
export const askReset = (id: string, { reason, force, key }: ResetWish) =>
  said(
    client.POST('/api/vms/{vm_id}/reset', {
      params: { ...vmPath(id), header: { 'Idempotency-Key': key } },
      body: { reason, force },
    }),
  );

export const readReset = (id: string, { signal }: { signal?: AbortSignal } = {}) =>
  said(
    client.GET('/api/resets/{reset_id}', {
      params: { path: { reset_id: id } },
      signal: signal ?? null,
    }),
  );

/** Leave a VM alone; without `minutes` until somebody ends it. */
export const pauseVm = (id: string, reason: string, minutes: number | null) =>
  said(client.POST('/api/vms/{vm_id}/pause', { params: vmPath(id), body: { reason, minutes } }));

export const unpauseVm = (id: string, reason: string) =>
  said(client.DELETE('/api/vms/{vm_id}/pause', { params: { ...vmPath(id), query: { reason } } }));

export const clearVm = (id: string, reason: string) =>
  said(client.POST('/api/vms/{vm_id}/clear', { params: vmPath(id), body: { reason } }));

export const stopAll = (reason: string) =>
  said(client.PUT('/api/global-stop', { body: { reason } }));

export const endStop = (reason: string) =>
  said(client.DELETE('/api/global-stop', { params: { query: { reason } } }));

export type WindowWish = {
  reason: string;
  name: string | null;
  matchLabels: Record<string, string>;
  minutes: number;
};

export const openMaintenance = (wish: WindowWish) =>
  said(client.POST('/api/maintenance', { body: wish }));

export const closeMaintenance = (id: string, reason: string) =>
  said(
    client.DELETE('/api/maintenance/{window_id}', {
      params: { path: { window_id: id }, query: { reason } },
    }),
  );

export type AuditFilter = { vm: string | null; action: Deed | null; before: string | null };

export const AUDIT_LINES = 100;

export const readAudit = (filter: AuditFilter, { signal }: { signal?: AbortSignal } = {}) =>
  said(
    client.GET('/api/audit', {
      params: { query: { ...filter, limit: AUDIT_LINES } },
      signal: signal ?? null,
    }),
  );

export const readEnrolmentTokens = ({ signal }: { signal?: AbortSignal } = {}) =>
  said(client.GET('/api/enrolment-tokens', { signal: signal ?? null }));

export const revokeEnrolmentToken = (id: string) =>
  said(client.DELETE('/api/enrolment-tokens/{token_id}', { params: { path: { token_id: id } } }));

export const AGENT_TOKENS = 100;

export const readAgentTokens = (after: string | null, { signal }: { signal?: AbortSignal } = {}) =>
  said(
    client.GET('/api/agent-tokens', {
      params: { query: { limit: AGENT_TOKENS, after } },
      signal: signal ?? null,
    }),
  );

export const revokeAgentToken = (id: string) =>
  said(client.DELETE('/api/agent-tokens/{token_id}', { params: { path: { token_id: id } } }));
