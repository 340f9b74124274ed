/** The echo server of `examples/echo.rs`, and clients that show every packet. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { WebSocket } from "ws";

/** What the echo server announces, in milliseconds and bytes. */
export const PING_INTERVAL = 300;
export const PING_TIMEOUT = 200;
export const MAX_PAYLOAD = 1_000_000;

/** A WebSocket must answer within this time. */
const PACKET_TIMEOUT = 5_000;

export interface Echo {
  /** `host:port` of Socket.IO, and of Engine.IO alone. */
  socketio: string;
  engineio: string;
  end(): void;
}

/** Starts the program that `ORION_ECHO` names. */
export async function startEcho(): Promise<Echo> {
  const program = process.env.ORION_ECHO;
  assert.ok(program, "ORION_ECHO names the program of examples/echo.rs: see `make test-protocol`");
  const child = spawn(program, { env: { PORT: "0" }, stdio: ["ignore", "pipe", "inherit"] });
  const addresses: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    addresses.push(line.replace("listening on 0.0.0.0", "127.0.0.1"));
    if (addresses.length === 2) break;
  }
  const [socketio, engineio] = addresses;
  assert.ok(socketio && engineio, "the echo server ended before it listened");
  return { socketio, engineio, end: () => child.kill() };
}

export const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A WebSocket whose messages wait until they are asked for. */
export class Socket {
  readonly #socket: WebSocket;
  readonly #messages: (string | Uint8Array)[] = [];
  #wake: () => void = () => {};
  #state: "connecting" | "open" | "closed" = "connecting";

  constructor(url: string) {
    this.#socket = new WebSocket(url);
    const changed = (state: "open" | "closed") => () => {
      this.#state = state;
      this.#wake();
    };
    this.#socket.on("open", changed("open"));
    this.#socket.on("close", changed("closed"));
    this.#socket.on("error", () => {});
    this.#socket.on("message", (data: Buffer, isBinary) => {
      this.#messages.push(isBinary ? Uint8Array.from(data) : data.toString());
      this.#wake();
    });
  }

  /** Waits until `find` finds something. */
  async #until<T>(what: string, find: () => T | undefined): Promise<T> {
    const deadline = Date.now() + PACKET_TIMEOUT;
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      assert.ok(Date.now() < deadline, `no ${what} within ${PACKET_TIMEOUT} ms`);
      await Promise.race([new Promise<void>((resolve) => (this.#wake = resolve)), sleep(100)]);
    }
  }

  async opened(): Promise<void> {
    const state = await this.#until("opening", () => (this.#state === "connecting" ? undefined : this.#state));
    assert.equal(state, "open");
  }

  /** The next message, whatever it is. */
  async next(): Promise<string | Uint8Array> {
    return this.#until("message", () => {
      const message = this.#messages.shift();
      if (message === undefined) assert.notEqual(this.#state, "closed", "closed before the message");
      return message;
    });
  }

  async text(): Promise<string> {
    const message = await this.next();
    assert.equal(typeof message, "string");
    return message as string;
  }

  /** Waits until the server has closed it. */
  async closed(): Promise<void> {
    await this.#until("close", () => (this.#state === "closed" ? true : undefined));
  }

  /** The same, before the client would have been pinged or dropped as silent. */
  async closedAtOnce(): Promise<void> {
    const began = performance.now();
    await this.closed();
    assert.ok(performance.now() - began < PING_INTERVAL + PING_TIMEOUT, "closed for another reason");
    // At most the packet that says so comes before, and no ping.
    assert.deepEqual(this.#messages.filter((message) => message !== "1"), []);
  }

  send(...messages: (string | Uint8Array)[]): void {
    for (const message of messages) this.#socket.send(message);
  }

  close(): void {
    this.#socket.close();
  }
}

export interface Answer {
  status: number;
  body: string;
}

export async function request(url: string, init?: RequestInit): Promise<Answer> {
  const response = await fetch(url, init);
  return { status: response.status, body: await response.text() };
}
