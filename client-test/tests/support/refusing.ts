/** An HTTP proxy in front of the server, like those that let no WebSocket through, or no stream at all. */

import { once } from "node:events";
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";

export class RefusingProxy {
  /** Whether WebSockets are refused from now on. */
  refuseUpgrades = false;
  /** Handshakes that were refused. */
  refusedUpgrades = 0;
  /** Event streams that were refused. */
  refusedEvents = 0;
  readonly #sockets = new Set<Socket>();
  #refuseEvents = false;

  private constructor(
    private readonly server: Server,
    private readonly target: number,
  ) {
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("error", () => undefined);
    });
    server.on("request", (incoming, answer) => this.#pass(incoming, answer));
    server.on("upgrade", (incoming, socket, head) => this.#upgrade(incoming, socket as Socket, head));
  }

  static async before(target: number): Promise<RefusingProxy> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new RefusingProxy(server, target);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Ends every connection; from now on event streams are refused too. */
  refuseEvents(): void {
    this.#refuseEvents = true;
    this.cut();
  }

  /** Ends every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async end(): Promise<void> {
    this.server.close();
    this.cut();
    await once(this.server, "close");
  }

  #pass(incoming: IncomingMessage, answer: ServerResponse): void {
    if (this.#refuseEvents && incoming.url?.startsWith("/api/realtime/")) {
      this.refusedEvents += 1;
      answer.writeHead(502).end();
      return;
    }
    const { method, url, headers } = incoming;
    const onward = request({ host: "127.0.0.1", port: this.target, method, path: url, headers }, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.on("error", () => answer.destroy());
      response.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    answer.on("close", () => onward.destroy());
    incoming.pipe(onward);
  }

  #upgrade(incoming: IncomingMessage, client: Socket, head: Buffer): void {
    if (this.refuseUpgrades) {
      this.refusedUpgrades += 1;
      client.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    const upstream = connect(this.target, "127.0.0.1", () => {
      const lines = [`GET ${incoming.url} HTTP/1.1`];
      for (let at = 0; at < incoming.rawHeaders.length; at += 2) {
        lines.push(`${incoming.rawHeaders[at]}: ${incoming.rawHeaders[at + 1]}`);
      }
      upstream.write(`${lines.join("\r\n")}\r\n\r\n`);
      upstream.write(head);
      client.pipe(upstream).pipe(client);
    });
    upstream.on("error", () => client.destroy());
    upstream.on("close", () => client.destroy());
    client.on("close", () => upstream.destroy());
  }
}
