/** Who did what. */
import { en } from '@/text/en';
import { Nothing } from '@/ui/trouble';

export function AuditPage() {
  return <Nothing title={en.audit.title} next={en.audit.soon} />;
}
