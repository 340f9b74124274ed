/** The documented cases of Engine.IO: of version 4, of version 3, and those that Socket.IO 5 repeats. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MAX_PAYLOAD, PING_INTERVAL, PING_TIMEOUT, Socket, request, sleep, type Answer } from "./support.ts";

export interface Engine {
  version: 3 | 4;
  /** `host:port`, once the server runs. */
  address: () => string;
  /** Whether the server sends back messages; Socket.IO would have to be joined first. */
  echoes: boolean;
}

/** Defines the cases. */
export function engineCases({ version, address, echoes }: Engine): void {
  const url = (query: string): string => `http://${address()}/socket.io/?${query}`;
  const polling = (more = ""): string => url(`EIO=${version}&transport=polling${more}`);
  const connect = (query = `EIO=${version}&transport=websocket`): Socket =>
    new Socket(url(query).replace("http", "ws"));
  const upgrading = (sid: string): Socket => connect(`EIO=${version}&transport=websocket&sid=${sid}`);
  /** Packets as the body of a request. */
  const payload = (...packets: string[]): string =>
    version === 4 ? packets.join("\x1e") : packets.map((packet) => `${packet.length}:${packet}`).join("");
  const poll = (sid: string, init?: RequestInit): Promise<Answer> => request(polling(`&sid=${sid}`), init);
  const post = (sid: string, body: string): Promise<Answer> => poll(sid, { method: "post", body });
  const OK = (body: string): Answer => ({ status: 200, body });

  async function open(more = version === 3 ? "&b64=1" : ""): Promise<string> {
    const { body } = await request(polling(more));
    return JSON.parse(body.slice(body.indexOf("{"))).sid;
  }

  /** Opens a session over WebSocket, and reads the packet that opens it. */
  async function openSocket(): Promise<Socket> {
    const socket = connect();
    assert.match(await socket.text(), /^0\{/);
    return socket;
  }

  function assertOpens(packet: string, upgrades: string[]): void {
    assert.ok(packet.startsWith("0{"), packet);
    const { sid, maxPayload, ...rest } = JSON.parse(packet.slice(1));
    assert.equal(typeof sid, "string");
    assert.deepEqual(rest, { upgrades, pingInterval: PING_INTERVAL, pingTimeout: PING_TIMEOUT });
    // Version 3 does not know it.
    if (version === 4 || maxPayload !== undefined) assert.equal(maxPayload, MAX_PAYLOAD);
  }

  describe("handshake over long polling", () => {
    test("opens a session", async () => {
      const { status, body } = await request(polling());
      assert.equal(status, 200);
      const packet = version === 4 ? body : body.slice(body.indexOf(":") + 1);
      assert.equal(body, payload(packet));
      assertOpens(packet, ["websocket"]);
    });
    if (version === 4) {
      test("an invalid EIO is refused", async () => {
        for (const query of ["transport=polling", "EIO=abc&transport=polling"]) {
          assert.equal((await request(url(query))).status, 400, query);
        }
      });
    }
    test("an invalid transport is refused", async () => {
      for (const query of [`EIO=${version}`, `EIO=${version}&transport=abc`]) {
        assert.equal((await request(url(query))).status, 400, query);
      }
    });
    test("an invalid method is refused", async () => {
      for (const method of ["post", "put"]) assert.equal((await request(polling(), { method })).status, 400, method);
    });
  });

  describe("handshake over WebSocket", () => {
    test("opens a session", async () => {
      const socket = connect();
      assertOpens(await socket.text(), []);
      socket.close();
    });
    test("an invalid EIO is refused", async () => {
      for (const query of ["transport=websocket", "EIO=abc&transport=websocket"]) await connect(query).closed();
    });
    test("an invalid transport is refused", async () => {
      for (const query of [`EIO=${version}`, `EIO=${version}&transport=abc`]) await connect(query).closed();
    });
  });

  if (echoes) messageCases();

  describe("heartbeat", () => {
    test("pings over long polling", async () => {
      const sid = await open();
      for (let round = 0; round < 3; round += 1) {
        const [ours, theirs] = version === 4 ? ["3", "2"] : ["2", "3"];
        if (version === 3) assert.equal((await post(sid, payload(ours))).status, 200);
        assert.deepEqual(await poll(sid), OK(payload(theirs)));
        if (version === 4) assert.equal((await post(sid, payload(ours))).status, 200);
      }
    });
    test("a client over long polling that is silent is dropped", async () => {
      const sid = await open();
      // Its time counts from the ping, which is not to the millisecond.
      await sleep(PING_INTERVAL + 2 * PING_TIMEOUT);
      const { status } = version === 4 ? await poll(sid) : await post(sid, payload("2"));
      assert.equal(status, 400);
    });
    test("pings over WebSocket, the first after the interval", async () => {
      const socket = await openSocket();
      for (let round = 0; round < 3; round += 1) {
        const began = performance.now();
        if (version === 3) socket.send("2");
        assert.equal(await socket.text(), version === 4 ? "2" : "3");
        if (version === 4) {
          const waited = performance.now() - began;
          assert.ok(waited > PING_INTERVAL / 2, `ping ${round} after ${waited} ms`);
          socket.send("3");
        }
      }
      socket.close();
    });
    test("a client over WebSocket that is silent is dropped", async () => {
      await connect().closed();
    });
  });

  describe("close", () => {
    test("the client closes over long polling", async () => {
      const sid = await open();
      const [polled] = await Promise.all([poll(sid), sleep(50).then(() => post(sid, payload("1")))]);
      assert.deepEqual(polled, OK(payload("6")));
      assert.equal((await poll(sid)).status, 400);
    });
    test("the client closes over WebSocket", async () => {
      const socket = await openSocket();
      socket.send("1");
      await socket.closedAtOnce();
    });
  });

  describe("upgrade", () => {
    test("from long polling to WebSocket", async () => {
      const sid = await open();
      const socket = upgrading(sid);
      await socket.opened();
      socket.send("2probe");
      assert.equal(await socket.text(), "3probe");
      // The packet that ends a poll.
      assert.deepEqual(await poll(sid), OK(payload("6")));
      socket.send("5");
      if (echoes) {
        socket.send("4hello");
        assert.equal(await socket.text(), "4hello");
      }
      socket.close();
    });
    test("a poll after the upgrade is refused", async () => {
      const sid = await open();
      const socket = upgrading(sid);
      await socket.opened();
      socket.send("2probe");
      if (echoes) assert.equal(await socket.text(), "3probe");
      socket.send("5");
      assert.equal((await poll(sid)).status, 400);
      if (echoes) {
        socket.send("4hello");
        assert.equal(await socket.text(), "4hello");
      }
      socket.close();
    });
    test("a second WebSocket after the upgrade is refused", async () => {
      const sid = await open();
      const socket = upgrading(sid);
      await socket.opened();
      socket.send("2probe");
      if (echoes) assert.equal(await socket.text(), "3probe");
      socket.send("5");
      await upgrading(sid).closed();
      if (echoes) {
        socket.send("4hello");
        assert.equal(await socket.text(), "4hello");
      }
      socket.close();
    });
  });

  function messageCases(): void {
    /** Asserts that packets come back as they were sent. */
    async function assertEchoed(...packets: string[]): Promise<void> {
      const sid = await open();
      assert.deepEqual(await post(sid, payload(...packets)), OK("ok"));
      assert.deepEqual(await poll(sid), OK(payload(...packets)));
    }
    const binary = version === 4 ? "bAQIDBA==" : "b4AQIDBA==";

    describe("messages over long polling", () => {
      test("one text", () => assertEchoed("4hello"));
      test("several texts", () => assertEchoed("4test1", "4test2", "4test3"));
      test("a text and binary data in base64", () => assertEchoed("4hello", binary));
      if (version === 3) {
        test("a text and binary data as they are", async () => {
          const sid = await open("");
          assert.deepEqual(await post(sid, payload("4hello", binary)), OK("ok"));
          const response = await fetch(polling(`&sid=${sid}`));
          const text = [0, 6, 255, 0x34, 0x68, 0x65, 0x6c, 0x6c, 0x6f];
          assert.deepEqual([...new Uint8Array(await response.arrayBuffer())], [...text, 1, 5, 255, 4, 1, 2, 3, 4]);
        });
      }
      test("an invalid packet ends the session", async () => {
        const sid = await open();
        // The server may close the connection instead of answering.
        const status = await post(sid, "abc").then((answer) => answer.status, () => 400);
        assert.equal(status, 400);
        assert.equal((await poll(sid)).status, 400);
      });
      if (version === 4) {
        test("two polls at a time end the session", async () => {
          const sid = await open();
          const [first, second] = await Promise.all([poll(sid), sleep(50).then(() => poll(`${sid}&t=second`))]);
          assert.deepEqual(first, OK("1"));
          assert.equal(second.status, 400);
          assert.equal((await poll(sid)).status, 400);
        });
        test("a poll that the client gives up ends the session", async () => {
          const sid = await open();
          const giveUp = new AbortController();
          poll(sid, { signal: giveUp.signal }).catch(() => {});
          await sleep(50);
          giveUp.abort();
          assert.equal((await poll(sid)).status, 400);
        });
      }
    });

    describe("messages over WebSocket", () => {
      test("a text", async () => {
        const socket = await openSocket();
        socket.send("4hello");
        assert.equal(await socket.text(), "4hello");
        socket.close();
      });
      test("binary data", async () => {
        const socket = await openSocket();
        const data = Uint8Array.from(version === 4 ? [1, 2, 3, 4] : [4, 1, 2, 3, 4]);
        socket.send(data);
        assert.deepEqual(await socket.next(), data);
        socket.close();
      });
      test("an invalid packet ends the session", async () => {
        const socket = await openSocket();
        socket.send("abc");
        await socket.closedAtOnce();
      });
    });
  }
}
