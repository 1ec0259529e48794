/** How Defib itself is. */
import { en } from '@/text/en';
import { Nothing } from '@/ui/trouble';

export function SystemPage() {
  return <Nothing title={en.system.title} next="" />;
}
