/** What is drawn behind and over the bars: killzones, zones of the detectors, and signals with their levels. */

import type { AutoscaleInfo, IChartApi, IPrimitivePaneRenderer, ISeriesApi, ISeriesPrimitive, Logical, PrimitivePaneViewZOrder, Time } from "lightweight-charts";
import type { Detection, OpenKillzone } from "../../messages.ts";
import * as format from "../format.ts";
import { seconds, type CandleBook } from "./bars.ts";
import type { Ending, SignalMark } from "./signal-mark.ts";
import { faded, type Theme } from "./theme.ts";

type Target = Parameters<IPrimitivePaneRenderer["draw"]>[0];

/** Pixels beside the visible part into which boxes reach. */
const EDGE = 20;

/** A rectangle in pixels of the chart's pane. */
export interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Turns times and prices into pixels. */
export class Scale {
  book: CandleBook | undefined;

  constructor(
    readonly chart: IChartApi,
    readonly series: ISeriesApi<"Candlestick">,
  ) {}

  /** The left edge of the bar that opens at a time in seconds, and between the edges in proportion. */
  x(time: number): number | null {
    if (this.book === undefined || this.book.candles.length === 0) return null;
    const index = this.book.index(time);
    const whole = Math.floor(index);
    const scale = this.chart.timeScale();
    const [here, next] = [whole, whole + 1].map((place) => scale.logicalToCoordinate(place as Logical));
    if (here === null || here === undefined || next === null || next === undefined) return null;
    return here + (index - whole - 0.5) * (next - here);
  }

  /** The edges of a span of time, cut off a little outside of what is visible: a line over months has too many dashes to draw. */
  span(from: number, to: number | null, width: number): [left: number, right: number] | null {
    const left = this.x(from);
    const right = to === null ? width : this.x(to);
    if (left === null || right === null || right <= 0 || left >= width) return null;
    return [Math.max(left, -EDGE), Math.min(right, width + EDGE)];
  }

  y(price: number): number | null {
    return this.series.priceToCoordinate(price);
  }

  /** The edges of a span of prices, cut off like those of time: where the bars are flat, a zone can be millions of pixels high. */
  heights(upper: number, lower: number, height: number): [top: number, bottom: number] | null {
    const [top, bottom] = [this.y(upper), this.y(lower)];
    if (top === null || bottom === null || bottom <= 0 || top >= height) return null;
    return [Math.max(top, -EDGE), Math.min(bottom, height + EDGE)];
  }
}

/** One layer of the chart; `paint` is called with a context in CSS pixels. */
abstract class Layer implements ISeriesPrimitive<Time> {
  theme: Theme;
  #request: (() => void) | undefined;

  constructor(
    protected readonly scale: Scale,
    theme: Theme,
    private readonly order: PrimitivePaneViewZOrder,
  ) {
    this.theme = theme;
  }

  attached({ requestUpdate }: { requestUpdate: () => void }): void {
    this.#request = requestUpdate;
  }

  redraw(): void {
    this.#request?.();
  }

  paneViews() {
    const draw = (target: Target) =>
      target.useMediaCoordinateSpace(({ context, mediaSize }) => this.paint(context, mediaSize.width, mediaSize.height));
    return [{ zOrder: () => this.order, renderer: () => ({ draw }) }];
  }

  protected abstract paint(context: CanvasRenderingContext2D, width: number, height: number): void;
}

export class KillzoneLayer extends Layer {
  windows: readonly OpenKillzone[] = [];

  protected override paint(context: CanvasRenderingContext2D, width: number, height: number): void {
    context.font = FONT;
    context.textBaseline = "top";
    for (const { killzone, from, to } of this.windows) {
      const span = this.scale.span(seconds(from), seconds(to), width);
      if (span === null || span[1] - span[0] < 1) continue;
      const [left, right] = span;
      context.fillStyle = faded(killzone === "lunch" ? this.theme.faint : this.theme.accent, 0.09);
      context.fillRect(left, 0, right - left, height);
      const name = format.killzone(killzone);
      if (context.measureText(name).width + 8 > right - left) continue;
      context.fillStyle = this.theme.faint;
      context.fillText(name, Math.max(left, 0) + 4, 4);
    }
  }
}

export class ZoneLayer extends Layer {
  zones: readonly Detection[] = [];

  protected override paint(context: CanvasRenderingContext2D, width: number, height: number): void {
    context.font = FONT;
    context.textBaseline = "middle";
    for (const zone of this.zones) {
      const span = this.scale.span(seconds(zone.begins_at), zone.ended_at === null ? null : seconds(zone.ended_at), width);
      const heights = this.scale.heights(zone.top, zone.bottom, height);
      if (span === null || heights === null) continue;
      const [[left, right], [top, bottom]] = [span, heights];
      const colour = zone.direction === "long" ? this.theme.up : this.theme.down;
      const isGap = zone.kind === "fair_value_gap";
      context.fillStyle = faded(colour, zone.ended_at === null ? 0.16 : 0.07);
      context.fillRect(left, top, right - left, Math.max(1, bottom - top));
      context.strokeStyle = faded(colour, 0.5);
      context.setLineDash(isGap ? [] : [4, 3]);
      context.strokeRect(left + 0.5, Math.round(top) + 0.5, right - left, Math.max(1, bottom - top));
      context.setLineDash([]);
      if (bottom - top < 11 || right - left < 34) continue;
      context.fillStyle = faded(colour, 0.9);
      context.fillText(isGap ? "FVG" : "OB", Math.max(left, 0) + 4, (top + bottom) / 2);
    }
  }
}

/** A signal and where it was drawn. */
export interface DrawnSignal {
  readonly mark: SignalMark;
  readonly box: Box;
}

export class SignalLayer extends Layer {
  marks: readonly SignalMark[] = [];
  selected: string | undefined;
  #drawn: DrawnSignal[] = [];

  get drawn(): readonly DrawnSignal[] {
    return this.#drawn;
  }

  /** The signal at a point: the selected one first, then the latest. */
  at(x: number, y: number): string | undefined {
    const hit = ({ box }: DrawnSignal) => x >= box.left - 6 && x <= box.right + 6 && y >= box.top - 4 && y <= box.bottom + 4;
    const hits = this.#drawn.filter(hit).map(({ mark }) => mark.signal.id);
    return hits.find((id) => id === this.selected) ?? hits.at(-1);
  }

  /** All levels of the selected signal are in view. */
  autoscaleInfo(): AutoscaleInfo | null {
    const signal = this.marks.find((mark) => mark.signal.id === this.selected)?.signal;
    if (signal === undefined) return null;
    const prices = [signal.entry_price, signal.stop_loss, ...signal.take_profits].filter((price) => price !== null);
    if (prices.length === 0) return null;
    return { priceRange: { minValue: Math.min(...prices), maxValue: Math.max(...prices) } };
  }

  colour(ending: Ending): string {
    const { accent, amber, up, down, faint, text } = this.theme;
    return { pending: amber, open: accent, won: up, lost: down, flat: text, void: faint }[ending];
  }

  protected override paint(context: CanvasRenderingContext2D, width: number): void {
    context.font = FONT;
    context.textBaseline = "middle";
    this.#drawn = [];
    for (const mark of this.marks) this.#paint(context, width, mark);
  }

  #paint(context: CanvasRenderingContext2D, width: number, mark: SignalMark): void {
    const { entry_price, stop_loss, take_profits, id } = mark.signal;
    const span = this.scale.span(mark.from, mark.to, width);
    const entry = entry_price === null ? null : this.scale.y(entry_price);
    if (span === null || entry === null) return;
    const [left, right] = [span[0], Math.max(span[1], span[0] + 6)];
    const y = (price: number | null) => (price === null ? null : this.scale.y(price));
    const stop = y(stop_loss);
    const targets = take_profits.map((price) => this.scale.y(price)).filter((place) => place !== null);
    const selected = id === this.selected;
    const strength = mark.ending === "void" && !selected ? 0.4 : 1;
    const area = (to: number | null, colour: string) => {
      if (to === null) return;
      context.fillStyle = faded(colour, (selected ? 0.2 : 0.07) * strength);
      context.fillRect(left, Math.min(entry, to), right - left, Math.abs(to - entry));
    };
    const level = (at: number | null, colour: string, dash: number[]) => {
      if (at === null) return;
      context.strokeStyle = faded(colour, 0.85 * strength);
      context.setLineDash(dash);
      context.beginPath();
      context.moveTo(left, Math.round(at) + 0.5);
      context.lineTo(right, Math.round(at) + 0.5);
      context.stroke();
      context.setLineDash([]);
    };
    const far = take_profits.length === 0 ? null : y(take_profits.at(-1)!);
    area(stop, this.theme.down);
    area(far, this.theme.up);
    context.lineWidth = 1;
    level(stop, this.theme.down, []);
    targets.forEach((target) => level(target, this.theme.up, [3, 3]));
    context.lineWidth = 2;
    level(entry, this.colour(mark.ending), []);
    context.lineWidth = 1;
    const edges = [entry, ...(stop === null ? [] : [stop]), ...targets];
    const box = { left, right, top: Math.min(...edges), bottom: Math.max(...edges) };
    this.#drawn.push({ mark, box });
    if (selected) {
      context.strokeStyle = this.theme.accent;
      context.strokeRect(left - 2.5, box.top - 2.5, right - left + 5, box.bottom - box.top + 5);
      const lines: [number | null, string][] = [
        [entry, `Entry ${format.price(mark.signal.symbol, entry_price)}`],
        [stop, `Stop ${format.price(mark.signal.symbol, stop_loss)}`],
        ...take_profits.map((price, i): [number | null, string] => [y(price), `TP${i + 1} ${format.price(mark.signal.symbol, price)}`]),
      ];
      this.#label(context, width, right + 7, lines);
    }
  }

  /** Labels beside the selected signal's levels; to its left where there is no room. */
  #label(context: CanvasRenderingContext2D, width: number, x: number, lines: readonly [number | null, string][]): void {
    const longest = Math.max(...lines.map(([, text]) => context.measureText(text).width));
    const left = Math.max(4, Math.min(x, width - longest - 10));
    for (const [at, text] of lines) {
      if (at === null) continue;
      context.fillStyle = faded(this.theme.panel, 0.85);
      context.fillRect(left - 3, at - 8, context.measureText(text).width + 6, 16);
      context.fillStyle = this.theme.text;
      context.fillText(text, left, at);
    }
  }
}

const FONT = '11px system-ui, "Segoe UI", Roboto, sans-serif';
