/** A reverse proxy that hands on what is below a path, with the path taken off, as nginx does for `location /orion/`. */

import { once } from "node:events";
import { createServer, request, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";

export class PrefixProxy {
  private constructor(
    private readonly server: Server,
    readonly prefix: string,
  ) {}

  /** @param prefix Such as `/orion/`. */
  static async before(target: number, prefix: string): Promise<PrefixProxy> {
    const forward = (incoming: IncomingMessage) =>
      request({
        host: "127.0.0.1",
        port: target,
        method: incoming.method,
        path: `/${(incoming.url ?? "").slice(prefix.length)}`,
        headers: incoming.headers,
      });
    const server = createServer((incoming, answer) => {
      if (!incoming.url?.startsWith(prefix)) {
        answer.writeHead(404).end("nothing here");
        return;
      }
      const upstream = forward(incoming);
      upstream.on("response", (response) => {
        answer.writeHead(response.statusCode ?? 502, response.headers);
        response.pipe(answer);
      });
      upstream.on("error", () => answer.destroy());
      answer.on("close", () => upstream.destroy());
      incoming.pipe(upstream);
    });
    server.on("upgrade", (incoming: IncomingMessage, client: Socket, head: Buffer) => {
      if (!incoming.url?.startsWith(prefix)) {
        client.end("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        return;
      }
      const upstream = forward(incoming);
      upstream.on("upgrade", (response, socket: Socket, first: Buffer) => {
        const headers = Object.entries(response.headers).map(([name, value]) => `${name}: ${String(value)}\r\n`);
        client.write(`HTTP/1.1 101 Switching Protocols\r\n${headers.join("")}\r\n`);
        client.write(first);
        socket.write(head);
        for (const [from, to] of [[client, socket], [socket, client]] as const) {
          from.pipe(to);
          from.on("error", () => to.destroy());
          from.on("close", () => to.destroy());
        }
      });
      upstream.on("response", (response) => {
        client.end(`HTTP/1.1 ${response.statusCode ?? 502} Refused\r\nContent-Length: 0\r\n\r\n`);
      });
      upstream.on("error", () => client.destroy());
      upstream.end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new PrefixProxy(server, prefix);
  }

  /** Where the server's `/` is, such as `http://127.0.0.1:4711/orion/`. */
  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}${this.prefix}`;
  }

  async end(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, "close");
  }
}
