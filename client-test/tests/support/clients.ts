/** Connected clients of the four kinds, each with an inbox of what it received. */

import { io, type ManagerOptions, type Socket, type SocketOptions } from "socket.io-client";
import io2, { type SocketV2 } from "socket.io-client-2";
import { WebSocket } from "ws";
import { Inbox, record } from "./inbox.ts";

/** Where a Socket.IO client may connect: namespace in the URL, or the engine's other path. */
export const ENDPOINTS: readonly { name: string; namespace: string; path?: string }[] = [
  { name: "namespace /", namespace: "/" },
  { name: "namespace /ws/signals", namespace: "/ws/signals" },
  { name: "namespace /ws/signals/", namespace: "/ws/signals/" },
  { name: "path /ws/signals/", namespace: "/", path: "/ws/signals/" },
];

const EVENTS = ["connect", "disconnect", "connect_error", "signal", "price_update", "subscribed", "message"];

export interface V4 {
  readonly socket: Socket;
  readonly inbox: Inbox;
  /** Returns when everything the server sent before is here. */
  settle(): Promise<void>;
}

let pings = 0;

export async function connectV4(url: string, options: Partial<ManagerOptions & SocketOptions> = {}): Promise<V4> {
  const socket = io(url, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 200, ...options });
  const inbox = record(socket, ...EVENTS, "pong", "error");
  await inbox.next("connect");
  return {
    socket,
    inbox,
    async settle() {
      const timestamp = `settle-${(pings += 1)}`;
      socket.emit("ping", { timestamp });
      await inbox.next("pong", (pong) => pong.timestamp === timestamp);
    },
  };
}

export interface V2 {
  readonly socket: SocketV2;
  readonly inbox: Inbox;
  settle(): Promise<void>;
}

/** In v2 clients `ping`, `pong` and `error` are reserved names: those go through `message`. */
export async function connectV2(url: string, options: Record<string, unknown> = {}): Promise<V2> {
  const socket = io2(url, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 200, ...options });
  const inbox = record(socket, ...EVENTS);
  await inbox.next("connect");
  return {
    socket,
    inbox,
    async settle() {
      const timestamp = `settle-${(pings += 1)}`;
      socket.send({ type: "ping", timestamp });
      await inbox.next("message", (answer) => parsed(answer).timestamp === timestamp);
    },
  };
}

export interface Native {
  readonly ws: WebSocket;
  readonly inbox: Inbox;
  send(frame: unknown): void;
  settle(): Promise<void>;
}

/** Frames stand in the inbox under their `type`; `open`, `close` and frames without a type under those names. */
export async function connectNative(url: string): Promise<Native> {
  const ws = new WebSocket(url);
  const inbox = new Inbox();
  ws.on("open", () => inbox.push("open"));
  ws.on("close", (code, reason) => inbox.push("close", code, String(reason)));
  ws.on("error", () => undefined);
  ws.on("message", (data) => {
    const frame = JSON.parse(String(data));
    inbox.push(typeof frame.type === "string" ? frame.type : "untyped", frame);
  });
  await inbox.next("open");
  const send = (frame: unknown) => ws.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  return {
    ws,
    inbox,
    send,
    async settle() {
      const timestamp = `settle-${(pings += 1)}`;
      send({ type: "ping", timestamp });
      await inbox.next("pong", (pong) => pong.timestamp === timestamp);
    },
  };
}

/** An answer that came as `message`: an object, or the text of one. */
export function parsed(answer: unknown): any {
  return typeof answer === "string" ? JSON.parse(answer) : answer;
}
