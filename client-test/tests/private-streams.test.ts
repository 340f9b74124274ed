/** Users' own streams with the real Socket.IO clients: isolation, coming back, and tokens that are good for nothing. */

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, test } from "node:test";
import { io, type ManagerOptions, type Socket, type SocketOptions } from "socket.io-client";
import io2 from "socket.io-client-2";
import { Inbox, record } from "./support/inbox.ts";
import { CuttingProxy } from "./support/proxy.ts";
import { PUSH_ONLY, startServer, type OrionServer } from "./support/server.ts";
import { mint, SECRET } from "./support/tokens.ts";

const ADMIN = "suite-admin-token";
const AUDIENCE = "orion-suite";
const ENV = { ...PUSH_ONLY, ORION_JWT_SECRET: SECRET, ORION_ADMIN_TOKEN: ADMIN };
const KINDS = ["trades", "bots", "alerts", "notification", "admin_users"];
const QUICK = { reconnectionDelay: 50, reconnectionDelayMax: 200, randomizationFactor: 0 };

let server: OrionServer;

before(async () => {
  server = await startServer({ env: ENV });
});
after(() => server.end());

async function publish(to: OrionServer, events: unknown[]): Promise<void> {
  for (let at = 0; at < events.length; at += 100) {
    const answer = await to.post("/api/events", { events: events.slice(at, at + 100) });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
  }
}

function trade(user: string, id: string): unknown {
  const data = { id, platform: "luno", symbol: "BTC-ZAR", side: "buy", quantity: 1, price: 2, status: "filled" };
  return { type: "trades", user, data };
}

function bot(user: string, id: string, pnl = 0): unknown {
  return { type: "bots", user, data: { id, status: "running", pnl } };
}

interface Client {
  readonly socket: Socket;
  readonly inbox: Inbox;
}

/** Everything that the client is told stands in its inbox. */
function open(url: string, options: Partial<ManagerOptions & SocketOptions>): Client {
  const socket = io(url, { forceNew: true, ...QUICK, ...options });
  const inbox = record(socket, "connect", "disconnect", "connect_error");
  socket.onAny((name: string, ...args: unknown[]) => inbox.push(name, ...args));
  return { socket, inbox };
}

function messages(inbox: Inbox, from = 0): string[] {
  const told = inbox.arrivals.slice(from).filter(({ args }) => args.length === 2 && "sequence" in args[1]);
  return told.map(({ name, args }) => `${name} ${args[0].id}`);
}

for (const transport of ["websocket", "polling"] as const) {
  test(`${transport}: of 1,000 messages each user gets his own and those for everybody`, async () => {
    const [ann, bob, root] = [`ann-${transport}`, `bob-${transport}`, `root-${transport}`];
    const first = open(server.url, { transports: [transport], auth: { token: mint(ann) } });
    const second = open(`${server.url}/ws/signals`, { transports: [transport], query: { token: mint(bob) } });
    const admin = open(server.url, { transports: [transport], auth: { token: mint(root, { admin: true }) } });
    const guest = open(server.url, { transports: [transport] });
    const old = io2(server.url, { forceNew: true, transports: [transport], query: { token: mint(bob) } });
    const oldInbox = record(old, "connect", "message", ...KINDS, "subscribed");
    await oldInbox.next("connect");
    try {
      for (const { socket } of [first, second, admin]) socket.emit("subscribe", "user");
      guest.socket.emit("subscribe", null);
      guest.socket.emit("subscribe", ["user"]);
      old.send({ type: "subscribe", channels: ["user"] });
      for (const { inbox } of [first, second, admin]) {
        const [answer] = await inbox.next("subscribed");
        assert.deepEqual(answer.channels, ["user"]);
        assert.equal(answer.recovered, null);
        assert.equal(typeof answer.last_event_id, "number");
      }
      await oldInbox.next("message", (m) => m.type === "subscribed");
      const [error] = await guest.inbox.next("error");
      assert.equal(error.code, "token_required");

      const events = Array.from({ length: 1_000 }, (_, i) => {
        const id = `${transport}-${i}`;
        if (i % 5 === 0) return trade(ann, id);
        if (i % 5 === 1) return trade(bob, id);
        if (i % 5 === 2) return bot(bob, id);
        if (i % 5 === 3) return { type: "alerts", data: { id, severity: "info", message: "for all" } };
        return { type: "alerts", audience: "admin", data: { id, severity: "info", message: "for administrators" } };
      });
      await publish(server, [...events, { type: "alerts", data: { id: "last", severity: "info", message: "end" } }]);
      const of = (...rests: number[]) => {
        const kinds = ["trades", "trades", "bots", "alerts", "alerts"];
        const mine = events.map((_, i) => i).filter((i) => rests.includes(i % 5));
        return [...mine.map((i) => `${kinds[i % 5]} ${transport}-${i}`), "alerts last"];
      };
      for (const inbox of [first.inbox, second.inbox, admin.inbox, oldInbox]) {
        await inbox.next("alerts", (alert) => alert.id === "last");
      }
      assert.deepEqual(messages(first.inbox), of(0, 3));
      assert.deepEqual(messages(second.inbox), of(1, 2, 3));
      assert.deepEqual(messages(admin.inbox), of(3, 4));
      assert.deepEqual(messages(oldInbox), of(1, 2, 3));
      assert.deepEqual(messages(guest.inbox), []);
      const metas = first.inbox.all("trades").map(([, meta]) => meta);
      for (const { sequence, cursor } of metas) assert.match(cursor, new RegExp(`^[a-z0-9]+:m${sequence}$`));
    } finally {
      for (const { socket } of [first, second, admin, guest]) socket.close();
      old.close();
    }
  });

  test(`${transport}: a client that is cut, and whose server starts again, ends with each message once, in order`, async () => {
    let away = await startServer({ env: ENV });
    const proxy = await CuttingProxy.before(away.port);
    const { socket, inbox } = open(`http://127.0.0.1:${proxy.port}`, { transports: [transport], auth: { token: mint("ann") } });
    let last: string | undefined;
    socket.onAny((...args: any[]) => (last = args.at(-1)?.cursor !== undefined && args.length === 3 ? args[2].cursor : last));
    socket.on("connect", () => socket.emit("subscribe", { channels: "user", ...(last === undefined ? {} : { last_event_id: last }) }));
    const expected: string[] = [];
    const put = async (count: number) => {
      for (let i = 0; i < count; i += 1) {
        const id = `t${expected.length}`;
        await publish(away, [trade("ann", id), trade("bob", id), bot("ann", "b", expected.length)]);
        expected.push(id);
      }
    };
    try {
      await inbox.next("subscribed");
      for (const restart of [false, true, false]) {
        await put(3);
        await inbox.next("trades", (t) => t.id === expected.at(-1));
        const mark = inbox.mark;
        proxy.cut();
        await inbox.next("disconnect", undefined, { from: mark });
        await put(5);
        if (restart) {
          await away.stop();
          away = await startServer({ env: ENV, port: away.port, dataDir: away.dataDir });
          await put(2);
        }
        proxy.mend();
        const [answer] = await inbox.next("subscribed", undefined, { from: mark });
        assert.equal(answer.recovered, true);
        const [state] = inbox.all("bots", mark).at(-1) ?? [];
        assert.equal(state?.pnl, expected.length - 1, "the state as it is");
      }
      assert.deepEqual(inbox.all("trades").map(([t]) => t.id), expected);
    } finally {
      socket.close();
      await proxy.end();
      await away.end();
    }
  });
}

/** A token of any header, claims and signature. */
function forge(header: unknown, claims: unknown, secret: string | null): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const body = `${part(header)}.${part(claims)}`;
  return `${body}.${secret === null ? "" : createHmac("sha256", secret).update(body).digest("base64url")}`;
}

test("tokens that are good for nothing: connect_error, 401, and nothing else", async () => {
  const strict = await startServer({ env: { ...ENV, ORION_AUTH__JWT_AUDIENCE: AUDIENCE } });
  const now = Math.floor(Date.now() / 1_000);
  const header = { alg: "HS256", typ: "JWT" };
  const claims = { sub: "ann", iat: now - 60, exp: now + 3_600, aud: AUDIENCE };
  const good = forge(header, claims, SECRET);
  const [, , signature] = good.split(".");
  const bad = {
    expired: forge(header, { ...claims, exp: now - 60 }, SECRET),
    "without an end": forge(header, { ...claims, exp: undefined }, SECRET),
    "of nobody": forge(header, { ...claims, sub: undefined }, SECRET),
    "with another's claims": `${forge(header, { ...claims, sub: "bob" }, SECRET).split(".").slice(0, 2).join(".")}.${signature}`,
    "alg none": forge({ alg: "none", typ: "JWT" }, claims, null),
    "alg none, signed": forge({ alg: "none", typ: "JWT" }, claims, SECRET),
    "another algorithm": forge({ alg: "HS512", typ: "JWT" }, claims, SECRET),
    "wrong secret": forge(header, claims, "another secret, also of more than 32 bytes"),
    "wrong audience": forge(header, { ...claims, aud: "elsewhere" }, SECRET),
    "no audience": forge(header, { ...claims, aud: undefined }, SECRET),
    "no token": "nonsense",
  };
  try {
    await publish(strict, [bot("ann", "b")]);
    for (const [what, token] of Object.entries(bad)) {
      const { socket, inbox } = open(strict.url, { auth: { token } });
      socket.emit("subscribe", "user");
      const [error] = await inbox.next("connect_error");
      assert.ok(!error.message.includes(token), what);
      assert.equal(socket.active, false, `${what}: it does not ask again`);
      assert.deepEqual(inbox.arrivals.map((a) => a.name), ["connect_error"], what);
      socket.close();
      for (const [eio, bearer] of [[4, false], [4, true], [3, false]] as const) {
        const query = bearer ? "" : `&token=${token}`;
        const headers = bearer ? { authorization: `Bearer ${token}` } : {};
        const answer = await fetch(`${strict.url}/socket.io/?EIO=${eio}&transport=polling${query}`, { headers });
        assert.equal(answer.status, 401, what);
        assert.ok(!(await answer.text()).includes(token), what);
      }
      assert.ok(!strict.log.includes(token), `${what}: the log has it`);
    }
    const { socket, inbox } = open(strict.url, { auth: { token: good } });
    socket.emit("subscribe", "user");
    await inbox.next("bots");
    socket.close();
    assert.ok(!strict.log.includes(good), "the log has it");
  } finally {
    await strict.end();
  }
});

for (const [how, ttl] of [["expires", 3], ["is revoked", 3_600]] as const) {
  test(`a token that ${how} ends the connection; a new one goes on where it ended`, async () => {
    const user = `user-whose-token-${how}`;
    const { socket, inbox } = open(server.url, { auth: { token: mint(user, { ttl }) } });
    try {
      socket.emit("subscribe", "user");
      await inbox.next("subscribed");
      await publish(server, [trade(user, "t1")]);
      const [, { cursor }] = await inbox.next("trades");
      if (how === "is revoked") {
        const answer = await server.post("/api/admin/revoke", { user }, ADMIN);
        assert.equal(answer.status, 200);
      }
      const [reason] = await inbox.next("disconnect");
      assert.notEqual(reason, "io server disconnect", "it would stay away");
      const [error] = await inbox.next("connect_error");
      assert.match(error.message, /log in again/);
      assert.equal(socket.active, false);
      await publish(server, [trade(user, "t2")]);
      assert.deepEqual(messages(inbox), ["trades t1"]);

      const mark = inbox.mark;
      // Made after the one that was called back: by the whole seconds in which tokens count, and by the second by which the
      // issuer's clock was seen to be ahead.
      const iat = Math.floor(Date.now() / 1_000) + (how === "is revoked" ? 2 : 1);
      const token = forge({ alg: "HS256", typ: "JWT" }, { user_id: user, iat, exp: iat + 60 }, SECRET);
      socket.auth = { token, last_event_id: cursor };
      socket.connect();
      await inbox.next("connect", undefined, { from: mark });
      socket.emit("subscribe", "user");
      const [answer] = await inbox.next("subscribed", undefined, { from: mark });
      assert.equal(answer.recovered, true);
      assert.deepEqual(messages(inbox, mark), ["trades t2"]);
    } finally {
      socket.close();
    }
  });
}
