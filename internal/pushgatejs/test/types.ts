// What an application writes, checked by tsc against the built types: each line that is
// wrong on purpose must stay an error.
import WebSocket from "ws";
import { connect, type Connection, type Message, type State } from "pushgate";

interface Order {
  order: number;
  state: string;
}

const connection: Connection = connect<Order>({
  url: new URL("wss://gateway.example"),
  user: "alice",
  type: "order",
  token: async () => "token",
  onMessage: async (message: Message<Order>) => message.data.order.toFixed(),
  onState(state: State) {
    if (state.name == "waiting") state.delay.toFixed();
    // @ts-expect-error: only what waits has a delay
    if (state.name == "open") state.delay;
  },
  onError: (error: unknown, message?: Message<Order>) => console.error(message?.id, error),
  WebSocket,
});
connection.close().then(() => connection.state.name);
connect({ user: "alice", onMessage: () => {}, WebSocket: globalThis.WebSocket });
// @ts-expect-error: without a handler there is nothing to acknowledge
connect({ user: "alice" });
// @ts-expect-error: a payload is unknown unless it is said what it is
connect({ user: "alice", onMessage: (message) => message.data.order });
