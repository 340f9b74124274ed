/** Server-sent events over `fetch`, which can send the token in a header and stop at any time. */

import { token } from "../api.ts";

export interface SentEvent {
  readonly name: string;
  /** The event's time; empty without one. */
  readonly id: string;
  readonly data: string;
}

/** The server's answer to a request that it refuses. */
export class Refusal extends Error {}

/** Reads a stream until it ends. Throws a `Refusal` if the server refuses it. */
export async function* events(path: string, signal: AbortSignal): AsyncGenerator<SentEvent> {
  const headers: HeadersInit = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  const response = await fetch(path, { headers, signal });
  if (!response.ok || response.body === null) {
    const answer = (await response.json().catch(() => null)) as { error?: string } | null;
    throw new Refusal(answer?.error ?? `the server answered ${response.status}`);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const event = parse(block);
      if (event.data !== "") yield event;
    }
  }
}

function parse(block: string): SentEvent {
  const field = (name: string) => {
    const start = `${name}: `;
    return block.split("\n").find((line) => line.startsWith(start))?.slice(start.length) ?? "";
  };
  return { name: field("event"), id: field("id"), data: field("data") };
}
