/** A message of the user. */
export interface Message<Data = unknown> {
    /** The same each time the message is offered. */
    id: string;
    /** Business type. */
    type: string;
    /** When it was produced (RFC 3339); the same each time it is offered. */
    time: string;
    /** Above 1: it was offered before, whether or not it came here. */
    attempt: number;
    /** The payload: a JSON value, or a Uint8Array where its content type is not JSON. */
    data: Data;
}
/** How the connection is doing. */
export type State = 
/** `attempt` counts from 1 since a connection has last proved stable. */
{
    name: "connecting";
    attempt: number;
} | {
    name: "open";
}
/**
 * A connection, or an attempt, has ended. After `final` there will be no other one;
 * otherwise `waiting` or `connecting` follows. 1006: no close frame, as when the
 * network fails or the handshake is refused; browsers do not say which.
 */
 | {
    name: "closed";
    code: number;
    reason: string;
    final: boolean;
}
/**
 * The next attempt comes after `delay` milliseconds, or sooner when the network is
 * back or the page is shown. `lost`: a connection had been open. `refused`: none came
 * about. `token`: the callback failed. `offline`: the browser says it has no network.
 */
 | {
    name: "waiting";
    delay: number;
    reason: "lost" | "refused" | "token" | "offline";
};
/** A token, or what gets one. */
export type Token = string | (() => string | undefined | Promise<string | undefined>);
/** What this needs of a WebSocket: the browser's, that of Node 22, or the package ws. */
export interface Socket {
    onopen: any;
    onmessage: any;
    onclose: any;
    onerror: any;
    send(text: string): void;
    close(code?: number): void;
}
export interface Options<Data = unknown> {
    /**
     * The gateway: ws(s)://host, or http(s)://, with a path in front or a query if there
     * is one. Also the whole address, /websocket/{type}/{user} included; `user` and `type`
     * do not count then. Default: the host of the page.
     */
    url?: string | URL;
    user?: string;
    /** Business type to take. Default: all. */
    type?: string;
    /**
     * A callback is asked before each connection, so that it can bring a fresh one. A
     * string that has expired (4401) is the end.
     */
    token?: Token;
    /**
     * Is called once for each message. It is acknowledged when this has returned, or what
     * it returned has resolved. When it throws or rejects, the message is not
     * acknowledged and comes again.
     */
    onMessage: (message: Message<Data>) => unknown;
    onState?: (state: State) => void;
    /**
     * What onMessage or token has thrown; `message` is the one that was being handled.
     * Default: console.error.
     */
    onError?: (error: unknown, message?: Message<Data>) => void;
    /**
     * How many messages are handled at a time. Default 1: one after another, in the order
     * in which they came.
     */
    concurrency?: number;
    /** How many ids of handled messages are remembered, to drop repeats. Default 4096. */
    remember?: number;
    /** Longest pause between two attempts, in milliseconds. Default 30000. */
    maxDelay?: number;
    /** How long a handshake may take, in milliseconds. Default 10000. */
    connectTimeout?: number;
    /**
     * How often a sign of life is sent, in milliseconds; with the package ws, how often is
     * looked for one of the gateway. Default 30000; not below 1.25 times its
     * session.ping_interval.
     */
    heartbeat?: number;
    /** Default: the global one, which Node has from 22 on. */
    WebSocket?: new (url: string, protocols: string[]) => Socket;
}
export interface Connection {
    readonly state: State;
    /**
     * Takes no more messages, waits for the handlers under way so that what they have
     * done is acknowledged, and ends the connection. Called again: does not wait any more.
     * Resolves when all is over.
     */
    close(): Promise<void>;
}
/** Connects as a user, and stays connected until close(), or a final end. */
export declare function connect<Data = unknown>(options: Options<Data>): Connection;
