/** The stored tokens on the admin page: a list, a form for a new one, and its secret, which is shown once. */

import type { CreatedToken, StoredTokens } from "../messages.ts";
import { withCopyButtons } from "./copy.ts";
import { el, must, setHidden, setText } from "./dom.ts";
import * as format from "./format.ts";

/** Sends a request with the admin token; an error is a text for the operator. */
export type Ask = <T>(path: string, body?: object) => Promise<T>;

export class TokensPanel {
  readonly #root = must("[data-section='tokens']");
  readonly #form = must<HTMLFormElement>("[data-form='token']", this.#root);
  readonly #note = must("[data-field='token-note']", this.#root);
  readonly #created = must("[data-field='token-created']", this.#root);
  /** The list as it is shown. */
  #shown = "";

  constructor(private readonly ask: Ask) {
    const kind = this.#field<HTMLSelectElement>("kind");
    const adapt = (): void => {
      setHidden(must("[data-only='user']", this.#form), kind.value !== "user");
      setHidden(must("[data-only='reader']", this.#form), kind.value === "ingest");
    };
    kind.addEventListener("change", adapt);
    adapt();
    withCopyButtons(this.#root);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#create(kind.value);
    });
  }

  /** Loads the list. */
  async load(): Promise<void> {
    this.#show(await this.ask<StoredTokens>("api/admin/tokens"));
  }

  /** Forgets everything that is shown. */
  clear(): void {
    this.#shown = "";
    must("[data-table='tokens']", this.#root).replaceChildren();
    setText(must("[data-field='secret']", this.#root), "");
    setHidden(this.#created, true);
    setText(this.#note, "");
  }

  #field<T extends HTMLInputElement | HTMLSelectElement>(name: string): T {
    return must<T>(`[name='${name}']`, this.#form);
  }

  async #create(kind: string): Promise<void> {
    const value = (name: string): string | undefined => this.#field(name).value.trim() || undefined;
    const end = value("end");
    const body = {
      kind,
      name: value("name"),
      user: kind === "user" ? value("user") : undefined,
      delay: kind === "ingest" ? undefined : value("delay"),
      expires_at: end === undefined ? undefined : `${end}T00:00:00Z`,
    };
    await this.#do(async () => {
      const { secret, token } = await this.ask<CreatedToken>("api/admin/tokens", body);
      setText(must("[data-field='secret']", this.#root), secret);
      setText(must("[data-field='secret-name']", this.#root), token.name);
      setHidden(this.#created, false);
      this.#field("name").value = "";
      return `The token ${token.name} was made`;
    });
  }

  async #revoke(name: string): Promise<void> {
    if (!confirm(`Revoke the token ${name}? Its connections end at once.`)) return;
    await this.#do(async () => {
      await this.ask("api/admin/tokens/revoke", { name });
      if (must("[data-field='secret-name']", this.#root).textContent === name) {
        setText(must("[data-field='secret']", this.#root), "");
        setHidden(this.#created, true);
      }
      return `The token ${name} was revoked`;
    });
  }

  async #do(work: () => Promise<string>): Promise<void> {
    try {
      setText(this.#note, await work());
      await this.load();
    } catch (error) {
      setText(this.#note, error instanceof Error ? error.message : "The server did not answer");
    }
  }

  /** Rebuilds the list if it has changed. The focus stays on its button. */
  #show({ settings, tokens }: StoredTokens): void {
    const now = JSON.stringify([settings, tokens]);
    if (now === this.#shown) return;
    this.#shown = now;
    const focused = document.activeElement?.getAttribute("data-revoke");
    setText(must("[data-field='token-settings']", this.#root), settings.length === 0 ? "none" : settings.join(", "));
    const heads = ["Name", "For", "Late", "Made", "Expires", "Last used", ""];
    const day = (at: string | null, absent: string): string => (at === null ? absent : at.slice(0, 10));
    const rows = tokens.map((token) => {
      const revoke = el("button", { type: "button", "data-revoke": token.name, "aria-label": `Revoke ${token.name}` }, "Revoke");
      revoke.addEventListener("click", () => void this.#revoke(token.name));
      const used = token.last_used_at === null ? "never" : format.dayAndClock(token.last_used_at, Date.now());
      const cells = [
        token.name,
        token.user === null ? token.kind : `${token.kind} ${token.user}`,
        token.delay === 0 ? "–" : format.age(token.delay * 1000),
        day(token.created_at, ""),
        day(token.expires_at, "never"),
        used,
        revoke,
      ];
      return el("tr", {}, ...cells.map((cell) => el("td", {}, cell)));
    });
    if (rows.length === 0) rows.push(el("tr", {}, el("td", { class: "empty", colspan: String(heads.length) }, "No token was made here")));
    const head = el("tr", {}, ...heads.map((title) => (title === "" ? el("td", {}) : el("th", { scope: "col" }, title))));
    must("[data-table='tokens']", this.#root).replaceChildren(el("thead", {}, head), el("tbody", {}, ...rows));
    const again = focused == null ? undefined : [...this.#root.querySelectorAll<HTMLElement>("[data-revoke]")].find((node) => node.dataset["revoke"] === focused);
    again?.focus();
  }
}
