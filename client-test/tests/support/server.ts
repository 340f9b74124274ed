/** Runs the real server binary for a suite: fresh data directory, free port, captured log. */

import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { PATIENCE } from "./inbox.ts";

export const TOKEN = "suite-token";

const READY_WITHIN = 60_000;
const STOPPED_WITHIN = 60_000;

export interface ServerOptions {
  /** Settings on top of the suite's defaults. */
  readonly env?: Record<string, string>;
  /** Both are given to start a stopped server again. */
  readonly port?: number;
  readonly dataDir?: string;
}

export interface Answer {
  readonly status: number;
  // Bodies are checked by the tests themselves.
  readonly body: any;
}

export class OrionServer {
  readonly url: string;
  readonly wsUrl: string;
  #log = "";

  constructor(
    private readonly child: ChildProcess,
    readonly port: number,
    readonly dataDir: string,
  ) {
    this.url = `http://127.0.0.1:${port}`;
    this.wsUrl = `ws://127.0.0.1:${port}`;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk: Buffer) => (this.#log = (this.#log + chunk.toString()).slice(-200_000)));
    }
  }

  get log(): string {
    return this.#log;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** SIGTERM to this one process; a stop that is not clean fails the suite. */
  async stop(): Promise<void> {
    if (!this.running) return;
    const exit = once(this.child, "exit", { signal: AbortSignal.timeout(STOPPED_WITHIN) });
    this.child.kill("SIGTERM");
    let code: unknown;
    try {
      [code] = await exit;
    } catch {
      this.child.kill("SIGKILL");
      assert.fail(`the server did not stop within ${STOPPED_WITHIN} ms of SIGTERM\n${this.#log}`);
    }
    assert.equal(code, 0, `exit code after SIGTERM\n${this.#log}`);
  }

  /** SIGKILL to this one process: no client is told anything. */
  async kill(): Promise<void> {
    const exit = once(this.child, "exit", { signal: AbortSignal.timeout(STOPPED_WITHIN) });
    this.child.kill("SIGKILL");
    await exit;
  }

  /** How many clients are connected, over all transports. */
  async connections(): Promise<number> {
    const { body } = await this.get("/metrics");
    const lines = String(body).split("\n").filter((line) => line.startsWith("orion_connections{"));
    return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }

  /** Stops for good. */
  async end(): Promise<void> {
    await this.stop();
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  get(path: string): Promise<Answer> {
    return this.request("GET", path);
  }

  post(path: string, body: unknown, token: string | null = TOKEN): Promise<Answer> {
    return this.request("POST", path, body, token);
  }

  patch(path: string, body: unknown, token: string | null = TOKEN): Promise<Answer> {
    return this.request("PATCH", path, body, token);
  }

  private async request(method: string, path: string, body?: unknown, token: string | null = null): Promise<Answer> {
    const headers: Record<string, string> = {};
    if (token !== null) headers["authorization"] = `Bearer ${token}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    const response = await fetch(this.url + path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(PATIENCE),
    });
    const text = await response.text();
    try {
      return { status: response.status, body: JSON.parse(text) };
    } catch {
      return { status: response.status, body: text };
    }
  }
}

export async function startServer({ env = {}, port, dataDir }: ServerOptions = {}): Promise<OrionServer> {
  const at = port ?? (await freePort());
  const directory = dataDir ?? mkdtempSync(join(tmpdir(), "orion-suite-"));
  const child = spawn(binary(), [], {
    cwd: directory,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"] ?? "",
      PORT: String(at),
      ORION_HOST: "127.0.0.1",
      ORION_DATA_DIR: directory,
      ORION_INGEST_TOKEN: TOKEN,
      // The start page has a suite of its own.
      ORION_FIRST_RUN: "0",
      // Suites try as many tokens as they like.
      ORION_LIMITS__WRONG_TOKENS_PER_MINUTE: "0",
      ...env,
    },
  });
  const server = new OrionServer(child, at, directory);
  const deadline = Date.now() + READY_WITHIN;
  // There is no event to wait for across the process border: ask, with a bound.
  while (Date.now() < deadline && server.running) {
    const ready = await fetch(`${server.url}/ready`, { signal: AbortSignal.timeout(2_000) }).catch(() => null);
    if (ready?.status === 200) return server;
    await pause(50);
  }
  child.kill("SIGKILL");
  throw new Error(`the server was not ready within ${READY_WITHIN} ms\n${server.log}`);
}

/** Settings of suites that make all data themselves: no simulator, quick publishing. */
export const PUSH_ONLY = { ORION_SOURCES: "none", ORION_PUBLISH_INTERVAL: "100ms" };

export function binary(): string {
  const built = ["release", "debug"].map((profile) =>
    fileURLToPath(new URL(`../../../target/${profile}/orion-server`, import.meta.url)),
  );
  const given = process.env["ORION_BIN"];
  const found = given === undefined ? built.find(existsSync) : given;
  if (found === undefined) throw new Error("no server binary: build it, or name one in ORION_BIN");
  return found;
}

/** Below those that systems give to whoever asks for none: it is still free when the server is there, and when it is back. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 15_000);
    const probe = createServer().listen(port, "127.0.0.1");
    const free = await once(probe, "listening").then(
      () => true,
      () => false,
    );
    if (!free) continue;
    probe.close();
    await once(probe, "close");
    return port;
  }
}
