/** A picture of curves, bars and points on two axes, as SVG. Its colours are classes of _static/demos.css. */

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 44, right: 10, top: 10, bottom: 38 };

/**
 * @typedef {object} Axis
 * @property {[number, number]} range - What the axis shows, from its left or lower end.
 * @property {string} [title] - Its title; without one the axis has no ticks either.
 */

/** Two axes, and what is drawn on them. Values that are null or not finite leave gaps. */
export class Plot {
  /**
   * @param {number} width - In pixels.
   * @param {number} height - In pixels.
   * @param {Axis} x - The horizontal axis.
   * @param {Axis} y - The vertical axis.
   */
  constructor(width, height, x, y) {
    const left = y.title ? MARGIN.left : 4;
    this.node = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height });
    this.area = make("g", {});
    this.x = scale(x.range, left, width - MARGIN.right);
    this.y = scale(y.range, height - MARGIN.bottom, MARGIN.top);
    this.bottom = height - MARGIN.bottom;
    this.#axes(x, y, left, width - MARGIN.right);
    this.node.append(this.area);
  }

  #axes(x, y, left, right) {
    const middle = (left + right) / 2;
    this.node.append(make("line", { class: "demo-axis", x1: left, x2: right, y1: this.bottom, y2: this.bottom }));
    if (x.title) {
      for (const tick of ticks(x.range, (right - left) / 55)) {
        const at = this.x(tick);
        this.node.append(
          make("line", { class: "demo-axis", x1: at, x2: at, y1: this.bottom, y2: this.bottom + 4 }),
          make("text", { x: at, y: this.bottom + 16, "text-anchor": "middle" }, written(tick)),
        );
      }
      this.node.append(make("text", { class: "demo-axis-title", x: middle, y: this.bottom + 33,
        "text-anchor": "middle" }, x.title));
    }
    if (y.title) {
      for (const tick of ticks(y.range, (this.bottom - MARGIN.top) / 45)) {
        const at = this.y(tick);
        this.node.append(
          make("line", { class: "demo-grid", x1: left, x2: right, y1: at, y2: at }),
          make("text", { x: left - 6, y: at + 4, "text-anchor": "end" }, written(tick)),
        );
      }
      const centre = (this.bottom + MARGIN.top) / 2;
      this.node.append(make("text", { class: "demo-axis-title", x: 11, y: centre, "text-anchor": "middle",
        transform: `rotate(-90 11 ${centre})` }, y.title));
    }
  }

  /** Draw a curve of the given class. */
  line(xs, ys, kind) {
    this.area.append(make("path", { class: `demo-line ${kind}`, d: path(xs.map(this.x), ys.map(this.y)) }));
  }

  /** Draw a point at each place, with one of `every` places shown. */
  dots(xs, ys, kind, { every = 1, radius = 2.5 } = {}) {
    xs.forEach((x, i) => {
      const [cx, cy] = [this.x(x), this.y(ys[i])];
      if (i % every === 0 && Number.isFinite(cx + cy)) {
        this.area.append(make("circle", { class: `demo-dot ${kind}`, cx, cy, r: radius }));
      }
    });
  }

  /** Draw a histogram; `sideways` has its values on the vertical axis. */
  bars({ edges, heights }, kind, { sideways = false } = {}) {
    const [along, across] = sideways ? [this.y, this.x] : [this.x, this.y];
    const zero = across(0);
    const corners = heights.flatMap((height, i) => {
      const [a, b, h] = [along(edges[i]), along(edges[i + 1]), across(height)];
      return sideways ? `M${zero} ${a}H${h}V${b}H${zero}Z` : `M${a} ${zero}V${h}H${b}V${zero}Z`;
    });
    this.area.append(make("path", { class: `demo-bars ${kind}`, d: corners.join("") }));
  }

  /** Draw points of probability: a stroke from the axis at each place, as long as its height. */
  stems(points, kind, { sideways = false } = {}) {
    for (const [at, height] of points) {
      const ends = sideways
        ? { x1: this.x(0), x2: this.x(height), y1: this.y(at), y2: this.y(at) }
        : { x1: this.x(at), x2: this.x(at), y1: this.y(0), y2: this.y(height) };
      this.area.append(make("line", { class: `demo-stem ${kind}`, ...ends }));
    }
  }

  /**
   * @param {string} label - What the picture shows, for readers who do not see it.
   * @returns {SVGElement} The finished picture.
   */
  finished(label) {
    this.node.setAttribute("role", "img");
    this.node.setAttribute("aria-label", label);
    return this.node;
  }
}

/** The largest number of some lists, gaps left out; at least `least`. */
export function largest(least, ...lists) {
  return lists.flat().reduce((most, value) => (Number.isFinite(value) && value > most ? value : most), least);
}

/** A number in a sentence, with three digits that count. */
export function written(value) {
  if (value === null || !Number.isFinite(value)) return "not a number";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  return text.replace("-", "−");
}

function make(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

/** From numbers to pixels; what lies far outside is drawn just outside. */
function scale([from, to], start, end) {
  const step = (end - start) / (to - from);
  const [low, high] = [Math.min(start, end) - 50, Math.max(start, end) + 50];
  return (value) => {
    const at = start + (value - from) * step;
    return value === null || !Number.isFinite(at) ? NaN : Math.round(Math.min(high, Math.max(low, at)) * 10) / 10;
  };
}

/** Round numbers within a range, about `count` of them. */
function ticks([from, to], count) {
  const [low, high] = [Math.min(from, to), Math.max(from, to)];
  const rough = (high - low) / Math.max(2, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((size) => size >= rough);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(i * step);
  return found;
}

function path(xs, ys) {
  let drawn = "";
  let pen = "M";
  xs.forEach((x, i) => {
    if (Number.isFinite(x + ys[i])) {
      drawn += `${pen}${x} ${ys[i]}`;
      pen = "L";
    } else {
      pen = "M";
    }
  });
  return drawn;
}
