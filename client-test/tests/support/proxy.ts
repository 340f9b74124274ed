/** A TCP proxy in front of the server whose connections a test can cut. */

import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

export class CuttingProxy {
  readonly #pairs = new Set<[Socket, Socket]>();
  #open = true;
  /** Bytes from the server after which a connection made from now on ends. */
  #allowance = Number.POSITIVE_INFINITY;

  private constructor(
    private readonly server: Server,
    private readonly target: number,
  ) {
    server.on("connection", (client) => this.#join(client));
  }

  static async before(target: number): Promise<CuttingProxy> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new CuttingProxy(server, target);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Resets every connection and refuses new ones until `mend`. */
  cut(): void {
    this.#open = false;
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  /** Lets connections through again; with an allowance each ends in the middle of what the server sends. */
  mend(allowance = Number.POSITIVE_INFINITY): void {
    this.#open = true;
    this.#allowance = allowance;
  }

  async end(): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, "close");
  }

  #join(client: Socket): void {
    if (!this.#open) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect(this.target, "127.0.0.1");
    const pair: [Socket, Socket] = [client, upstream];
    this.#pairs.add(pair);
    for (const socket of pair) {
      socket.on("error", () => undefined);
      socket.on("close", () => {
        this.#pairs.delete(pair);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream);
    let left = this.#allowance;
    upstream.on("data", (chunk: Buffer) => {
      if (left <= 0) return;
      client.write(left < chunk.length ? chunk.subarray(0, left) : chunk);
      left -= chunk.length;
      if (left <= 0) client.destroySoon();
    });
  }
}
