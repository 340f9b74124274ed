/** The drawn chart. This module and the library behind it are loaded when they are first needed. */

import {
  CandlestickSeries,
  ColorType,
  createChart,
  createSeriesMarkers,
  CrosshairMode,
  LineStyle,
  type IChartApi,
  type IPriceLine,
  type ISeriesApi,
  type ISeriesMarkersPluginApi,
  type SeriesMarker,
  type Time,
} from "lightweight-charts";
import type { Detection, OpenKillzone, SessionLevel } from "../../messages.ts";
import * as format from "../format.ts";
import type { Candle, CandleBook } from "./bars.ts";
import { KillzoneLayer, Scale, SignalLayer, ZoneLayer, type DrawnSignal } from "./layers.ts";
import type { SignalMark } from "./signal-mark.ts";
import { faded, onThemeChange, readTheme, type Theme } from "./theme.ts";

/** Free bars to the right of the last one. */
const RIGHT_OFFSET = 8;

export class ChartView {
  readonly chart: IChartApi;
  readonly candles: ISeriesApi<"Candlestick">;
  readonly markers: ISeriesMarkersPluginApi<Time>;
  readonly #scale: Scale;
  readonly #killzones: KillzoneLayer;
  readonly #zones: ZoneLayer;
  readonly #signals: SignalLayer;
  #theme: Theme = readTheme();
  #quotes: { bid: IPriceLine; ask: IPriceLine } | undefined;
  #levels: IPriceLine[] = [];

  /**
   * @param onSignal Called with the id of a signal that was clicked.
   * @param onLeftEdge Called when the first loaded bar comes into view.
   */
  constructor(container: HTMLElement, onSignal: (id: string) => void, onLeftEdge: () => void) {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.chart = createChart(container, {
      autoSize: true,
      // Its logo brings an inline style, which the page's content policy forbids; the page has the link itself.
      layout: { attributionLogo: false, fontSize: 11 },
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: RIGHT_OFFSET },
      kineticScroll: { touch: !still, mouse: false },
      localization: { timeFormatter: (time: Time) => `${new Date(Number(time) * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC` },
    });
    this.candles = this.chart.addSeries(CandlestickSeries, { borderVisible: false, priceLineVisible: false });
    this.markers = createSeriesMarkers(this.candles, []);
    this.#scale = new Scale(this.chart, this.candles);
    this.#killzones = new KillzoneLayer(this.#scale, this.#theme, "bottom");
    this.#zones = new ZoneLayer(this.#scale, this.#theme, "bottom");
    this.#signals = new SignalLayer(this.#scale, this.#theme, "normal");
    for (const layer of [this.#killzones, this.#zones, this.#signals]) this.candles.attachPrimitive(layer);
    this.#paint();
    onThemeChange(() => {
      this.#theme = readTheme();
      this.#paint();
    });
    this.chart.subscribeClick(({ point, paneIndex }) => {
      const id = point === undefined || (paneIndex ?? 0) !== 0 ? undefined : this.#signals.at(point.x, point.y);
      if (id !== undefined) onSignal(id);
    });
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range !== null && range.from < 5) onLeftEdge();
    });
  }

  /** Shows other bars. `scroll` goes to the newest ones; else what is in view stays, and the newest bar if it was. */
  setBook(symbol: string, book: CandleBook, scroll: boolean): void {
    const tick = format.tickSize(symbol);
    const onGrid = (price: number) => format.price(symbol, Math.round(price / tick) * tick);
    this.candles.applyOptions({ priceFormat: { type: "custom", minMove: tick, formatter: onGrid } });
    this.#scale.book = book;
    // The library keeps the place. Its range of times must not be set again: it ends at the last bar that was drawn, and a
    // newer one would be out of view from then on.
    this.candles.setData([...book.candles]);
    if (scroll) this.showNow();
  }

  update(candle: Candle): void {
    this.candles.update(candle);
  }

  setQuote(bid: number | undefined, ask: number | undefined): void {
    if (bid === undefined || ask === undefined) {
      if (this.#quotes !== undefined) Object.values(this.#quotes).forEach((line) => this.candles.removePriceLine(line));
      this.#quotes = undefined;
      return;
    }
    if (this.#quotes === undefined) {
      const line = (price: number, color: string, title: string) =>
        this.candles.createPriceLine({ price, color, title, lineWidth: 1, lineStyle: LineStyle.Dotted, axisLabelVisible: false });
      this.#quotes = { bid: line(bid, this.#theme.down, "bid"), ask: line(ask, this.#theme.up, "ask") };
      return;
    }
    this.#quotes.bid.applyOptions({ price: bid });
    this.#quotes.ask.applyOptions({ price: ask });
  }

  setLevels(levels: readonly SessionLevel[]): void {
    this.#levels.forEach((line) => this.candles.removePriceLine(line));
    const line = (price: number, title: string) =>
      this.candles.createPriceLine({ price, title, color: this.#theme.violet, lineWidth: 1, lineStyle: LineStyle.SparseDotted, axisLabelVisible: false });
    this.#levels = levels.flatMap(({ name, high, low }) => {
      const text = name === "previous_day" ? ["PDH", "PDL"] : [`${format.killzone(name)} high`, `${format.killzone(name)} low`];
      return [line(high, text[0]!), line(low, text[1]!)];
    });
  }

  setKillzones(windows: readonly OpenKillzone[]): void {
    this.#killzones.windows = windows;
    this.#killzones.redraw();
  }

  setZones(zones: readonly Detection[]): void {
    this.#zones.zones = zones;
    this.#zones.redraw();
  }

  setSignals(marks: readonly SignalMark[]): void {
    this.#signals.marks = marks;
    this.markers.setMarkers(marks.flatMap((mark) => this.#markers(mark)).sort((a, b) => Number(a.time) - Number(b.time)));
    this.#signals.redraw();
  }

  select(id: string | undefined): void {
    this.#signals.selected = id;
    this.#signals.redraw();
  }

  /** Shows the bars around a time in seconds. */
  showTime(time: number): void {
    const place = this.#scale.book?.index(time) ?? 0;
    const range = this.chart.timeScale().getVisibleLogicalRange();
    const span = Math.min(160, Math.max(40, range === null ? 80 : range.to - range.from));
    this.chart.timeScale().setVisibleLogicalRange({ from: place - span * 0.6, to: place + span * 0.4 });
  }

  showNow(): void {
    const bars = this.candles.data().length;
    const wanted = Math.max(40, Math.min(160, this.chart.timeScale().width() / 7));
    this.chart.timeScale().setVisibleLogicalRange({ from: bars - wanted, to: bars + RIGHT_OFFSET });
  }

  /** Scrolls by a share of what is visible. */
  scroll(share: number): void {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (range === null) return;
    const step = (range.to - range.from) * share;
    this.chart.timeScale().setVisibleLogicalRange({ from: range.from + step, to: range.to + step });
  }

  /** Shows more bars for a factor above 1. */
  zoom(factor: number): void {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (range === null) return;
    const span = Math.max(10, (range.to - range.from) * factor);
    this.chart.timeScale().setVisibleLogicalRange({ from: range.to - span, to: range.to });
  }

  /** The signals that are drawn now, and where. */
  get drawn(): readonly DrawnSignal[] {
    return this.#signals.drawn;
  }

  /** What is drawn behind the bars; of the levels, how many lines. */
  get shown(): { readonly zones: readonly Detection[]; readonly killzones: readonly OpenKillzone[]; readonly levels: number } {
    return { zones: this.#zones.zones, killzones: this.#killzones.windows, levels: this.#levels.length };
  }

  #markers({ signal, from, to, ending, label }: SignalMark): SeriesMarker<Time>[] {
    const book = this.#scale.book;
    const begin = book?.at(from);
    if (begin === undefined || signal.entry_price === null) return [];
    const long = signal.direction === "long";
    const color = this.#signals.colour(ending);
    const entry: SeriesMarker<Time> = {
      id: signal.id,
      time: begin.time,
      price: signal.entry_price,
      position: long ? "atPriceBottom" : "atPriceTop",
      shape: long ? "arrowUp" : "arrowDown",
      color,
    };
    const end = ending === "pending" || ending === "open" ? undefined : book?.at(to);
    if (end === undefined) return [entry];
    return [entry, { id: signal.id, time: end.time, position: long ? "aboveBar" : "belowBar", shape: "circle", size: 0.6, color, text: label }];
  }

  #paint(): void {
    const { panel, text, line, up, down, faint } = this.#theme;
    this.chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: panel }, textColor: text },
      grid: { vertLines: { color: faded(line, 0.5) }, horzLines: { color: faded(line, 0.5) } },
      // Room for the longest price: a wider one would shift the chart.
      rightPriceScale: { borderColor: line, minimumWidth: 84 },
      timeScale: { borderColor: line },
      crosshair: { vertLine: { color: faint, labelBackgroundColor: faint }, horzLine: { color: faint, labelBackgroundColor: faint } },
    });
    this.candles.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    for (const layer of [this.#killzones, this.#zones, this.#signals]) layer.theme = this.#theme;
    const { bid, ask } = this.#quotes ?? {};
    bid?.applyOptions({ color: down });
    ask?.applyOptions({ color: up });
    this.#levels.forEach((level) => level.applyOptions({ color: this.#theme.violet }));
    this.setSignals(this.#signals.marks);
  }
}
