/** A dialog over the page: traps the focus, closes with Esc, gives the focus back. */
import clsx from 'clsx';
import { X } from 'lucide-react';
import { Dialog } from 'radix-ui';
import type { ReactNode } from 'react';
import { IconButton } from './button';

type Shape = {
  title: ReactNode;
  /** What a screen reader hears after the title. */
  description?: string;
  closeLabel: string;
  onClose: () => void;
  size?: 'small' | 'wide';
  /** Beside the close button. */
  tools?: ReactNode;
  children: ReactNode;
};

export function Modal({
  title,
  description,
  closeLabel,
  onClose,
  size = 'small',
  tools,
  children,
}: Shape) {
  return (
    <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
      <Dialog.Portal>
        <Dialog.Overlay className="fixed inset-0 z-40 bg-black/50" />
        <Dialog.Content
          {...(description === undefined && { 'aria-describedby': undefined })}
          className={clsx(
            'panel fixed z-50 flex flex-col shadow-2xl focus:outline-none',
            'inset-x-0 bottom-0 max-h-[96dvh] rounded-b-none sm:inset-x-auto sm:top-1/2 sm:bottom-auto sm:left-1/2 sm:max-h-[92dvh] sm:-translate-x-1/2 sm:-translate-y-1/2 sm:rounded-lg',
            size === 'wide'
              ? 'sm:w-[min(1080px,calc(100vw-2rem))]'
              : 'sm:w-[min(520px,calc(100vw-2rem))]',
          )}
        >
          <header className="flex items-start gap-3 border-b border-line px-4 py-3">
            <Dialog.Title className="min-w-0 flex-1 text-base font-semibold">{title}</Dialog.Title>
            {tools}
            <Dialog.Close asChild>
              <IconButton label={closeLabel} className="-my-1 -mr-2">
                <X size={18} />
              </IconButton>
            </Dialog.Close>
          </header>
          {description !== undefined && (
            <Dialog.Description className="sr-only">{description}</Dialog.Description>
          )}
          <div className="min-h-0 flex-1 overflow-y-auto p-4">{children}</div>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
