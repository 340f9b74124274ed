/**
 * The description of the HTTP interface: a linter accepts it, and a tester that makes requests from it (schemathesis)
 * gets no answer that is not in it.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Python } from "./support/python.ts";
import { startServer, TOKEN, type OrionServer } from "./support/server.ts";
import { mint, SECRET } from "./support/tokens.ts";

const run = promisify(execFile);
const ADMIN = "an-admin-token-for-the-suite";
/** Seconds for all routes together. */
const LONGEST = 60;
const CHECKS = [
  "not_a_server_error",
  "status_code_conformance",
  "content_type_conformance",
  "response_headers_conformance",
  "response_schema_conformance",
].join(",");

let server: OrionServer;
let document: string;
const dir = mkdtempSync(join(tmpdir(), "orion-openapi-"));

/** Plays the Messaging API of LINE, which takes everything. */
const line = createServer((request, response) => {
  request.resume();
  response.writeHead(200, { "content-type": "application/json" }).end("{}");
});

before(async () => {
  line.listen(0, "127.0.0.1");
  await once(line, "listening");
  const { port } = line.address() as { port: number };
  server = await startServer({
    env: {
      ORION_ADMIN_TOKEN: ADMIN,
      ORION_JWT_SECRET: SECRET,
      ORION_MCP: "1",
      // Without LINE its routes answer 500, as ORION's back end does.
      ORION_NOTIFY__LINE__TOKEN: "line-token",
      ORION_NOTIFY__LINE__TO: "U1",
      ORION_NOTIFY__ALLOW_PLAIN_LOOPBACK: "1",
      ORION_NOTIFY__LINE__API_URL: `http://127.0.0.1:${port}`,
    },
  });
  document = join(dir, "openapi.json");
  writeFileSync(document, await (await fetch(`${server.url}/openapi.json`)).text());
});
after(async () => {
  await server?.end();
  line.close();
  rmSync(dir, { recursive: true, force: true });
});

describe("openapi.json", () => {
  test("a linter accepts it", async () => {
    const redocly = fileURLToPath(new URL("../node_modules/@redocly/cli/bin/cli.js", import.meta.url));
    const env = { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true" };
    const linted = await run(process.execPath, [redocly, "lint", "--extends=recommended", "--max-problems=20", document], { env }).catch(
      (error: { stdout: string; stderr: string }) => error,
    );
    const text = linted.stdout + linted.stderr;
    assert.match(text, /Your API description is valid/, text);
    assert.doesNotMatch(text, /You have \d+ warning/, text);
  });

  test("no answer is outside of it", async (t) => {
    const python = await Python.with("schemathesis");
    if (typeof python === "string") return t.skip(python);
    const tokens = { ingest: TOKEN, admin: ADMIN, user: mint("user_001") };
    const config = Object.entries(tokens).map(([name, token]) => `[auth.openapi.${name}]\nbearer = "${token}"\n`);
    writeFileSync(join(dir, "schemathesis.toml"), config.join(""));
    const tested = (args: string[]) =>
      python.run(
        ["-c", "from schemathesis.cli import schemathesis; schemathesis()", "--config-file", join(dir, "schemathesis.toml"), "run", ...args],
        { cwd: dir, timeout: 120_000 },
      );
    const options = ["--url", server.url, "--phases", "examples,coverage,fuzzing", "--checks", CHECKS, "--warnings", "off"];
    // The same requests in each run; another number looks elsewhere.
    options.push("--seed", process.env.ORION_SEED ?? "1");
    // The stream does not end.
    options.push("--exclude-path", "/api/realtime/events", "--exclude-path", "/api/stream", "--no-color");

    const whole = await tested([document, ...options, "--max-time", String(LONGEST)]);
    assert.equal(whole.code, 0, whole.text);
    assert.match(whole.text, /No issues found/, whole.text);

    // It does notice an answer that is left out.
    const told = JSON.parse(readFileSync(document, "utf8"));
    delete told.paths["/api/bars"].get.responses["422"];
    const lacking = join(dir, "lacking.json");
    writeFileSync(lacking, JSON.stringify(told));
    const noticed = await tested([lacking, ...options, "--include-path", "/api/bars", "--max-failures", "1", "--max-time", "20"]);
    assert.equal(noticed.code, 1, noticed.text);
    assert.match(noticed.text, /Undocumented status code/, noticed.text);
  });
});
