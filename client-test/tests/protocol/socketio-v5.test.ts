/** Socket.IO 5 over Engine.IO 4: 32 cases. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { engineCases } from "./engine.ts";
import { Socket, startEcho, type Echo } from "./support.ts";

let echo: Echo;

before(async () => {
  echo = await startEcho();
});
after(() => echo.end());

describe("Engine.IO below Socket.IO", () =>
  engineCases({ version: 4, address: () => echo.socketio, echoes: false }));

/** Opens a session without a namespace. */
async function open(): Promise<Socket> {
  const socket = new Socket(`ws://${echo.socketio}/socket.io/?EIO=4&transport=websocket`);
  assert.match(await socket.text(), /^0\{/);
  return socket;
}

/** Asserts that the next packets join a namespace, which is told the client's `auth`. */
async function assertJoined(socket: Socket, namespace: "" | "/custom,", auth: string): Promise<void> {
  const reply = await socket.text();
  assert.ok(reply.startsWith(`40${namespace}{`), reply);
  const handshake = JSON.parse(reply.slice(2 + namespace.length));
  assert.deepEqual(Object.keys(handshake), ["sid"]);
  assert.equal(typeof handshake.sid, "string");
  assert.equal(await socket.text(), `42${namespace}["auth",${auth}]`);
}

async function joined(): Promise<Socket> {
  const socket = await open();
  socket.send("40");
  await assertJoined(socket, "", "{}");
  return socket;
}

describe("connect", () => {
  for (const [name, packet, namespace, auth] of [
    ["to the main namespace", "40", "", "{}"],
    ["to the main namespace, with auth", '40{"token":"123"}', "", '{"token":"123"}'],
    ["to a custom namespace", "40/custom,", "/custom,", "{}"],
    ["to a custom namespace, with auth", '40/custom,{"token":"abc"}', "/custom,", '{"token":"abc"}'],
  ] as const) {
    test(name, async () => {
      const socket = await open();
      socket.send(packet);
      await assertJoined(socket, namespace, auth);
      socket.close();
    });
  }
  test("to an unknown namespace is refused", async () => {
    const socket = await open();
    socket.send("40/random");
    assert.equal(await socket.text(), '44/random,{"message":"Invalid namespace"}');
    socket.close();
  });
  test("an invalid packet ends the connection", async () => {
    const socket = await open();
    socket.send("4abc");
    await socket.closedAtOnce();
  });
  test("a client that joins no namespace is dropped", async () => {
    await (await open()).closed();
  });
});

describe("disconnect", () => {
  test("from the main namespace", async () => {
    const socket = await joined();
    socket.send("41");
    assert.equal(await socket.text(), "2");
    socket.close();
  });
  test("from a custom namespace, and stay in the other", async () => {
    const socket = await joined();
    assert.equal(await socket.text(), "2");
    socket.send("3", "40/custom");
    await assertJoined(socket, "/custom,", "{}");
    socket.send("41/custom", '42["message","message to main namespace"]');
    assert.equal(await socket.text(), '42["message-back","message to main namespace"]');
    socket.close();
  });
});

describe("messages", () => {
  const attachments = [Uint8Array.from([1, 2, 3]), Uint8Array.from([4, 5, 6])];
  const placeholders = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';

  for (const [name, sent, answer] of [
    ["a text", '42["message",1,"2",{"3":[true]}]', '42["message-back",1,"2",{"3":[true]}]'],
    ["a text, acknowledged", '42456["message-with-ack",1,"2",{"3":[false]}]', '43456[1,"2",{"3":[false]}]'],
  ] as const) {
    test(name, async () => {
      const socket = await joined();
      socket.send(sent);
      assert.equal(await socket.text(), answer);
      socket.close();
    });
  }
  for (const [name, sent, answer] of [
    ["binary data", `452-["message",${placeholders}]`, `452-["message-back",${placeholders}]`],
    ["binary data, acknowledged", `452-789["message-with-ack",${placeholders}]`, `462-789[${placeholders}]`],
  ] as const) {
    test(name, async () => {
      const socket = await joined();
      socket.send(sent, ...attachments);
      assert.equal(await socket.text(), answer);
      for (const attachment of attachments) assert.deepEqual(await socket.next(), attachment);
      socket.close();
    });
  }
  for (const [name, packet] of [
    ["an unknown type of packet", "4abc"],
    ["a payload that is not an array", "42{}"],
    ["an acknowledgement without a number", '42abc["message-with-ack",1,"2",{"3":[false]}]'],
  ] as const) {
    test(`${name} ends the connection`, async () => {
      const socket = await joined();
      socket.send(packet);
      await socket.closedAtOnce();
    });
  }
});
