/** The tab with the track record: pictures, and a table of one grouping. */

import * as api from "../api.ts";
import { must, setHidden, setText } from "../dom.ts";
import { RecordCharts } from "./charts.ts";
import { groups, heads, observedSince, RECORDS, row } from "./tables.ts";

const REFRESH = 60_000;

export class RecordView {
  readonly #section = must("[data-section='record']");
  readonly #charts = new RecordCharts(this.#section);
  readonly #body = must("[data-list='record']");
  readonly #empty = must("[data-empty='record']");
  readonly #note = must("[data-field='record-note']");
  readonly #since = must("[data-field='record-since']");
  readonly #by = must<HTMLSelectElement>("[data-field='record-by']");
  readonly #feed = must<HTMLSelectElement>("[data-field='record-feed']");
  #loading: AbortController | undefined;

  constructor() {
    must("[data-head='record']").append(heads());
    for (const select of [this.#by, this.#feed]) select.addEventListener("change", () => void this.load());
    setInterval(() => void this.load(), REFRESH);
  }

  /** Loads what is shown; nothing while another tab is. */
  async load(): Promise<void> {
    if (this.#section.hidden || document.hidden) return;
    this.#loading?.abort();
    const loading = (this.#loading = new AbortController());
    const query: { feed?: string } = this.#feed.value === "" ? {} : { feed: this.#feed.value };
    try {
      const [record, records] = await Promise.all([api.stats(query, loading.signal), api.outcomes({ ...query, limit: RECORDS }, loading.signal)]);
      const by = this.#by.value as "setup" | "symbol" | "killzone" | "source" | "confidence";
      this.#body.replaceChildren(...groups(by, record[by]), ...(record.all.signals > 0 ? [row("All", record.all)] : []));
      setHidden(this.#empty, record.all.signals > 0);
      setText(this.#note, record.all.signals > 0 && record.all.few ? "Fewer than 30 trades: the rates say next to nothing" : "");
      setText(this.#since, observedSince(records));
      this.#charts.show(records.outcomes, record.confidence);
    } catch (error) {
      if (!loading.signal.aborted) setText(this.#note, `Not available: ${String((error as Error).message)}`);
    }
  }
}
