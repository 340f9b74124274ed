/**
 * Makes `src/messages.ts` from the server's own descriptions: `node generate.mjs http://localhost:8080 > src/messages.ts`.
 *
 * The types of the dashboards' own messages, whose names have a dot, are left out where no event of Socket.IO has them.
 */

const HEADER = `/**
 * The messages of orion-server, and the answers of its routes. Made by \`generate.mjs\` from \`/openapi.json\` and
 * \`/asyncapi.json\`: do not edit.
 *
 * Field names are the server's wire names. Everything is \`readonly\`: a message describes what happened and is never edited.
 */
`;
const EVENTS = `
/**
 * What the server sends to a connection made by \`socket.io-client\` itself:
 *
 * \`\`\`ts
 * const socket: Socket<ServerEvents, ClientEvents> = io("https://<host>");
 * socket.emit("subscribe", { channels: ["signals"] }, (answer) => console.log(answer));
 * socket.on("signal", (signal, { cursor }) => console.log(signal.symbol, cursor));
 * \`\`\`
 */
`;
const ANSWER = `
/** An answer, with the first error of the request if there is one: what was valid still holds. */
export type Answer<T> = T & Partial<ServerError>;
`;
const PRIMITIVES = { string: "string", integer: "number", number: "number", boolean: "boolean", null: "null" };
const PREFIX = "#/components/schemas/";

/** Collects the declarations of the types that are asked for, and of those that they need. */
class Types {
  constructor(schemas) {
    this.schemas = schemas;
    this.declared = new Map();
  }

  /** The name of a schema; its declaration follows from it. A text of any form has no name of its own. */
  name(schema) {
    const schemaName = schema.$ref.slice(PREFIX.length);
    const target = this.schemas[schemaName];
    if (target === undefined) throw new Error(`there is no schema ${schemaName}`);
    if (target.type === "string" && target.enum === undefined) return "string";
    const name = pascal(schemaName);
    if (!this.declared.has(name)) {
      this.declared.set(name, "");
      const { properties, required } = this.fields(target);
      const text = properties.length > 0 ? `interface ${name} ${this.object(properties, required, "")}` : `type ${name} = ${this.of(target)};`;
      this.declared.set(name, `\n${comment(target, "")}export ${text}\n`);
    }
    return name;
  }

  /** The fields of an object and of its parts; none for anything else. */
  fields(schema) {
    if (schema.$ref !== undefined) return this.fields(this.schemas[schema.$ref.slice(PREFIX.length)]);
    if (schema.oneOf !== undefined) return { properties: [], required: [] };
    const parts = (schema.allOf ?? []).map((part) => this.fields(part));
    if (parts.length > 0 && parts.some(({ properties }) => properties.length === 0)) return { properties: [], required: [] };
    const own = { properties: Object.entries(schema.properties ?? {}), required: schema.required ?? [] };
    return {
      properties: [...parts, own].flatMap(({ properties }) => properties),
      required: [...parts, own].flatMap(({ required }) => required),
    };
  }

  object(properties, required, indent) {
    const field = ([name, schema]) => {
      const mark = required.includes(name) ? "" : "?";
      return `${comment(schema, `${indent}  `)}${indent}  readonly ${name}${mark}: ${this.of(schema, `${indent}  `)};\n`;
    };
    return `{\n${properties.map(field).join("")}${indent}}`;
  }

  of(schema, indent = "") {
    if (schema.$ref !== undefined) return this.name(schema);
    if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
    if (schema.oneOf !== undefined) return [...new Set(schema.oneOf.map((variant) => this.of(variant, indent)))].join(" | ");
    const { properties, required } = this.fields(schema);
    if (properties.length > 0) return this.object(properties, required, indent);
    if (schema.allOf !== undefined) return schema.allOf.map((part) => `(${this.of(part, indent)})`).join(" & ");
    const kinds = [schema.type ?? []].flat();
    return kinds.map((kind) => this.plain(kind, schema, indent)).join(" | ") || "unknown";
  }

  plain(kind, schema, indent) {
    if (kind === "array") {
      const items = this.of(schema.items ?? {}, indent);
      return `readonly ${/[|&]/.test(items) ? `(${items})` : items}[]`;
    }
    if (kind === "object") {
      const values = typeof schema.additionalProperties === "object" ? this.of(schema.additionalProperties, indent) : "unknown";
      return `Readonly<Record<string, ${values}>>`;
    }
    return PRIMITIVES[kind];
  }
}

function pascal(name) {
  return name.split(/[._]/).map((part) => part[0].toUpperCase() + part.slice(1)).join("");
}

function comment(schema, indent) {
  const text = (schema.description ?? "").replace(/\s+/g, " ").replaceAll("*/", "* /").trim();
  return text === "" ? "" : `${indent}/** ${text} */\n`;
}

/** The messages of a channel, those of the server and those of a client. */
function messagesOf(document, channel) {
  const found = Object.entries(document.channels[channel].messages).map(([key, { $ref }]) => {
    const message = document.components.messages[$ref.split("/").pop()];
    const operation = document.operations[`${channel}.receive.${message.name}`];
    const answers = (operation?.reply?.messages ?? []).map((answer) => answer.$ref.split("/").pop());
    return { ...message, isSent: !key.startsWith("client."), answers };
  });
  return { sent: found.filter(({ isSent }) => isSent), accepted: found.filter(({ isSent }) => !isSent) };
}

function frames(types, name, summary, messages) {
  const typed = messages.filter(({ payload }) => payload.$ref === undefined);
  const variant = ({ summary, payload }) => `\n${comment({ description: summary }, "  ")}  | ${types.of(payload, "    ")}`;
  return `\n/** ${summary} */\nexport type ${name} =${typed.map(variant).join("")};\n`;
}

function serverEvents(types, messages) {
  const event = ({ name, summary, payload, headers }) => {
    const meta = headers === undefined ? "" : `, meta: ${types.of(headers)}`;
    return `${comment({ description: summary }, "  ")}  ${name}: (data: ${types.of(payload)}${meta}) => void;\n`;
  };
  return `${EVENTS}export interface ServerEvents {\n${messages.map(event).join("")}}\n`;
}

function clientEvents(types, { sent, accepted }) {
  const event = ({ name, summary, payload, answers }) => {
    const answer = sent.find((message) => message.name === answers[0]);
    const answered = answers.includes("error") ? `Answer<${types.of(answer.payload)}>` : types.of(answer.payload);
    return `${comment({ description: summary }, "  ")}  ${name}: (data?: ${types.of(payload)}, acknowledge?: (answer: ${answered}) => void) => void;\n`;
  };
  return `${ANSWER}\n/** What a client sends. The answer is also an event. */\nexport interface ClientEvents {\n${accepted.map(event).join("")}}\n`;
}

/** Returns the text of `src/messages.ts`. */
export function generated(openapi, asyncapi) {
  const types = new Types({ ...openapi.components.schemas, ...asyncapi.components.schemas });
  const core = Object.keys(openapi.components.schemas).filter((name) => !name.includes("."));
  core.forEach((name) => types.name({ $ref: PREFIX + name }));
  const orion = messagesOf(asyncapi, "orion_signals");
  const socketio = messagesOf(asyncapi, "socketio");
  const more = [
    frames(types, "OrionFrame", "What the server sends on the native stream of signals and prices, beside the answers to pushes.", orion.sent),
    frames(types, "OrionCommand", "What a client of that stream sends.", orion.accepted),
    serverEvents(types, socketio.sent),
    clientEvents(types, socketio),
  ];
  return HEADER + [...types.declared.values(), ...more].join("");
}

if (import.meta.url === `file://${process.argv[1]}`) {
  const server = process.argv[2] ?? "http://localhost:8080";
  const read = async (name) => (await fetch(`${server}/${name}`)).json();
  process.stdout.write(generated(await read("openapi.json"), await read("asyncapi.json")));
}
