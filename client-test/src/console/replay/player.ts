/** Plays a day of the history in place of the live stream, with the same events. */

import { Emitter } from "../../emitter.ts";
import type { Price, Signal, TradeOutcome } from "../../messages.ts";
import type { AdapterEvents } from "../../orion-adapter.ts";
import { param } from "../address.ts";
import { events, Refusal, type SentEvent } from "./events.ts";
import * as past from "./past.ts";

const DAY = 86_400_000;
const DEFAULT_SPEED = 30;
/** After a lost connection, in milliseconds. */
const RETRY_AFTER = 2_000;

export type PlayerState = "loading" | "playing" | "paused" | "ended" | "lost" | "refused";

export interface PlayerHandlers {
  /** The state or the speed has changed; `reason` is the server's, where it refuses. */
  onChange(reason?: string): void;
  /** What is shown belongs to another moment. */
  onSeek(): void;
  onOutcome(outcome: TradeOutcome): void;
}

export class ReplayPlayer extends Emitter<AdapterEvents> {
  /** The day begins and ends in UTC, as all times of the console; in milliseconds. */
  readonly from: number;
  #to: number;
  #speed: number;
  #state: PlayerState = "loading";
  /** The moment at the last start or stop, and when that was. */
  #moment: number;
  #since = 0;
  #stream = new AbortController();
  #retry: ReturnType<typeof setTimeout> | undefined;
  handlers: PlayerHandlers | undefined;

  private constructor(readonly day: string) {
    super();
    this.from = Date.parse(day);
    this.#to = this.from + DAY;
    const speed = Number(param("speed"));
    this.#speed = speed >= 1 && speed <= 3600 ? speed : DEFAULT_SPEED;
    const at = Date.parse(`${day}T${param("at") ?? "00:00"}Z`);
    this.#moment = Number.isNaN(at) ? this.from : at;
  }

  /** Returns the replay that the page's address asks for. */
  static ofAddress(): ReplayPlayer | undefined {
    const day = param("replay") ?? "";
    const date = new Date(/^\d{4}-\d\d-\d\d$/.test(day) ? day : NaN);
    // The 31st of February would be a day of March.
    return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(day) ? new ReplayPlayer(day) : undefined;
  }

  /** The end: that of the day, or now. */
  get to(): number {
    return this.#to;
  }

  get speed(): number {
    return this.#speed;
  }

  get state(): PlayerState {
    return this.#state;
  }

  /** The moment that is shown. */
  get moment(): number {
    if (this.#state !== "playing") return this.#moment;
    return Math.min(this.#to, this.#moment + (performance.now() - this.#since) * this.#speed);
  }

  connect(): void {
    this.#open(this.#moment, true);
  }

  /** There is no round trip to measure. */
  ping(_: unknown): void {}

  pause(): void {
    if (this.#state !== "playing" && this.#state !== "loading" && this.#state !== "lost") return;
    this.#stop(this.moment);
    this.#set("paused");
  }

  /** Goes on; from the beginning, after the end. */
  play(): void {
    if (this.#state === "ended") this.seek(this.from);
    else if (this.#state === "paused" || this.#state === "refused") this.#open(this.#moment, false);
  }

  /** Goes to a moment, and stays paused if it was. */
  seek(at: number): void {
    const paused = this.#state === "paused";
    this.#open(Math.min(Math.max(at, this.from), this.#to), true, paused);
  }

  setSpeed(speed: number): void {
    this.#speed = speed;
    if (this.#state === "playing" || this.#state === "loading") this.#open(this.moment, false);
    else this.handlers?.onChange();
  }

  #stop(moment: number): void {
    this.#stream.abort();
    clearTimeout(this.#retry);
    this.#moment = moment;
  }

  #set(state: PlayerState, reason?: string): void {
    this.#state = state;
    this.handlers?.onChange(reason);
  }

  /**
   * @param fresh Whether what is shown belongs to another moment.
   * @param pausing Whether only the state at the moment is wanted.
   */
  #open(at: number, fresh: boolean, pausing = false): void {
    this.#stop(at);
    const stream = (this.#stream = new AbortController());
    if (fresh) {
      past.forget();
      this.handlers?.onSeek();
    }
    this.#set("loading");
    void this.#read(at, fresh, pausing, stream.signal).catch((error: unknown) => {
      if (stream.signal.aborted) return;
      this.#moment = this.moment;
      // What has begun goes on where it was.
      const again = fresh && this.#state === "loading";
      if (error instanceof Refusal) return this.#set("refused", error.message);
      this.#set("lost");
      this.#retry = setTimeout(() => this.#open(this.#moment, again, pausing), RETRY_AFTER);
    });
  }

  async #read(at: number, fresh: boolean, pausing: boolean, signal: AbortSignal): Promise<void> {
    // At its end a day has a state, too.
    const from = Math.min(at, this.#to - 1);
    const iso = (time: number) => new Date(time).toISOString();
    const query = new URLSearchParams({ from: iso(from), to: iso(this.from + DAY), speed: String(this.#speed) });
    for await (const event of events(`api/replay?${query}`, signal)) {
      if (signal.aborted) return;
      if (event.name === "replay_start") {
        this.#start(event, from);
        if (fresh) this.emit("state", "connected", "replay");
        if (pausing) return this.pause();
      } else if (event.name === "replay_end") {
        this.#moment = this.#to;
        return this.#set("ended");
      } else {
        this.#tell(event);
      }
    }
    throw new Error("the stream has ended early");
  }

  #start({ data }: SentEvent, from: number): void {
    this.#to = Date.parse((JSON.parse(data) as { to: string }).to);
    this.#moment = from;
    this.#since = performance.now();
    this.#set("playing");
  }

  #tell({ name, data }: SentEvent): void {
    const message: unknown = JSON.parse(data);
    if (name === "price_update") this.emit("price_update", message as Price);
    if (name === "outcome") {
      past.learnOutcome(message as TradeOutcome);
      this.handlers?.onOutcome(message as TradeOutcome);
    }
    if (name === "signal") {
      past.learn(message as Signal);
      this.emit("signal", message as Signal, "");
    }
  }
}
