/** The settings on the admin page: has the server read them again, and shows what has changed and what needs a restart. */

import type { ReloadReport } from "../messages.ts";
import { el, must, setText } from "./dom.ts";
import type { Ask } from "./tokens.ts";

type Changes = ReloadReport["applied"];

export class SettingsPanel {
  readonly #root = must("[data-section='settings']");
  readonly #note = must("[data-field='settings-note']", this.#root);
  readonly #table = must("[data-table='settings']", this.#root);
  /** What is probably not as intended. */
  readonly #warnings = must("[data-list='settings-warnings']", this.#root);

  constructor(private readonly ask: Ask) {
    const on = (action: string, query: string): void => {
      must(`[data-action='${action}']`, this.#root).addEventListener("click", () => void this.#reload(query));
    };
    on("compare-settings", "?dry_run=true");
    on("reload-settings", "");
  }

  /** Forgets what is shown. */
  clear(): void {
    this.#table.replaceChildren();
    this.#warnings.replaceChildren();
    setText(this.#note, "");
  }

  async #reload(query: string): Promise<void> {
    try {
      this.#show(await this.ask<ReloadReport>(`api/admin/reload${query}`, {}));
    } catch (error) {
      this.clear();
      setText(this.#note, error instanceof Error ? error.message : "The server did not answer");
    }
  }

  #show({ applied, needs_restart, dry_run, unchanged, warnings }: ReloadReport): void {
    const done = dry_run ? "Compared; nothing was changed" : `Reloaded: ${applied.length} in force, ${needs_restart.length} after a restart`;
    setText(this.#note, unchanged ? "All settings are the ones in force" : done);
    this.#warnings.replaceChildren(...warnings.map((warning) => el("li", {}, warning)));
    if (unchanged) return this.#table.replaceChildren();
    const rows = [...this.#rows(applied, dry_run ? "by a reload" : "now", "live"), ...this.#rows(needs_restart, "after a restart", "stalled")];
    const head = ["Setting", "Before", "Read", "In force"].map((title) => el("th", { scope: "col" }, title));
    this.#table.replaceChildren(el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
  }

  #rows(changes: Changes, when: string, state: string): HTMLElement[] {
    const compact = (_: string, field: unknown): unknown => field ?? undefined;
    const value = (value: unknown): string => (value === null ? "–" : typeof value === "string" ? value : JSON.stringify(value, compact));
    return changes.map((change) =>
      el("tr", {}, ...[change.setting, value(change.old), value(change.new)].map((text) => el("td", {}, text)), el("td", {}, el("span", { class: "badge", "data-state": state }, when))),
    );
  }
}
