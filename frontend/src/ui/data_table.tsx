/** A plain table of few rows, which scrolls sideways on a phone; large lists have their own. */
import type { ReactNode } from 'react';

export type Row = { key: string; cells: readonly ReactNode[] };

export function DataTable({
  label,
  empty,
  columns,
  rows,
}: {
  label: string;
  /** Said where there are no rows. */
  empty: string;
  columns: readonly string[];
  rows: readonly Row[];
}) {
  if (rows.length === 0) return <p className="text-soft">{empty}</p>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section aria-label={label} className="overflow-x-auto" tabIndex={0}>
      <table className="w-full text-left text-sm">
        <thead>
          <tr className="border-b border-line text-soft">
            {columns.map((column) => (
              <th key={column} scope="col" className="py-1.5 pr-4 font-medium whitespace-nowrap">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody className="divide-y divide-line">
          {rows.map((row) => (
            <tr key={row.key} className="align-top">
              {row.cells.map((cell, index) => (
                <td key={columns[index]} className="py-1.5 pr-4">
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
