/** Shows the description of the streams, `asyncapi.json`. The addresses are relative, so that it also works below a path. */

import { example, fieldsOf, resolved, typeOf, type Field, type Schema } from "./schema.ts";

interface Reference {
  readonly $ref: string;
}

interface Message {
  readonly name: string;
  readonly summary?: string;
  readonly payload: Schema;
  /** Over Socket.IO the second argument. */
  readonly headers?: Schema;
}

interface Close {
  readonly code: number;
  readonly reason: string;
  readonly description: string;
}

interface Parameters {
  readonly properties: Readonly<Record<string, { readonly description: string }>>;
}

interface Channel {
  readonly address: string;
  readonly title: string;
  readonly description: string;
  readonly servers: readonly Reference[];
  readonly tags: readonly { readonly name: string }[];
  readonly messages: Readonly<Record<string, Reference>>;
  readonly bindings?: { readonly ws: { readonly query: Parameters } };
  readonly "x-aliases"?: readonly string[];
  readonly "x-resume"?: string;
  readonly "x-auth"?: Parameters;
  readonly "x-query"?: Parameters;
  readonly "x-close-codes"?: readonly Close[];
}

interface Operation {
  readonly action: "send" | "receive";
  readonly channel: Reference;
  readonly messages: readonly Reference[];
  readonly security?: readonly Reference[];
  readonly reply?: { readonly messages: readonly Reference[] };
}

interface Description {
  readonly info: { readonly version: string; readonly description: string; readonly tags: readonly { readonly name: string }[] };
  readonly channels: Readonly<Record<string, Channel>>;
  readonly operations: Readonly<Record<string, Operation>>;
  readonly components: { readonly messages: Readonly<Record<string, Message>> };
}

const KINDS: Readonly<Record<string, string>> = { native: "WebSocket", socketio: "Socket.IO", events: "Server-sent events" };

function element(name: string, content: (Node | string)[] = [], attributes: Record<string, string> = {}): HTMLElement {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...content);
  return made;
}

/** Text with `code` and **bold** in it. */
function inline(text: string): Node[] {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`")) return element("code", [part.slice(1, -1)]);
    if (part.startsWith("**")) return element("strong", [part.slice(2, -2)]);
    return document.createTextNode(part);
  });
}

function paragraphs(text: string): HTMLElement[] {
  return text.split("\n\n").map((paragraph) => element("p", inline(paragraph)));
}

function table(heads: string[], rows: (Node | string)[][]): HTMLElement {
  const head = element("tr", heads.map((text) => element("th", [text])));
  const row = (cells: (Node | string)[]) =>
    element("tr", cells.map((cell, column) => element("td", [cell], column === 0 ? { class: "name" } : {})));
  return element("table", [head, ...rows.map(row)]);
}

function fields(schema: Schema): HTMLElement {
  const row = ({ name, depth, isRequired, schema }: Field): (Node | string)[] => {
    const optional = isRequired ? [] : [element("span", [" optional"], { class: "optional" })];
    const label = element("span", ["  ".repeat(depth), element("code", [name]), ...optional]);
    return [label, typeOf(schema), element("span", inline(schema.description ?? ""))];
  };
  return table(["field", "type", ""], fieldsOf(schema).map(row));
}

function shown(message: Message, answers: readonly string[]): HTMLElement {
  const { name, summary = "", payload, headers } = message;
  const parts: (Node | string)[] = [];
  if (answers.length > 0) parts.push(element("p", ["Answered by ", ...answers.flatMap((answer, at) => [at > 0 ? ", " : "", element("code", [answer])])]));
  if (fieldsOf(payload).length > 0) parts.push(fields(payload));
  else parts.push(element("p", [typeOf(payload)]));
  if (headers !== undefined) parts.push(element("h4", ["Second argument"]), fields(headers));
  parts.push(element("pre", [JSON.stringify(example(payload), null, 2)]));
  const words = [name, summary, ...fieldsOf(payload).map((field) => field.name)].join(" ").toLowerCase();
  const head = element("summary", [element("code", [name]), element("span", inline(summary))]);
  return element("details", [head, element("div", parts)], { "data-words": words });
}

function section(name: string, channel: Channel, description: Description): HTMLElement {
  const last = ({ $ref }: Reference) => $ref.split("/").pop() ?? "";
  const operations = Object.values(description.operations).filter((operation) => last(operation.channel) === name);
  const message = (key: string) => description.components.messages[last(channel.messages[key]!)]!;
  const tokens = new Set(operations.flatMap((operation) => operation.security ?? []).map(last));
  const sent = operations.filter(({ action }) => action === "send").flatMap(({ messages }) => messages.map(last));
  const accepted = operations.filter(({ action }) => action === "receive");
  const parameters = Object.entries((channel.bindings?.ws.query ?? channel["x-auth"] ?? channel["x-query"])?.properties ?? {});
  const closes = channel["x-close-codes"] ?? [];
  const kind = KINDS[last(channel.servers[0]!)] ?? "";
  const where = channel["x-auth"] ? "In `auth`, or in the query" : "In the query";
  const aliases = channel["x-aliases"] ?? [];
  return element("section", [
    element("h2", [channel.address, element("span", [kind], { class: "kind" })]),
    element("p", [element("strong", [channel.title]), aliases.length > 0 ? ` · also ${aliases.join(", ")}` : ""]),
    ...paragraphs(channel.description),
    ...(tokens.size > 0 ? [element("p", ["Token: ", [...tokens].join(", ")])] : []),
    ...(channel["x-resume"] ? [element("h4", ["Resuming"]), ...paragraphs(channel["x-resume"])] : []),
    ...(parameters.length > 0
      ? [element("h4", inline(where)), table(["name", ""], parameters.map(([key, { description }]) => [element("code", [key]), element("span", inline(description))]))]
      : []),
    element("h4", ["From the server"]),
    ...sent.map((key) => shown(message(key), [])),
    ...(accepted.length > 0 ? [element("h4", ["To the server"])] : []),
    ...accepted.map(({ messages, reply }) => shown(message(last(messages[0]!)), (reply?.messages ?? []).map(last))),
    ...(closes.length > 0
      ? [element("h4", ["Close codes"]), table(["code", "reason", ""], closes.map(({ code, reason, description }) => [String(code), reason, description]))]
      : []),
  ], { id: name });
}

/** Shows the messages that have a word, opened; without one all of them, closed. */
function find(word: string): void {
  for (const message of document.querySelectorAll("details")) {
    const fits = word !== "" && (message.dataset["words"] ?? "").includes(word);
    message.hidden = word !== "" && !fits;
  }
  for (const stream of document.querySelectorAll("section")) {
    stream.hidden = word !== "" && stream.querySelector("details:not([hidden])") === null;
  }
}

const description = (await (await fetch("../asyncapi.json")).json()) as Description;
resolved.in(description);
const channels = Object.entries(description.channels);
const groups = description.info.tags.map(({ name }) => ({ name, of: channels.filter(([, { tags }]) => tags[0]?.name === name) }));
document.querySelector("#index")!.append(
  ...groups.flatMap(({ name, of }) => [
    element("h3", [name]),
    ...of.map(([id, { address }]) => element("a", [address], { href: `#${id}` })),
  ]),
);
document.querySelector("#streams")!.replaceChildren(
  element("h1", [`orion-server ${description.info.version}: streams`]),
  ...paragraphs(description.info.description),
  ...groups.flatMap(({ of }) => of.map(([id, channel]) => section(id, channel, description))),
);
document.querySelector<HTMLInputElement>("#find")!.addEventListener("input", (event) => {
  find((event.target as HTMLInputElement).value.trim().toLowerCase());
});
document.querySelector(location.hash || "#streams")?.scrollIntoView();
