/** The whole fleet at once, by node. */
import type { FleetQuery } from '@/api/fleet_query';
import { en } from '@/text/en';
import { Button } from '@/ui/button';

export function FleetMap({ onTable }: { query: FleetQuery; onTable: () => void }) {
  return <Button onClick={onTable}>{en.fleet.mapAsTable}</Button>;
}
