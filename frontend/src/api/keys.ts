/** Every query key of the page, in one place: what is cached, and what a change makes old. */
import type { FleetQuery } from './fleet_query';

export const keys = {
  ways: ['ways'] as const,
  status: ['status'] as const,
  system: ['system'] as const,
  fleet: ['fleet'] as const,
  nodes: ['nodes'] as const,
  labels: ['labels'] as const,
  install: ['install'] as const,
  coverage: ['coverage'] as const,
  notifications: ['notifications'] as const,
  configs: ['configs'] as const,
  lists: ['vms', 'list'] as const,
  list: (query: FleetQuery, limit: number) => ['vms', 'list', query, limit] as const,
  /** Everything of every VM. */
  vms: ['vm'] as const,
  /** Everything of one VM. */
  vm: (id: string) => ['vm', id] as const,
  vmNow: (id: string) => ['vm', id, 'now'] as const,
  vmMetrics: (id: string, hours: number) => ['vm', id, 'metrics', hours] as const,
  vmTimeline: (id: string, hours: number) => ['vm', id, 'timeline', hours] as const,
  vmHolds: (id: string, hours: number) => ['vm', id, 'holds', hours] as const,
  vmReset: (id: string, reset: string | null) => ['vm', id, 'resets', reset] as const,
  vmResets: (id: string) => ['vm', id, 'resets'] as const,
  vmExplain: (id: string) => ['vm', id, 'explain'] as const,
  sparklines: (ids: readonly string[]) => ['sparklines', ids] as const,
  maintenance: ['maintenance'] as const,
  globalStop: ['global-stop'] as const,
  audit: (filter: object) => ['audit', filter] as const,
  tokens: ['tokens'] as const,
  enrolmentTokens: ['tokens', 'enrolment'] as const,
  agentTokens: ['tokens', 'agents'] as const,
  audits: ['audit'] as const,
};
