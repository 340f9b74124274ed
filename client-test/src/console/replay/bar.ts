/** The banner of a replay with its controls, and the control of the live page that leads to one. */

import { param, setParams } from "../address.ts";
import { el, must, setData, setHidden, setText } from "../dom.ts";
import * as format from "../format.ts";
import type { ReplayPlayer } from "./player.ts";

const MINUTE = 60_000;
/** Between two drawings of the moment. */
const TICK = 250;
/** The slider may be moved by many keys before the stream is opened again. */
const SEEK_AFTER = 300;

/** Returns the page's address for another day; `undefined` for the live page. Filters and the token stay. */
function address(day: string | undefined): string {
  const address = new URL(location.href);
  for (const name of ["replay", "at", "tab"]) address.searchParams.delete(name);
  if (day === undefined) address.searchParams.delete("speed");
  else address.searchParams.set("replay", day);
  return address.href;
}

/** Leads from a chosen day to its replay. A live page says what is wrong with an address that asks for one. */
export function offerReplays(isLive: boolean): void {
  const asked = param("replay");
  if (isLive && asked !== undefined) setText(must("[data-field='attention-note']"), `replay=${asked} is not a day, such as 2026-11-19`);
  const form = must<HTMLFormElement>("[data-section='replay-choice']");
  const day = must<HTMLInputElement>("[data-field='replay-choice']");
  day.max = new Date().toISOString().slice(0, 10);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.assign(address(day.value));
  });
}

export class ReplayBar {
  readonly #toggle = must<HTMLButtonElement>("[data-action='replay-toggle']");
  readonly #time = must<HTMLInputElement>("[data-field='replay-time']");
  readonly #clock = must("[data-field='replay-clock']");
  readonly #speed = must<HTMLSelectElement>("[data-field='replay-speed']");
  readonly #note = must("[data-field='replay-note']");
  /** While the slider is moved it shows where it is, and not where the replay is. */
  #moving: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly player: ReplayPlayer) {
    setHidden(must("[data-section='replay']"), false);
    setData(document.body, "replay", player.day);
    const day = new Date(player.from);
    const words: Intl.DateTimeFormatOptions = { weekday: "long", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" };
    setText(must("[data-field='replay-day']"), day.toLocaleDateString("en-GB", words));
    document.title = `Replay ${player.day} – ORION console`;
    must<HTMLAnchorElement>("[data-action='replay-live']").href = address(undefined);
    must<HTMLInputElement>("[data-field='replay-choice']").value = player.day;
    const speed = String(player.speed);
    if (![...this.#speed.options].some(({ value }) => value === speed)) this.#speed.append(el("option", { value: speed }, `${speed}×`));
    this.#speed.value = speed;
    this.#speed.addEventListener("change", () => {
      setParams({ speed: this.#speed.value });
      player.setSpeed(Number(this.#speed.value));
    });
    this.#toggle.addEventListener("click", () => (this.#plays() ? this.#pause() : player.play()));
    this.#time.addEventListener("input", () => this.#move());
    setInterval(() => this.#print(), TICK);
  }

  /** Shows a change of the player. */
  changed(reason?: string): void {
    const { state } = this.player;
    const notes: Partial<Record<typeof state, string>> = {
      lost: "Connection lost, trying again",
      refused: `Not available: ${reason ?? ""}`,
      ended: "The end of this day",
    };
    setText(this.#note, notes[state] ?? "");
    setText(this.#toggle, this.#plays() ? "Pause" : state === "ended" ? "Play again" : "Play");
    setData(document.body, "replayState", state);
    this.#print();
  }

  #plays(): boolean {
    return ["loading", "playing", "lost"].includes(this.player.state);
  }

  #pause(): void {
    this.player.pause();
    this.#keep();
  }

  /** Keeps the moment in the address, so that a reload or a shared link begins there. */
  #keep(): void {
    setParams({ at: format.clock(this.player.moment) });
  }

  #move(): void {
    clearTimeout(this.#moving);
    this.#moving = setTimeout(() => {
      this.#moving = undefined;
      this.player.seek(this.player.from + Number(this.#time.value) * MINUTE);
      this.#keep();
    }, SEEK_AFTER);
    this.#print();
  }

  #print(): void {
    const { from, to, moment } = this.player;
    this.#time.max = String(Math.ceil((to - from) / MINUTE));
    if (this.#moving === undefined) this.#time.value = String(Math.floor((moment - from) / MINUTE));
    const shown = this.#moving === undefined ? moment : from + Number(this.#time.value) * MINUTE;
    setText(this.#clock, format.clock(shown));
    this.#time.ariaValueText = `${format.clock(shown).slice(0, 5)} UTC`;
  }
}
