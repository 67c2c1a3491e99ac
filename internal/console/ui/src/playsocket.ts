// The playground's connection: the client that browsers use (pushgate.js), with an eye
// on what comes over the socket, since the client hands a message over only once.
import { Socket, connect as connectClient } from '../../../pushgatejs/src/pushgate';
import { token } from './api';
import { payloadText } from './format';

export interface Received {
  id: string;
  type: string;
  time: string;
  attempt: number;
  text: string;
}

export interface Link {
  /** acknowledge has the client acknowledge a message, now or when it is connected again. */
  acknowledge: (id: string) => void;
  close: () => void;
}

interface Told {
  state: (state: 'connecting' | 'open' | 'closed', why: string) => void;
  frame: (frame: Received) => void;
}

const closeWords: Record<number, string> = {
  1000: 'Closed.',
  1001: 'The node is draining.',
  1006: 'The connection broke, or was refused: the node is not ready, or the token may not connect.',
  1008: 'The node refused: a rule was broken.',
  1009: 'A message was too big.',
  1013: 'Too slow, or the node is full.',
  4401: 'The token has expired.',
  4409: 'Another connection of this user took the place.',
};

/** No message waits for another to be acknowledged by hand. */
const atATime = 1024;

export function connect(user: string, told: Told): Link {
  const url = new URL(`v1/websocket/all/${encodeURIComponent(user)}`, location.href.split('#')[0]);
  const handlers = new Map<string, () => void>();
  const early = new Set<string>(); // acknowledged before the client has asked for it
  let ended = false;

  class Watched extends WebSocket {
    constructor(address: string, protocols: string[]) {
      super(address, protocols);
      this.addEventListener('message', (e) => {
        if (ended) return;
        const f = JSON.parse(String(e.data)) as Omit<Received, 'text'> & { data?: unknown; data_base64?: string };
        const { id, type, time, attempt, data, data_base64 } = f;
        told.frame({ id, type, time, attempt, text: typeof data === 'string' ? JSON.stringify(data) : payloadText({ data, data_base64 }).text });
      });
    }
  }

  let why = '';
  const connection = connectClient({
    url,
    token: token.get() || undefined,
    concurrency: atATime,
    WebSocket: Watched as unknown as new (url: string, protocols: string[]) => Socket,
    onMessage: ({ id }) => {
      if (early.delete(id)) return undefined;
      return new Promise<void>((done) => handlers.set(id, done));
    },
    onError: (error) => {
      why = String(error);
    },
    onState(state) {
      if (ended) return;
      switch (state.name) {
        case 'connecting':
          told.state('connecting', why);
          break;
        case 'open':
          why = '';
          told.state('open', '');
          break;
        case 'waiting':
          told.state('connecting', `${why} Tries again in ${(state.delay / 1000).toFixed(1)} s.`.trim());
          break;
        case 'closed':
          why = [closeWords[state.code] ?? `Closed with code ${state.code}.`, state.reason].filter(Boolean).join(' ');
          if (state.final) told.state('closed', why);
      }
    },
  });
  return {
    acknowledge(id) {
      const done = handlers.get(id);
      handlers.delete(id);
      if (done) done();
      else early.add(id);
    },
    close() {
      ended = true;
      void connection.close();
      void connection.close(); // what nobody acknowledged is not waited for
    },
  };
}
