/**
 * The one seam for who is signed in: an administrator's token, kept for this tab only.
 *
 * Everything else asks `session` for headers and tells it of a 401. Another way to sign in, such
 * as a cookie, changes this file and the sign-in form, and nothing else.
 */

const PLACE = 'defib.token';

export type SessionState = 'signedIn' | 'signedOut' | 'expired';

class Session {
  #token: string | null = stored();
  #state: SessionState = this.#token === null ? 'signedOut' : 'signedIn';
  #listeners = new Set<() => void>();

  /** What proves to the API who asks. */
  headers(): [string, string][] {
    return this.#token === null ? [] : [['Authorization', `Bearer ${this.#token}`]];
  }

  state = (): SessionState => this.#state;

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Begin a session with a token that the API has accepted. */
  begin(token: string): void {
    keep(token);
    this.#become(token, 'signedIn');
  }

  /** Leave on purpose. */
  end(): void {
    keep(null);
    this.#become(null, 'signedOut');
  }

  /** The API answered 401: the token is revoked or expired. The address stays where it is. */
  refused(): void {
    if (this.#state !== 'signedIn') return;
    keep(null);
    this.#become(null, 'expired');
  }

  #become(token: string | null, state: SessionState): void {
    this.#token = token;
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}

function stored(): string | null {
  try {
    return sessionStorage.getItem(PLACE);
  } catch {
    return null; // storage is switched off: the token lives as long as the page
  }
}

function keep(token: string | null): void {
  try {
    if (token === null) sessionStorage.removeItem(PLACE);
    else sessionStorage.setItem(PLACE, token);
  } catch {
    // See `stored`.
  }
}

export const session = new Session();
