/** Everything a client received, in order, and the means to wait for more of it. */

import assert from "node:assert/strict";

/** Milliseconds that anything may take that has to come: generous, because other suites share the machine. */
export const PATIENCE = 30_000;

/** What arrived: the event's name and its arguments. */
export interface Arrival {
  readonly name: string;
  // Arguments are checked by the tests themselves.
  readonly args: any[];
}

interface Emitting {
  on(name: string, listener: (...args: any[]) => void): unknown;
}

export class Inbox {
  readonly arrivals: Arrival[] = [];
  readonly #waiting = new Set<() => void>();

  push(name: string, ...args: unknown[]): void {
    this.arrivals.push({ name, args });
    for (const wake of [...this.#waiting]) wake();
  }

  /** The first arrival from `from` on that fits, already here or still to come. */
  next(
    name: string,
    predicate: (...args: any[]) => boolean = () => true,
    { from = 0, timeout = PATIENCE }: { from?: number; timeout?: number } = {},
  ): Promise<any[]> {
    const find = () => this.arrivals.slice(from).find((a) => a.name === name && predicate(...a.args))?.args;
    const here = find();
    if (here !== undefined) return Promise.resolve(here);
    return new Promise((resolve, reject) => {
      const finish = () => {
        clearTimeout(timer);
        this.#waiting.delete(look);
      };
      const look = () => {
        const args = find();
        if (args === undefined) return;
        finish();
        resolve(args);
      };
      const timer = setTimeout(() => {
        finish();
        const seen = this.arrivals.slice(from).map((a) => `${a.name} ${JSON.stringify(a.args)}`.slice(0, 200));
        reject(new assert.AssertionError({ message: `no fitting "${name}" within ${timeout} ms; came: ${seen.slice(-20).join("\n  ") || "nothing"}` }));
      }, timeout);
      this.#waiting.add(look);
    });
  }

  /** Everything of that name so far. */
  all(name: string, from = 0): any[][] {
    return this.arrivals.slice(from).filter((a) => a.name === name).map((a) => a.args);
  }

  /** Where the next arrival will stand: pass as `from`. */
  get mark(): number {
    return this.arrivals.length;
  }
}

/** Records the named events of a socket.io client, an adapter or anything alike. */
export function record(source: Emitting, ...names: string[]): Inbox {
  const inbox = new Inbox();
  for (const name of names) source.on(name, (...args) => inbox.push(name, ...args));
  return inbox;
}
