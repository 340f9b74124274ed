/** What reaches a user who is not looking: the page's title, a sound and a notification. Both are off until a click. */

import type { Signal } from "../messages.ts";
import { must, setHidden, setText } from "./dom.ts";
import * as format from "./format.ts";

const NAME = "ORION console";
/** The tones of a confirmed signal: long rises, short falls. In Hz. */
const TONES = { long: [660, 880], short: [880, 660] } as const;
const TONE_SECONDS = 0.16;
const VOLUME = 0.15;

export class Attention {
  readonly #sound = must<HTMLButtonElement>("[data-action='sound']");
  readonly #notify = must<HTMLButtonElement>("[data-action='notify']");
  readonly #note = must("[data-field='attention-note']");
  #audio: AudioContext | undefined;
  #sounding = false;
  #notifying = false;
  #pending = 0;
  #offline = false;

  /** @param onChoose Called with the signal of a notification that was clicked. */
  constructor(private readonly onChoose: (signal: Signal) => void) {
    setHidden(this.#notify, !("Notification" in window));
    this.#sound.addEventListener("click", () => this.#toggleSound());
    this.#notify.addEventListener("click", () => void this.#toggleNotify());
    this.#print();
  }

  /** The number of pending signals, for the title. */
  pending(count: number): void {
    this.#pending = count;
    this.#print();
  }

  offline(offline: boolean): void {
    this.#offline = offline;
    this.#print();
  }

  /** Tells of a signal that has just been confirmed. */
  confirmed(signal: Signal): void {
    if (this.#sounding) this.#play(TONES[signal.direction]);
    if (!this.#notifying) return;
    const { id, symbol, direction, entry_price, stop_loss, reason } = signal;
    const levels = `Entry ${format.price(symbol, entry_price)}, stop ${format.price(symbol, stop_loss)}`;
    const notification = new Notification(`${symbol} ${direction} confirmed`, { body: `${levels}\n${reason}`, tag: id });
    notification.addEventListener("click", () => {
      window.focus();
      this.onChoose(signal);
    });
  }

  #toggleSound(): void {
    this.#sounding = !this.#sounding;
    if (this.#sounding) {
      this.#audio ??= new AudioContext();
      void this.#audio.resume();
      this.#play(TONES.long);
    }
    this.#print();
  }

  async #toggleNotify(): Promise<void> {
    if (this.#notifying) {
      this.#notifying = false;
    } else {
      this.#notifying = (await Notification.requestPermission()) === "granted";
      setText(this.#note, this.#notifying ? "" : "This browser does not allow notifications of this page");
    }
    this.#print();
  }

  #play(tones: readonly number[]): void {
    const audio = this.#audio;
    if (audio === undefined) return;
    tones.forEach((frequency, place) => {
      const start = audio.currentTime + place * TONE_SECONDS;
      const tone = audio.createOscillator();
      const volume = audio.createGain();
      tone.frequency.value = frequency;
      // Faded in and out, because a tone that is cut off clicks.
      volume.gain.setValueAtTime(0, start);
      volume.gain.linearRampToValueAtTime(VOLUME, start + 0.02);
      volume.gain.linearRampToValueAtTime(0, start + TONE_SECONDS);
      tone.connect(volume).connect(audio.destination);
      tone.start(start);
      tone.stop(start + TONE_SECONDS);
    });
  }

  #print(): void {
    this.#sound.ariaPressed = String(this.#sounding);
    this.#notify.ariaPressed = String(this.#notifying);
    document.title = this.#offline ? `⚠ Offline – ${NAME}` : this.#pending > 0 ? `(${this.#pending}) ${NAME}` : NAME;
  }
}
