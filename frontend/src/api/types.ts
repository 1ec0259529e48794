/** The API's words, by the names the page uses. All come from the generated schema. */
import type { components } from './schema';

type Schemas = components['schemas'];

export type Me = Schemas['Me'];
export type Role = Schemas['Role'];
export type Vm = Schemas['Vm'];
export type State = Schemas['State'];
export type Health = Schemas['Health'];
export type Status = Schemas['Status'];
export type Counts = Schemas['Counts'];
export type HoldReason = Schemas['HoldReason'];
export type Metric = Schemas['Metric'];
export type Reset = Schemas['Reset'];
export type VmExplanation = Schemas['VmExplanation'];
export type Stop = Schemas['defib_api__schemas__controls__Stop'];
export type GlobalStopState = Schemas['GlobalStopState'];
export type Maintenance = Schemas['Maintenance'];
export type AuditEntry = Schemas['AuditEntry'];
export type Deed = Schemas['Deed'];
export type Source = Schemas['Source'];
export type VmPage = Schemas['VmPage'];
export type Fleet = Schemas['FleetVector'];
export type NodeCounts = Schemas['Node'];
export type Label = Schemas['Label'];
export type Transition = Schemas['Transition'];
export type Hold = Schemas['Hold'];
export type Sparkline = Schemas['Sparkline'];
export type Coverage = Schemas['Coverage'];
export type Notifications = Schemas['Notifications'];
export type SignInWays = Schemas['SignInWays'];
export type System = Schemas['System'];
export type Relay = Schemas['Relay'];
export type Brake = Schemas['Brake'];
export type Cluster = Schemas['Cluster'];
export type Config = Schemas['Config'];

/** The relays; none where a replica of the version before answers, which does not tell them. */
export const relaysOf = (system: System): readonly Relay[] => system.relays ?? [];
