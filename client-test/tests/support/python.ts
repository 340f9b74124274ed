/** Releases of python-socketio and other packages, installed once below `.venv` and kept there. */

import { execFile, spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { delimiter } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

const VENV = at(".venv/venv");
const PYTHON = `${VENV}/bin/python`;
/** It is run a few times: compiling all of it would take longer. */
const INSTALL = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-compile", "--only-binary", ":all:"];
/** Without PyPI the suites go on soon. */
const UNREACHABLE = ["--retries", "1", "--timeout", "15"];

/** What a client noted: see `python/client.py` and `rust-socketio/src/main.rs`. */
export interface Noted {
  readonly connects: number;
  readonly disconnects: number;
  readonly signals: readonly [id: string, cursor: string][];
  readonly subscribed: number;
  readonly prices: number;
  readonly most_packets?: number;
}

export interface RunOptions {
  readonly cwd: string;
  readonly timeout: number;
  /** Folders with packages, before those of the release. */
  readonly path?: readonly string[];
  readonly env?: Record<string, string>;
}

let venv: Promise<string | null> | undefined;

/** Makes what all releases share; says why where that cannot be. */
async function makeVenv(): Promise<string | null> {
  if (existsSync(`${VENV}/bin/pip`)) return null;
  rmSync(VENV, { recursive: true, force: true });
  return run("python3", ["-m", "venv", VENV]).then(
    () => null,
    (error: unknown) => `there is no Python 3 with venv: ${lastLine(error)}`,
  );
}

export class Python {
  private constructor(private readonly packages: string) {}

  /** One with what `python/requirements-<release>.txt` names, or the reason why it cannot be installed. */
  static async with(release: string): Promise<Python | string> {
    const missing = await (venv ??= makeVenv());
    if (missing !== null) return missing;
    const wanted = at(`python/requirements-${release}.txt`);
    const packages = at(`.venv/${release}`);
    const mark = `${packages}/installed.txt`;
    if (existsSync(mark) && readFileSync(mark, "utf8") === readFileSync(wanted, "utf8")) return new Python(packages);
    rmSync(packages, { recursive: true, force: true });
    try {
      await run(PYTHON, ["-m", "pip", "install", ...INSTALL, ...UNREACHABLE, "--target", packages, "--requirement", wanted]);
    } catch (error) {
      return `PyPI is not at hand: ${lastLine(error)}`;
    }
    writeFileSync(mark, readFileSync(wanted));
    return new Python(packages);
  }

  /** Starts Python with these arguments. */
  start(args: string[], { path = [], env = {}, cwd }: RunOptions) {
    const all = { ...process.env, ...env, PYTHONPATH: [...path, this.packages].join(delimiter) };
    return spawn(PYTHON, args, { cwd, env: all, stdio: ["ignore", "pipe", "inherit"] });
  }

  /** Runs Python with these arguments; the code it exits with, and all that it printed. */
  async run(args: string[], { path = [], env = {}, ...options }: RunOptions): Promise<{ code: number; text: string }> {
    const all = { ...process.env, ...env, PYTHONPATH: [...path, this.packages].join(delimiter) };
    const ended = await run(PYTHON, args, { ...options, env: all, maxBuffer: 1 << 24 }).catch(
      (error: { code?: number; stdout: string; stderr: string }) => error,
    );
    return { code: "code" in ended ? (ended.code ?? -1) : 0, text: ended.stdout + ended.stderr };
  }

  /** Runs the client with these arguments for so many seconds. */
  client(args: string[], seconds: number): Promise<Noted> {
    return noted(PYTHON, [at("python/client.py"), ...args, String(seconds)], seconds, { PYTHONPATH: this.packages });
  }
}

/** Runs a client that prints what it noted. */
export async function noted(program: string, args: string[], seconds: number, env: Record<string, string> = {}): Promise<Noted> {
  const options = { timeout: (seconds + 120) * 1_000, maxBuffer: 1 << 24, env: { ...process.env, ...env } };
  const { stdout } = await run(program, args, options);
  return JSON.parse(stdout) as Noted;
}

function lastLine(error: unknown): string {
  const text = (error as { stderr?: string }).stderr || String(error);
  return text.trim().split("\n").at(-1) ?? "";
}
