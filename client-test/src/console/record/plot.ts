/** A small drawing of data: a frame with scales, drawn again whenever its place has another size. */

import { el } from "../dom.ts";

const SVG = "http://www.w3.org/2000/svg";
/** Room for the labels around a drawing, in pixels. */
const MARGIN = { top: 22, right: 14, bottom: 30, left: 44 };

type Attributes = Readonly<Record<string, string | number>>;

export function shape(tag: "line" | "circle" | "rect" | "path" | "text", attributes: Attributes, text = ""): SVGElement {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, typeof value === "number" ? String(+value.toFixed(2)) : value);
  if (text !== "") node.append(text);
  return node;
}

export interface Axis {
  readonly from: number;
  readonly to: number;
  /** Values with a line and a label. */
  readonly ticks: readonly number[];
  readonly label: string;
  readonly print: (value: number) => string;
}

/** Draws into the frame of a plot; `x` and `y` turn values into pixels. */
export type Draw = (frame: { add: (...nodes: SVGElement[]) => void; x: (value: number) => number; y: (value: number) => number }) => void;

export interface Picture {
  readonly x: Axis;
  readonly y: Axis;
  /** What the picture says, for who cannot see it. */
  readonly summary: string;
  readonly draw: Draw;
}

export class Plot {
  readonly #svg = document.createElementNS(SVG, "svg");
  readonly #empty = el("p", { class: "empty" });
  #picture: Picture | undefined;

  constructor(
    private readonly place: HTMLElement,
    empty: string,
  ) {
    this.#svg.setAttribute("role", "img");
    this.#empty.textContent = empty;
    place.append(this.#empty);
    new ResizeObserver(() => this.#draw()).observe(place);
  }

  /** Shows a picture; without one, the text for none. */
  show(picture: Picture | undefined): void {
    this.#picture = picture;
    this.place.replaceChildren(picture === undefined ? this.#empty : this.#svg);
    this.#draw();
  }

  #draw(): void {
    const { clientWidth: width, clientHeight: height } = this.place;
    const picture = this.#picture;
    if (picture === undefined || width < 80 || height < 60) return;
    const { x: across, y: up, summary, draw } = picture;
    const scale = (axis: Axis, from: number, to: number) => (value: number) =>
      from + ((value - axis.from) / (axis.to - axis.from || 1)) * (to - from);
    const x = scale(across, MARGIN.left, width - MARGIN.right);
    const y = scale(up, height - MARGIN.bottom, MARGIN.top);
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#svg.setAttribute("aria-label", summary);
    const [left, right, top, bottom] = [MARGIN.left, width - MARGIN.right, MARGIN.top, height - MARGIN.bottom];
    const nodes = [
      ...up.ticks.flatMap((value) => [
        shape("line", { class: value === 0 ? "zero" : "grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
        shape("text", { class: "tick", x: left - 6, y: y(value) + 3.5, "text-anchor": "end" }, up.print(value)),
      ]),
      ...across.ticks.flatMap((value) => [
        shape("line", { class: "grid", x1: x(value), x2: x(value), y1: top, y2: bottom }),
        shape("text", { class: "tick", x: x(value), y: bottom + 13, "text-anchor": "middle" }, across.print(value)),
      ]),
      shape("text", { class: "axis-label", x: right, y: height - 4, "text-anchor": "end" }, across.label),
      shape("text", { class: "axis-label", x: 2, y: 11 }, up.label),
    ];
    this.#svg.replaceChildren(...nodes);
    draw({ add: (...more) => this.#svg.append(...more), x, y });
  }
}

/** Round values from one end to the other: about `count` of them. */
export function ticks(from: number, to: number, count: number): number[] {
  const rough = (to - from) / Math.max(1, count);
  if (!(rough > 0)) return [from];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
  const first = Math.ceil(from / step - 1e-9) * step;
  return Array.from({ length: Math.floor((to - first) / step + 1e-9) + 1 }, (_, place) => +(first + place * step).toFixed(6));
}
