// Lists that go on: pages by cursor, appended.
import { useContext, useEffect, useRef, useState } from 'preact/hooks';
import { Failure, Query, get } from './api';
import { Epoch, asFailure } from './live';

interface Answer {
  next?: string;
  complete: boolean;
  scanned?: number;
  home_only?: boolean;
}

export interface Paged<T> {
  rows: T[];
  next: string;
  complete: boolean;
  scanned: number;
  homeOnly: boolean;
  asked: boolean;
  loading: boolean;
  failure?: Failure;
  more: () => void;
  reload: () => void;
}

const nothing = { rows: [], next: '', complete: false, scanned: 0, homeOnly: false, asked: false };

/** usePages asks for the first page of path, and for the next when told. */
export function usePages<T, A extends Answer>(path: string, q: Query, rowsOf: (answer: A) => T[] | null): Paged<T> {
  const epoch = useContext(Epoch);
  const [turn, setTurn] = useState(0);
  const [state, setState] = useState<{ rows: T[]; next: string; complete: boolean; scanned: number; homeOnly: boolean; asked: boolean }>(nothing);
  const [loading, setLoading] = useState(true);
  const [failure, setFailure] = useState<Failure>();
  const under = useRef<AbortController | undefined>(undefined);
  const key = path + JSON.stringify(q);

  const ask = async (cursor: string) => {
    under.current?.abort();
    const aborted = new AbortController();
    under.current = aborted;
    setLoading(true);
    setFailure(undefined);
    try {
      const answer = await get<A>(path, { ...q, cursor: cursor || undefined }, aborted.signal);
      if (aborted.signal.aborted) return;
      setState((old) => ({
        rows: cursor ? [...old.rows, ...(rowsOf(answer) ?? [])] : (rowsOf(answer) ?? []),
        next: answer.next ?? '',
        complete: answer.complete,
        scanned: (cursor ? old.scanned : 0) + (answer.scanned ?? 0),
        homeOnly: !!answer.home_only,
        asked: true,
      }));
      setLoading(false);
    } catch (error) {
      if (aborted.signal.aborted) return;
      setFailure(asFailure(error));
      setLoading(false);
    }
  };

  useEffect(() => {
    setState(nothing);
    void ask('');
    return () => under.current?.abort();
  }, [key, epoch, turn]);

  return { ...state, loading, failure, more: () => void ask(state.next), reload: () => setTurn((n) => n + 1) };
}
