/** What the shapes mean. */
import { STATES } from '@/api/fleet_query';
import { en } from '@/text/en';
import { StateMark } from '@/ui/state_mark';

export function Legend() {
  return (
    <ul className="flex flex-wrap items-center gap-x-4 gap-y-1 text-sm text-soft">
      {STATES.map((state) => (
        <li key={state} className="flex items-center gap-1.5" title={en.stateMeans[state]}>
          <StateMark state={state} size={12} />
          {en.state[state]}
        </li>
      ))}
    </ul>
  );
}
