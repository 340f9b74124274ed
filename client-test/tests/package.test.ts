/** The package as npm would publish it: it is complete, typed for both ways of resolving modules, and runs in Node.js. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startServer, type OrionServer } from "./support/server.ts";

const run = promisify(execFile);
const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const dir = mkdtempSync(join(tmpdir(), "orion-package-"));
const CONSUMER = `
import { io, type Socket } from "socket.io-client";
import { OrionAdapter, type ClientEvents, type ServerEvents, type Signal } from "orion-client";

const url = process.env["ORION_URL"]!;
const socket: Socket<ServerEvents, ClientEvents> = io(url);
socket.on("signal", (signal, { cursor }) => void (signal.take_profits[0]?.toFixed(), cursor.length));
socket.on("trades", (_trade, meta) => void meta.sequence.toFixed());
// @ts-expect-error: there is no such event.
socket.on("signals", () => undefined);
// @ts-expect-error: there is no such channel.
socket.emit("subscribe", ["signal"]);
const answered = new Promise<string>((resolve) =>
  socket.emit("subscribe", { channels: ["prices"], symbols: ["EURUSD"] }, (answer) => resolve(answer.channels.join())),
);
const orion = new OrionAdapter(url);
const first = new Promise<Signal>((resolve) => orion.on("signal", resolve));
console.log(await answered, (await first).symbol);
orion.close();
socket.close();
`;

let server: OrionServer;

before(async () => {
  server = await startServer({});
  const { stdout } = await run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", dir], { cwd: PACKAGE });
  const [packed] = JSON.parse(stdout) as [{ filename: string }];
  const modules = join(dir, "node_modules");
  mkdirSync(join(modules, "orion-client"), { recursive: true });
  await run("tar", ["--extract", "--strip-components=1", "--file", join(dir, packed.filename), "--directory", join(modules, "orion-client")]);
  for (const name of ["socket.io-client", "@types", ...readdirSync(join(PACKAGE, "node_modules")).filter((name) => /^(engine|socket)\.io|^@socket\.io$/.test(name))]) {
    const link = join(modules, name);
    if (!readdirSync(modules).includes(name)) symlinkSync(join(PACKAGE, "node_modules", name), link);
  }
  writeFileSync(join(dir, "package.json"), '{"type": "module"}');
  writeFileSync(join(dir, "consumer.ts"), CONSUMER);
});
after(async () => {
  await server?.end();
  rmSync(dir, { recursive: true, force: true });
});

describe("the package", () => {
  test("only what a page needs is in it", () => {
    const files = readdirSync(join(dir, "node_modules/orion-client"));
    assert.deepEqual(files.sort(), ["lib", "package.json"]);
  });

  for (const [module, resolution] of [["NodeNext", "NodeNext"], ["ESNext", "Bundler"]] as const) {
    test(`its events are typed with ${resolution}`, async () => {
      const tsc = join(PACKAGE, "node_modules/typescript/bin/tsc");
      const args = ["--strict", "--target", "ES2022", "--module", module, "--moduleResolution", resolution, "--types", "node"];
      const checked = await run(process.execPath, [tsc, ...args, "consumer.ts"], { cwd: dir }).then(
        () => "",
        (error: { stdout: string }) => error.stdout,
      );
      assert.equal(checked, "");
    });
  }

  test("it runs in Node.js", async () => {
    const env = { ...process.env, ORION_URL: server.url };
    const { stdout } = await run(process.execPath, ["consumer.js"], { cwd: dir, env, timeout: 60_000 });
    assert.match(stdout, /^prices [A-Z0-9]+\n$/);
  });
});
