/** The card of a signal. Its node exists as long as the signal is shown, and moves between the columns. */

import type { Signal } from "../messages.ts";
import { serverNow } from "./clock.ts";
import { el, setData, setHidden, setText } from "./dom.ts";
import * as format from "./format.ts";

export class SignalCard {
  readonly node: HTMLElement;
  readonly #symbol = el("button", { class: "jump", type: "button", title: "Show on the chart" });
  readonly #direction = el("span", { class: "direction", "data-field": "direction" });
  readonly #killzone = el("span", { class: "killzone", "data-field": "killzone" });
  readonly #timer = el("span", { class: "timer", "data-field": "countdown" });
  readonly #remaining = el("div", { class: "remaining", "aria-hidden": "true" });
  readonly #ended = el("p", { class: "ended", "data-field": "invalidation" });
  readonly #levels = el("dl", { class: "levels" });
  readonly #meter = el("meter", { min: "0", max: "1", "aria-label": "Confidence" });
  readonly #confidence = el("span", { "data-field": "confidence" });
  readonly #ratio = el("span", { "data-field": "rr" });
  readonly #reason = el("p", { class: "reason", "data-field": "reason" });
  readonly #source = el("span", { class: "badge", "data-field": "source" });
  readonly #time = el("time", { "data-field": "time" });
  /** The values of the drawn levels, to redraw them only on a change. */
  #drawn = "";

  constructor(public last: Signal) {
    this.node = el(
      "article",
      { class: "card", "data-signal-id": last.id },
      el("header", {}, el("h3", { class: "symbol" }, this.#symbol), this.#direction, this.#timer),
      this.#remaining,
      this.#ended,
      this.#levels,
      el("p", { class: "score" }, this.#meter, this.#confidence, this.#ratio),
      this.#reason,
      el("footer", {}, this.#source, this.#killzone, this.#time),
    );
    this.update(last);
  }

  update(signal: Signal): void {
    this.last = signal;
    setData(this.node, "status", signal.status);
    setData(this.node, "direction", signal.direction);
    setText(this.#symbol, signal.symbol);
    setText(this.#direction, signal.direction);
    setText(this.#killzone, format.killzone(signal.killzone));
    setData(this.#killzone, "active", String(signal.killzone_active));
    this.#killzone.title = signal.killzone_active ? "Killzone" : "The killzone that ended last";
    setText(this.#ended, signal.invalidation === null ? "" : format.words(signal.invalidation));
    setHidden(this.#ended, signal.invalidation === null);
    this.#meter.value = signal.confidence;
    setText(this.#confidence, format.confidence(signal.confidence));
    setText(this.#ratio, `R:R ${format.ratio(signal.rr_target)}`);
    setText(this.#reason, signal.reason);
    setText(this.#source, signal.source);
    setData(this.#source, "quality", format.origin(signal));
    this.print();
    this.tick();
  }

  /** Updates everything that depends on the instrument's digits. */
  print(): void {
    const { symbol, entry_price, stop_loss, take_profits, tp_modes } = this.last;
    const rows: [string, string, string][] = [
      ["entry", "Entry", format.price(symbol, entry_price)],
      ["stop", "Stop", format.price(symbol, stop_loss)],
      ...take_profits.map((value, i): [string, string, string] => [
        "target",
        tp_modes[i] ?? `TP${i + 1}`,
        format.price(symbol, value),
      ]),
    ];
    const drawing = JSON.stringify(rows);
    if (drawing === this.#drawn) return;
    this.#drawn = drawing;
    this.#levels.replaceChildren(
      ...rows.map(([kind, label, value]) =>
        el("div", { class: kind }, el("dt", {}, label), el("dd", { "data-field": kind }, value)),
      ),
    );
  }

  tick(): void {
    const { status, entry_time, expires_at, updated_at } = this.last;
    const pending = status === "pending";
    const left = Date.parse(expires_at) - serverNow();
    // A recording has its own clock, so its deadlines have no meaning here.
    const recorded = format.origin(this.last) === "replayed";
    if (!pending) setText(this.#timer, format.clock(updated_at));
    else setText(this.#timer, recorded ? format.clock(expires_at) : format.countdown(left));
    this.#timer.title = pending ? `Ends at ${expires_at}` : `Ended at ${updated_at}`;
    setHidden(this.#remaining, !pending || recorded);
    if (pending) {
      const whole = Date.parse(expires_at) - Date.parse(updated_at);
      const share = Math.min(1, Math.max(0, left / whole)) || 0;
      this.#remaining.style.setProperty("--share", share.toFixed(3));
      setData(this.#timer, "urgent", String(left < 60_000));
    }
    setText(this.#time, format.dayAndClock(entry_time, serverNow()));
    this.#time.dateTime = entry_time;
    this.#time.title = `Entry time ${entry_time}`;
  }
}
