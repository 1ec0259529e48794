/** Which keys do what. */
import { en } from '@/text/en';
import { Modal } from '@/ui/modal';

const { keys, groups } = en.help;

const GROUPS: readonly [string, readonly [string[], string][]][] = [
  [
    groups.anywhere,
    [
      [['?'], keys.help],
      [['/'], keys.search],
      [['g', 'f'], keys.goFleet],
      [['g', 's'], keys.goSystem],
      [['g', 'c'], keys.goSettings],
      [['g', 'a'], keys.goAudit],
      [['d'], keys.theme],
      [['u'], keys.zone],
    ],
  ],
  [
    groups.fleet,
    [
      [['↑', '↓'], keys.move],
      [['Enter'], keys.open],
      [['v', 'c'], keys.viewCards],
      [['v', 't'], keys.viewTable],
      [['v', 'm'], keys.viewMap],
    ],
  ],
  [groups.dialogs, [[['Esc'], keys.close]]],
];

export function KeyboardHelp({ onClose }: { onClose: () => void }) {
  return (
    <Modal title={en.help.title} closeLabel={en.help.close} onClose={onClose}>
      {GROUPS.map(([title, entries]) => (
        <section key={title} className="mb-4 last:mb-0">
          <h3 className="mb-1 text-xs font-semibold tracking-wide text-soft uppercase">{title}</h3>
          <dl className="divide-y divide-line">
            {entries.map(([pressed, text]) => (
              <div key={text} className="flex items-center justify-between py-1.5">
                <dt>{text}</dt>
                <dd className="flex gap-1">
                  {pressed.map((key) => (
                    <kbd
                      key={key}
                      className="min-w-6 rounded-sm border border-line-strong bg-raised px-1.5 text-center font-mono text-xs"
                    >
                      {key}
                    </kbd>
                  ))}
                </dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
    </Modal>
  );
}
