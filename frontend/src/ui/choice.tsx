/** A choice among few: the browser's own list, which every keyboard and phone knows. */
import { ChevronDown } from 'lucide-react';

export function Choice({
  label,
  value,
  options,
  onChange,
}: {
  label: string;
  value: string;
  options: readonly (readonly [string, string])[];
  onChange: (value: string) => void;
}) {
  return (
    <span className="relative inline-flex max-w-full max-sm:w-[calc(50%-0.25rem)]">
      <select
        aria-label={label}
        value={value}
        onChange={(event) => onChange(event.target.value)}
        className="h-8 max-w-full appearance-none max-sm:w-full sm:max-w-44 truncate rounded-md border border-line-strong bg-surface pr-7 pl-2.5 font-medium hover:bg-raised"
      >
        {options.map(([one, text]) => (
          <option key={one} value={one}>
            {text}
          </option>
        ))}
      </select>
      <ChevronDown
        size={14}
        aria-hidden="true"
        className="pointer-events-none absolute top-1/2 right-2 -translate-y-1/2 text-soft"
      />
    </span>
  );
}
