// Lines over time.

import { h, svg } from "./dom.js";
import { figure } from "./format.js";

const WIDTH = 600;
const HEIGHT = 140;

/** A graph that is drawn anew whenever there is more to show. `shown` writes a value; lines differ by dashes too, not by colour alone. */
export function chart(title, names, shown = figure) {
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  const top = h("span", { class: "top", "aria-hidden": "true" });
  const legend = h("ul", { class: "legend" });
  const element = h("figure", { class: "chart" }, h("figcaption", null, title), legend, h("div", { class: "plot" }, picture, top));
  return {
    element,
    /** Lines, each a list of `[time, value]` in which null breaks the line, between two times. */
    draw(lines, from, to) {
      const known = lines.map((line) => line.filter(([, value]) => value !== null));
      const most = Math.max(0, ...known.flat().map(([, value]) => value));
      const height = most > 0 ? most : 1;
      picture.replaceChildren(grid(), ...lines.flatMap((line, place) => path(line, place, [from, to, height])));
      picture.setAttribute("aria-label", words(title, names, known, shown));
      top.textContent = shown(height);
      legend.replaceChildren(...names.map((name, place) => entry(name, place, known[place].at(-1), shown)));
    },
  };
}

function grid() {
  const lines = [0.25, 0.5, 0.75].map((part) => svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part }));
  return svg("g", { class: "grid" }, lines);
}

function path(line, place, [from, to, most]) {
  const pieces = [];
  let piece = [];
  for (const [at, value] of line) {
    if (value === null) {
      pieces.push(piece);
      piece = [];
      continue;
    }
    const x = ((at - from) / (to - from)) * WIDTH;
    const y = HEIGHT - 2 - (value / most) * (HEIGHT - 6);
    piece.push(`${x.toFixed(1)},${y.toFixed(1)}`);
  }
  pieces.push(piece);
  // A point by itself is drawn as a line to where it is.
  const drawn = pieces.filter((points) => points.length > 0).map((points) => (points.length > 1 ? points : [...points, ...points]));
  return drawn.map((points) => svg("polyline", { class: `line line-${place}`, points: points.join(" ") }));
}

function entry(name, place, last, shown) {
  const sample = svg("svg", { viewBox: "0 0 28 6", class: "sample", "aria-hidden": "true" },
    svg("polyline", { class: `line line-${place}`, points: "0,3 28,3" }));
  return h("li", null, sample, `${name}: `, h("strong", null, last ? shown(last[1]) : "–"));
}

function words(title, names, lines, shown) {
  const said = names.map((name, place) => {
    const seen = lines[place].map(([, value]) => value);
    if (seen.length === 0) return `${name}: not known yet`;
    return `${name}: ${shown(seen.at(-1))} now, between ${shown(Math.min(...seen))} and ${shown(Math.max(...seen))} before`;
  });
  return `${title}. ${said.join("; ")}.`;
}
