/**
 * The files of `deploy/`: their published schemas accept them, what they mount exists, and the server works behind the
 * documented configuration of a real Caddy.
 */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { io } from "socket.io-client";
import { PATIENCE } from "./support/inbox.ts";
import { Python } from "./support/python.ts";
import { PUSH_ONLY, startServer, type OrionServer } from "./support/server.ts";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const COMPOSE = ["deploy/compose.yml", "deploy/cluster/compose.yml"];
const WORKFLOWS = readdirSync(join(ROOT, ".github/workflows")).map((name) => `.github/workflows/${name}`);

const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

describe("deploy/", () => {
  const dir = mkdtempSync(join(tmpdir(), "orion-deploy-"));
  after(() => rmSync(dir, { recursive: true, force: true }));

  test("published schemas accept the files", async (t) => {
    const python = await Python.with("deploy");
    if (typeof python === "string") return t.skip(python);
    const options = { cwd: ROOT, timeout: 60_000 };
    const fits = (schema: string, files: string[]) =>
      python.run(["-m", "check_jsonschema", "--builtin-schema", `vendor.${schema}`, ...files], options);
    const strict = (file: string) => python.run(["-m", "kubernetes_validate", "--strict", file], options);
    const written = (name: string, text: string) => {
      writeFileSync(join(dir, name), text);
      return join(dir, name);
    };

    for (const accepted of [await fits("compose-spec", COMPOSE), await fits("github-workflows", WORKFLOWS), await strict("deploy/kubernetes.yml")]) {
      assert.equal(accepted.code, 0, accepted.text);
    }
    // They do notice a misspelled key.
    const compose = written("compose.yml", read("deploy/compose.yml").replace("stop_grace_period", "stop_grace_time"));
    assert.equal((await fits("compose-spec", [compose])).code, 1);
    const kubernetes = written("kubernetes.yml", read("deploy/kubernetes.yml").replace("terminationGracePeriodSeconds", "terminationGrace"));
    assert.equal((await strict(kubernetes)).code, 1);
  });

  test("what a Compose file mounts exists", () => {
    for (const file of COMPOSE) {
      const mounts = [...read(file).matchAll(/(\.\/[^:"\s]+):\//g)].map((found) => found[1] ?? "");
      assert.ok(mounts.length > 0, file);
      for (const mount of mounts) assert.ok(existsSync(resolve(ROOT, dirname(file), mount)), `${file}: ${mount}`);
    }
  });

  test("Prometheus takes its configuration and the rules", async (t) => {
    if (!(await has("promtool"))) return t.skip("promtool is not installed (on Debian and Ubuntu: apt-get install prometheus)");
    writeFileSync(join(dir, "alerts.yml"), read("deploy/alerts.yml"));
    writeFileSync(join(dir, "prometheus.yml"), read("deploy/compose/prometheus.yml"));
    const { stdout } = await run("promtool", ["check", "config", join(dir, "prometheus.yml")]);
    assert.match(stdout, /rules found/);
  });
});

describe("behind Caddy", () => {
  let server: OrionServer;
  before(async () => {
    server = await startServer({ env: PUSH_ONLY });
  });
  after(() => server?.end());

  test("streams work and metrics stay inside", async (t) => {
    if (!(await has("caddy"))) return t.skip("Caddy is not installed (on Debian and Ubuntu: apt-get install caddy)");
    const dir = mkdtempSync(join(tmpdir(), "orion-caddy-"));
    const port = await freePort();
    writeFileSync(join(dir, "Caddyfile"), `{\n\tadmin off\n}\n${read("deploy/compose/Caddyfile").replace("orion:8080", `127.0.0.1:${server.port}`)}`);
    const caddy = spawn("caddy", ["run", "--config", join(dir, "Caddyfile"), "--adapter", "caddyfile"], {
      env: { PATH: process.env["PATH"] ?? "", HOME: dir, ORION_SITE: `http://127.0.0.1:${port}` },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let log = "";
    caddy.stderr.on("data", (chunk: Buffer) => (log += chunk.toString()));
    const url = `http://127.0.0.1:${port}`;
    try {
      const deadline = Date.now() + PATIENCE;
      while ((await fetch(`${url}/ready`).catch(() => null))?.status !== 200) {
        assert.ok(Date.now() < deadline && caddy.exitCode === null, log);
        await pause(50);
      }
      assert.equal((await fetch(`${url}/metrics`)).status, 404);
      for (const transport of ["polling", "websocket"]) {
        const socket = io(url, { transports: [transport], reconnection: false });
        try {
          const subscribed = once(socket as never, "subscribed", { signal: AbortSignal.timeout(PATIENCE) });
          socket.on("connect", () => socket.emit("subscribe", ["signals"]));
          await subscribed;
        } finally {
          socket.disconnect();
        }
      }
    } finally {
      caddy.kill("SIGTERM");
      await once(caddy, "exit");
      rmSync(dir, { recursive: true, force: true });
    }
  });
});

async function has(program: string): Promise<boolean> {
  return run("which", [program]).then(
    () => true,
    () => false,
  );
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, "close");
  return port;
}
