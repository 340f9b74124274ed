/** Tabs: one panel is shown, and the page's address says which. */

import { param, setParams } from "./address.ts";
import { must, setHidden } from "./dom.ts";

export class Tabs {
  readonly #tabs: HTMLButtonElement[];

  /** @param onShow Called with the name of the panel that is shown. */
  constructor(private readonly onShow: (name: string) => void) {
    const list = must("[role='tablist']");
    this.#tabs = [...list.querySelectorAll<HTMLButtonElement>("[role='tab']")];
    list.addEventListener("click", ({ target }) => {
      const tab = (target as Element).closest<HTMLButtonElement>("[role='tab']");
      if (tab !== null) this.#choose(tab);
    });
    list.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const here = this.#tabs.indexOf(document.activeElement as HTMLButtonElement);
      if (by === undefined || here < 0) return;
      const next = this.#tabs[(here + by + this.#tabs.length) % this.#tabs.length]!;
      this.#choose(next);
      next.focus();
    });
    this.#show(this.#tabs.find((tab) => tab.dataset["tab"] === param("tab")) ?? this.#tabs[0]!);
  }

  #choose(tab: HTMLButtonElement): void {
    setParams({ tab: tab === this.#tabs[0] ? undefined : tab.dataset["tab"] });
    this.#show(tab);
    this.onShow(tab.dataset["tab"] ?? "");
  }

  #show(shown: HTMLButtonElement): void {
    for (const tab of this.#tabs) {
      const selected = tab === shown;
      tab.ariaSelected = String(selected);
      tab.tabIndex = selected ? 0 : -1;
      setHidden(must(`#${tab.getAttribute("aria-controls")}`), !selected);
    }
  }
}
