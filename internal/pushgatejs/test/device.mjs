// A user's device for the tests against a real gateway: it tells what it sees, in Node and
// in a browser alike. What it is told to do is evaluated with it in sight, as `device`.

export function start({ connect, WebSocket, tell, tokens, options }) {
  // Counts what comes over the wire: the client drops repeats.
  class Tapped extends WebSocket {
    constructor(...args) {
      super(...args);
      this.addEventListener("message", (event) => tell({ kind: "frame", id: JSON.parse(event.data).id }));
    }
  }
  const device = {
    failing: new Set(), // ids of messages that the handler throws at, once
    ask: async () => (await fetch(tokens)).text(),
  };
  device.connection = connect({
    token: () => device.ask(),
    WebSocket: Tapped,
    async onMessage({ id, data }) {
      if (device.failing.delete(id)) throw new Error("disk full");
      await null;
      tell({ kind: "message", id, text: data instanceof Uint8Array ? "bytes " + data.join() : JSON.stringify(data) });
    },
    onState: (state) => tell({ kind: "state", ...state }),
    onError: (error, message) => tell({ kind: "error", id: message?.id, text: String(error) }),
    ...options,
  });
  return device;
}
