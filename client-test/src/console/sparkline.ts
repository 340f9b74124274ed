/** Draws the last prices of a symbol as a small line. */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 72;
const HEIGHT = 20;
const CAPACITY = 60;

export class Sparkline {
  readonly node: SVGSVGElement = document.createElementNS(SVG, "svg");
  readonly #line = document.createElementNS(SVG, "polyline");
  readonly #values: number[] = [];

  constructor() {
    this.node.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.node.setAttribute("class", "sparkline");
    this.node.setAttribute("aria-hidden", "true");
    this.node.append(this.#line);
  }

  push(value: number): void {
    const values = this.#values;
    values.push(value);
    if (values.length > CAPACITY) values.shift();
    if (values.length < 2) return;
    const low = Math.min(...values);
    const span = Math.max(...values) - low || 1;
    const step = WIDTH / (CAPACITY - 1);
    const start = WIDTH - step * (values.length - 1);
    const points = values.map((v, i) => {
      const y = HEIGHT - 2 - ((v - low) / span) * (HEIGHT - 4);
      return `${(start + i * step).toFixed(1)},${y.toFixed(1)}`;
    });
    this.#line.setAttribute("points", points.join(" "));
    this.node.dataset["trend"] = value >= (values[0] ?? value) ? "up" : "down";
  }
}
