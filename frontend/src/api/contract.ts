/** Names that views use for a few of the API's types. */
export type {
  Config as ConfigRow,
  Fleet as FleetColumns,
  Hold as HoldInterval,
  Label as LabelValues,
  NodeCounts,
  System as SystemHealth,
  Transition,
  VmPage,
} from './types';
