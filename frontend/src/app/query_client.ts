/** How reads are cached and repeated. */
import { QueryClient } from '@tanstack/react-query';
import { isPassing } from '@/api/failure';

export const REFRESH_MS = 5000;

export function makeQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 2000,
        // A read that repeats itself every 5 s needs no hurry of its own.
        retry: (failures, error) => isPassing(error) && failures < 1,
        retryDelay: 1000,
        networkMode: 'always',
      },
      mutations: { retry: false, networkMode: 'always' },
    },
  });
}
