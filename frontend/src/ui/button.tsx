/** Buttons, by how much they can do: `quiet`, `plain`, `strong`, `danger`. */
import clsx from 'clsx';
import type { ComponentProps } from 'react';

type Weight = 'quiet' | 'plain' | 'strong' | 'danger';

const WEIGHTS: Record<Weight, string> = {
  quiet: 'border-transparent text-soft hover:bg-raised hover:text-text',
  plain: 'border-line-strong bg-surface text-text hover:bg-raised',
  strong: 'border-transparent bg-accent text-on-accent hover:brightness-110',
  danger: 'border-transparent bg-down text-surface hover:brightness-110',
};

export function buttonClass(weight: Weight = 'plain', className?: string): string {
  return clsx(
    'inline-flex h-8 items-center justify-center gap-1.5 rounded-md border px-3 text-sm font-medium whitespace-nowrap',
    'disabled:cursor-not-allowed disabled:opacity-50',
    WEIGHTS[weight],
    className,
  );
}

export function Button({
  weight = 'plain',
  className,
  ...rest
}: ComponentProps<'button'> & { weight?: Weight }) {
  return <button type="button" className={buttonClass(weight, className)} {...rest} />;
}

/** A button that is only a sign; its label is its accessible name and its title. */
export function IconButton({
  label,
  className,
  ...rest
}: Omit<ComponentProps<'button'>, 'aria-label' | 'title'> & { label: string }) {
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      className={clsx(
        'inline-flex size-8 items-center justify-center rounded-md text-soft hover:bg-raised hover:text-text disabled:cursor-not-allowed disabled:opacity-40',
        className,
      )}
      {...rest}
    />
  );
}
