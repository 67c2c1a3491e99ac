// Loading and polling. What was shown stays when a later request fails, with the
// failure beside it; a hidden page asks for nothing.
import { createContext } from 'preact';
import { useCallback, useContext, useEffect, useRef, useState } from 'preact/hooks';
import { Failure, Query, get } from './api';

/** Epoch rises when everything has to be asked for anew: another token, "refresh". */
export const Epoch = createContext(0);

export interface Loaded<T> {
  data?: T;
  failure?: Failure;
  loading: boolean;
  reload: () => void;
}

/**
 * useGet asks for path, and again every `every` milliseconds after the answer. An
 * undefined path asks for nothing.
 */
export function useGet<T>(path: string | undefined, q: Query = {}, every = 0): Loaded<T> {
  const epoch = useContext(Epoch);
  const [turn, setTurn] = useState(0);
  const [state, setState] = useState<{ key?: string; data?: T; failure?: Failure; loading: boolean }>({ loading: !!path });
  const reload = useCallback(() => setTurn((n) => n + 1), []);
  const key = path && path + '?' + JSON.stringify(q);
  const latest = useRef(q);
  latest.current = q;

  useEffect(() => {
    if (!path) {
      setState({ loading: false });
      return;
    }
    const aborted = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let under = false;
    setState((old) => (old.key === key ? { ...old, loading: true } : { key, loading: true }));
    const ask = async () => {
      timer = undefined;
      if (under || aborted.signal.aborted) return;
      under = true;
      try {
        const data = await get<T>(path, latest.current, aborted.signal);
        if (!aborted.signal.aborted) setState({ key, data, loading: false });
      } catch (error) {
        if (aborted.signal.aborted) return;
        setState((old) => ({ key, data: old.key === key ? old.data : undefined, failure: asFailure(error), loading: false }));
      } finally {
        under = false;
      }
      if (every && !document.hidden && !aborted.signal.aborted) timer = setTimeout(ask, every);
    };
    const seen = () => {
      clearTimeout(timer);
      if (every && !document.hidden) void ask();
    };
    document.addEventListener('visibilitychange', seen);
    void ask();
    return () => {
      aborted.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', seen);
    };
  }, [key, every, epoch, turn]);

  return { data: state.key === key ? state.data : undefined, failure: state.key === key ? state.failure : undefined, loading: state.key === key ? state.loading : !!path, reload };
}

export function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  return new Failure('The console failed', String(error), 'Reload the page.', -1);
}

/** useNow rises every so many milliseconds, for what is written as "3 s ago". */
export function useNow(every: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}
