/** Form fields with their label, hint and error, tied together for a screen reader. */
import { type ReactNode, useId } from 'react';

type Shape = {
  label: string;
  hint?: string | undefined;
  error?: string | null | undefined;
  children: (ids: {
    id: string;
    'aria-describedby': string | undefined;
    'aria-invalid': boolean;
  }) => ReactNode;
};

const BOX = 'rounded-md border border-line-strong bg-page px-3';

export function Field({ label, hint, error, children }: Shape) {
  const id = useId();
  const about = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(' ');
  return (
    <div className="flex flex-col gap-1">
      <label htmlFor={id} className="font-medium">
        {label}
      </label>
      {children({ id, 'aria-describedby': about || undefined, 'aria-invalid': Boolean(error) })}
      {hint && (
        <p id={`${id}-hint`} className="text-sm text-soft">
          {hint}
        </p>
      )}
      {error && (
        <p id={`${id}-error`} role="alert" className="text-sm font-medium text-down">
          {error}
        </p>
      )}
    </div>
  );
}

type TextShape = Omit<Shape, 'children'> & {
  value: string;
  onChange: (value: string) => void;
  rows?: number;
  maxLength?: number;
  autoFocus?: boolean;
  mono?: boolean;
};

export function TextField({
  value,
  onChange,
  rows = 1,
  maxLength = 500,
  autoFocus = false,
  mono = false,
  ...rest
}: TextShape) {
  return (
    <Field {...rest}>
      {(ids) =>
        rows > 1 ? (
          <textarea
            {...ids}
            rows={rows}
            maxLength={maxLength}
            value={value}
            // biome-ignore lint/a11y/noAutofocus: a dialog's first field
            autoFocus={autoFocus}
            onChange={(event) => onChange(event.target.value)}
            className={`${BOX} py-1.5 ${mono ? 'font-mono text-sm' : ''}`}
          />
        ) : (
          <input
            {...ids}
            type="text"
            autoComplete="off"
            maxLength={maxLength}
            value={value}
            // biome-ignore lint/a11y/noAutofocus: a dialog's first field
            autoFocus={autoFocus}
            onChange={(event) => onChange(event.target.value)}
            className={`${BOX} h-9 ${mono ? 'font-mono text-sm' : ''}`}
          />
        )
      }
    </Field>
  );
}

export function ChoiceField({
  value,
  options,
  onChange,
  ...rest
}: Omit<Shape, 'children'> & {
  value: string;
  options: Readonly<Record<string, string>>;
  onChange: (value: string) => void;
}) {
  return (
    <Field {...rest}>
      {(ids) => (
        <select
          {...ids}
          value={value}
          onChange={(event) => onChange(event.target.value)}
          className={`${BOX} h-9`}
        >
          {Object.entries(options).map(([one, text]) => (
            <option key={one} value={one}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** Names and values, side by side where there is room. */
export function Facts({ rows }: { rows: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="grid grid-cols-1 gap-x-4 gap-y-1 sm:grid-cols-[max-content_1fr]">
      {rows.map(([name, value]) => (
        <div key={name} className="contents">
          <dt className="text-soft">{name}</dt>
          <dd className="min-w-0 break-words max-sm:mb-1">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
