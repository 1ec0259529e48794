/** A button for what needs a role: who lacks it sees it all the same, and which role it takes. */
import type { ComponentProps } from 'react';
import type { Role } from '@/api/types';
import { en } from '@/text/en';
import { Button } from '@/ui/button';
import { useMay } from './who';

type Props = ComponentProps<typeof Button> & { needs: Role };

export function RoleButton({ needs, children, disabled = false, ...rest }: Props) {
  const may = useMay(needs);
  return (
    <Button {...rest} disabled={disabled || !may} {...(!may && { title: en.role.needs(needs) })}>
      {children}
      {!may && <span className="font-normal">({en.role.needs(needs)})</span>}
    </Button>
  );
}
