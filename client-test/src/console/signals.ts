/** The three columns of signals. A card changes column when its signal changes status. */

import type { Signal, SignalStatus } from "../messages.ts";
import { SignalCard } from "./card.ts";
import { must, setHidden, setText } from "./dom.ts";
import * as format from "./format.ts";

/** Largest number of cards per column; the oldest are removed first. */
const CARDS = 50;

class Column {
  readonly #root: HTMLElement;
  readonly #cards: HTMLElement;
  readonly #count: HTMLElement;
  readonly #empty: HTMLElement;

  constructor(status: SignalStatus) {
    this.#root = must(`[data-column="${status}"]`);
    this.#cards = must(".cards", this.#root);
    this.#count = must(".count", this.#root);
    this.#empty = must(".empty", this.#root);
  }

  /** Puts the card on top and returns the id of the card that was removed. */
  put(card: SignalCard): string | undefined {
    this.#cards.prepend(card.node);
    if (this.#cards.childElementCount <= CARDS) return undefined;
    const last = this.#cards.lastElementChild as HTMLElement;
    last.remove();
    return last.dataset["signalId"];
  }

  /** Returns how many cards the filters leave. */
  recount(): number {
    const count = this.#cards.childElementCount;
    const shown = [...this.#cards.children].filter((card) => !(card as HTMLElement).hidden).length;
    setText(this.#count, shown === count ? String(count) : `${shown} of ${count}`);
    setHidden(this.#empty, shown > 0);
    return shown;
  }
}

export class SignalBoard {
  readonly #cards = new Map<string, SignalCard>();
  readonly #columns: Record<SignalStatus, Column> = {
    pending: new Column("pending"),
    confirmed: new Column("confirmed"),
    invalidated: new Column("invalidated"),
  };

  /**
   * @param onChoose Called with the signal of a card that was clicked.
   * @param matches Whether the filters leave a signal.
   * @param onPending Called with the number of pending signals that the filters leave.
   */
  constructor(
    onChoose: (signal: Signal) => void,
    private readonly matches: (signal: Signal) => boolean,
    private readonly onPending: (count: number) => void,
  ) {
    must(".signals").addEventListener("click", ({ target }) => {
      const id = (target as Element).closest<HTMLElement>("[data-signal-id]")?.dataset["signalId"];
      const card = id === undefined ? undefined : this.#cards.get(id);
      // Marking text is no click.
      if (card !== undefined && getSelection()?.isCollapsed !== false) onChoose(card.last);
    });
  }

  /** Adds or updates a signal; returns whether it is new or changed its status. */
  update(signal: Signal): boolean {
    const column = this.#columns[signal.status];
    if (column === undefined) return false;
    const known = this.#cards.get(signal.id);
    const stays = known?.last.status === signal.status;
    const card = known ?? new SignalCard(signal);
    if (known !== undefined) known.update(signal);
    setHidden(card.node, !this.matches(signal));
    if (stays) return false;
    this.#cards.set(signal.id, card);
    const gone = column.put(card);
    if (gone !== undefined) this.#cards.delete(gone);
    this.#recount();
    return true;
  }

  /** Removes pending signals after a snapshot replaced a gap: those not in the snapshot have ended meanwhile. */
  forgetPendingExcept(ids: ReadonlySet<string>): void {
    for (const [id, card] of this.#cards) {
      if (card.last.status !== "pending" || ids.has(id)) continue;
      card.node.remove();
      this.#cards.delete(id);
    }
    this.#recount();
  }

  /** Removes every card. */
  clear(): void {
    for (const { node } of this.#cards.values()) node.remove();
    this.#cards.clear();
    this.#recount();
  }

  shows(origin: ReturnType<typeof format.origin>): boolean {
    return [...this.#cards.values()].some((card) => format.origin(card.last) === origin);
  }

  /** Applies changed filters. */
  filter(): void {
    for (const card of this.#cards.values()) setHidden(card.node, !this.matches(card.last));
    this.#recount();
  }

  refresh(): void {
    for (const card of this.#cards.values()) card.print();
  }

  tick(): void {
    for (const card of this.#cards.values()) card.tick();
  }

  #recount(): void {
    this.onPending(this.#columns.pending.recount());
    this.#columns.confirmed.recount();
    this.#columns.invalidated.recount();
  }
}
