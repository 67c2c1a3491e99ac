// A device in Node: tells on standard output what it sees, and does what standard input
// says, a line each.
import { createInterface } from "node:readline";
import { connect } from "pushgate";
import WebSocket from "ws";
import { start } from "./device.mjs";

const device = start({
  connect,
  WebSocket,
  tell: (event) => console.log(JSON.stringify(event)),
  ...JSON.parse(process.argv[2]),
});

for await (const line of createInterface({ input: process.stdin })) {
  new Function("device", line)(device);
}
await device.connection.close();
