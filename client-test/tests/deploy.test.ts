/**
 * The files of `deploy/`: their published schemas accept them, what they mount exists, the install script installs only what
 * its checksum fits, and the server works behind the documented configuration of a real Caddy.
 */

import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import * as yaml from "js-yaml";
import { io } from "socket.io-client";
import { PATIENCE } from "./support/inbox.ts";
import { Python } from "./support/python.ts";
import { has } from "./support/real-proxy.ts";
import { freePort, PUSH_ONLY, startServer, type OrionServer } from "./support/server.ts";

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

  test("every YAML file is whole", () => {
    const files = execFileSync("git", ["ls-files", "*.yml", "*.yaml"], { cwd: ROOT, encoding: "utf8" }).trim().split("\n");
    assert.ok(files.includes("deploy/alerts.yml"), files.join(" "));
    for (const file of files) {
      const documents = yaml.loadAll(read(file), undefined, { filename: file });
      assert.ok(documents.length > 0 && documents.every((document) => typeof document === "object" && document !== null), file);
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

describe("packages", () => {
  const dir = mkdtempSync(join(tmpdir(), "orion-install-"));
  const ARCHIVES = ["x86_64", "aarch64"].map((machine) => `orion-server-${machine}-unknown-linux-musl.tar.gz`);
  const files = new Map<string, Buffer>();
  const releases = createHttpServer((request, response) => {
    const file = files.get((request.url ?? "").slice(1));
    response.writeHead(file === undefined ? 404 : 200).end(file);
  });

  before(async () => {
    releases.listen(0, "127.0.0.1");
    await once(releases, "listening");
    const program = join(dir, "orion-server");
    writeFileSync(program, '#!/bin/sh\necho "orion-server 9.9.9"\n', { mode: 0o755 });
    await run("tar", ["-czf", join(dir, "archive.tar.gz"), "-C", dir, "orion-server"]);
    for (const archive of ARCHIVES) files.set(archive, readFileSync(join(dir, "archive.tar.gz")));
  });
  after(() => {
    releases.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const install = (home: string, shell = "sh") => {
    const { port } = releases.address() as { port: number };
    const env = { PATH: process.env["PATH"] ?? "", HOME: home, ORION_DOWNLOAD: `http://127.0.0.1:${port}` };
    return run(shell, [join(ROOT, "deploy/packages/install.sh")], { env, cwd: dir }).then(
      ({ stdout, stderr }) => ({ code: 0, text: stdout + stderr }),
      (error: { code: number; stdout: string; stderr: string }) => ({ code: error.code, text: error.stdout + error.stderr }),
    );
  };
  const sums = (text: (archive: string) => string) =>
    files.set("SHA256SUMS", Buffer.from([...ARCHIVES, "orion-server.rb"].map((name) => `${text(name)}  ${name}\n`).join("")));
  const sum = (name: string) => createHash("sha256").update(files.get(name) ?? "").digest("hex");

  test("the script installs what the checksum fits", { skip: process.platform !== "linux" }, async () => {
    sums(sum);
    const home = join(dir, "home");
    const installed = await install(home);
    assert.equal(installed.code, 0, installed.text);
    assert.match(installed.text, /installed orion-server 9\.9\.9 as .*\.local\/bin\/orion-server \(checksum verified\)/);
    assert.match(installed.text, /is not in PATH/);
    assert.deepEqual(readdirSync(join(home, ".local/bin")), ["orion-server"]);
    // Again, over itself.
    assert.equal((await install(home)).code, 0);
  });

  test("the script installs nothing else", { skip: process.platform !== "linux" }, async () => {
    const home = join(dir, "empty-home");
    sums(() => "0".repeat(64));
    const wrong = await install(home);
    assert.equal(wrong.code, 1);
    assert.match(wrong.text, /the checksum of .* is wrong: nothing was installed/);
    files.set("SHA256SUMS", Buffer.from(""));
    assert.match((await install(home)).text, /SHA256SUMS does not name/);
    files.delete("SHA256SUMS");
    assert.match((await install(home)).text, /cannot load .*SHA256SUMS/);
    assert.equal(existsSync(home), false);
  });

  test("the formula has the release's checksums", async () => {
    const targets = ["apple-darwin", "unknown-linux-musl"].flatMap((system) => ["x86_64", "aarch64"].map((machine) => `${machine}-${system}`));
    const lines = targets.map((target, at) => `${String(at).repeat(64)}  orion-server-${target}.tar.gz\n`);
    writeFileSync(join(dir, "SUMS"), lines.join(""));
    const formula = join(ROOT, "deploy/packages/formula.sh");
    const { stdout } = await run(formula, ["somebody/orion-server", "1.2.3", join(dir, "SUMS")]);
    targets.forEach((target, at) =>
      assert.match(stdout, new RegExp(`v1\\.2\\.3/orion-server-${target}\\.tar\\.gz"\\n\\s+sha256 "${String(at).repeat(64)}"`)),
    );
    writeFileSync(join(dir, "SUMS"), lines.slice(1).join(""));
    await assert.rejects(run(formula, ["somebody/orion-server", "1.2.3", join(dir, "SUMS")]), /does not name/);
  });

  test("systemd takes the unit, hardened", async (t) => {
    if (!(await has("systemd-analyze"))) return t.skip("systemd is not installed");
    // It looks for the program, which is not there before the package is.
    const unit = join(dir, "orion-server.service");
    writeFileSync(unit, read("deploy/packages/orion-server.service").replace("/usr/bin/orion-server", "/bin/true"));
    const verified = await run("systemd-analyze", ["verify", unit]);
    assert.equal(verified.stderr, "");
    // It fails beyond an exposure of 2.0 of 10.
    await run("systemd-analyze", ["security", "--offline=true", "--threshold=20", "--no-pager", unit]);
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
