/** The address bar as state: every view can be linked to, and Back undoes. */
import { useCallback, useMemo } from 'react';
import { useLocation, useSearch } from 'wouter';

export type Change = Record<string, string | readonly string[] | null>;

export function useAddress() {
  const [path, navigate] = useLocation();
  const search = useSearch();
  const params = useMemo(() => new URLSearchParams(search), [search]);
  /** Change parts of the query; `replace` where Back should not stop at it, as while typing. */
  const change = useCallback(
    (changes: Change, options: { replace?: boolean; path?: string } = {}) => {
      const next = changed(new URLSearchParams(location.search), changes);
      const text = next.toString();
      navigate(`${options.path ?? path}${text === '' ? '' : `?${text}`}`, {
        replace: options.replace ?? false,
      });
    },
    [path, navigate],
  );
  return { path, params, change, navigate };
}

export function changed(params: URLSearchParams, changes: Change): URLSearchParams {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    if (value === null) continue;
    for (const one of typeof value === 'string' ? [value] : value) next.append(name, one);
  }
  return next;
}
