/** The connection in the header: state, transport, round trip, server time. */

import type { ConnectionState } from "../orion-adapter.ts";
import { serverNow } from "./clock.ts";
import { must, setData, setHidden, setText } from "./dom.ts";
import * as format from "./format.ts";

const LABEL: Record<ConnectionState, string> = {
  connecting: "Connecting",
  connected: "Connected",
  reconnecting: "Reconnecting",
  refused: "Refused",
  disconnected: "Disconnected",
};

export class ConnectionView {
  readonly #state = must("[data-connection-state]");
  readonly #label = must("[data-field='connection-label']");
  readonly #detail = must("[data-field='connection-detail']");
  readonly #clock = must("[data-field='clock']");
  readonly #offline = must("[data-banner='offline']");
  readonly #offlineTitle = must("[data-field='offline-title']");
  readonly #offlineText = must("[data-field='offline-text']");
  #transport: string | null = null;
  #roundTrip: number | null = null;

  /** @param onOffline Called with whether the connection is lost. */
  constructor(private readonly onOffline: (offline: boolean) => void) {
    setText(must("[data-field='host']"), location.host);
  }

  show(state: ConnectionState, transport: string | null): void {
    this.#transport = transport;
    if (state !== "connected") this.#roundTrip = null;
    setData(this.#state, "connectionState", state);
    setText(this.#label, LABEL[state]);
    setData(document.body, "live", String(state === "connected"));
    const offline = state === "reconnecting" || state === "refused";
    setHidden(this.#offline, !offline);
    this.onOffline(offline);
    if (state === "reconnecting") setText(this.#offlineTitle, `Connection lost at ${format.clock(serverNow())} UTC`);
    if (state === "refused") {
      setText(this.#offlineTitle, "Connection refused");
      setText(this.#offlineText, "This server asks for a token: open the page with #token=… at the end of its address.");
    }
    this.#print();
  }

  measured(roundTrip: number): void {
    this.#roundTrip = roundTrip;
    this.#print();
  }

  tick(): void {
    setText(this.#clock, format.clock(serverNow()));
  }

  #print(): void {
    const parts = [this.#transport ?? "", this.#roundTrip === null ? "" : `${Math.round(this.#roundTrip)} ms`];
    setText(this.#detail, parts.filter((part) => part !== "").join(" · "));
  }
}
