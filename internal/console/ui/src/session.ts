// Who looks at what: the session of the page with its node.
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Session } from './api';

export const Current = createContext<Session | undefined>(undefined);

export function useSession(): Session | undefined {
  return useContext(Current);
}

/** useForbidden returns why nothing may be changed here, '' where it may. */
export function useForbidden(): string {
  return useSession()?.role === 'reader' ? 'Your token may look, but not change anything: this takes the operator’s token (admin.token).' : '';
}

const key = 'pushgate-operator';

/** The name under which an operator's doings are recorded; remembered. */
export const operatorName = {
  get(): string {
    try {
      return localStorage.getItem(key) ?? '';
    } catch {
      return '';
    }
  },
  set(name: string): void {
    try {
      localStorage.setItem(key, name);
    } catch {
      // It is asked for again, then.
    }
  },
};
