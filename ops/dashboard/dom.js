// Elements are made by calls, and text is only ever text: nothing that came from outside is read as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element with attributes, listeners (`onclick`) and children: elements, texts, lists of them; null is left out. */
export function h(name, properties, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** The same for pictures. */
export function svg(name, properties, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

/** A link to a page of the dashboard. */
export function link(text, ...parts) {
  return h("a", { href: href(...parts) }, text);
}

/** The address of a page: parts of its path, and at last maybe an object with its query. */
export function href(...parts) {
  const query = typeof parts.at(-1) === "object" ? new URLSearchParams(parts.pop()).toString() : "";
  const path = parts.map((part) => encodeURIComponent(part)).join("/");
  return `#/${path}${query ? `?${query}` : ""}`;
}

/** A button. `key` names it among those that are drawn anew, so that the focus stays where it was. */
export function button(text, onclick, { danger, secondary, key, label } = {}) {
  const kind = danger ? "danger" : secondary ? "secondary" : null;
  return h("button", { type: "button", class: kind, onclick, "data-key": key, "aria-label": label }, text);
}

/** A line that says how something went. */
export function notice(text, kind = "info") {
  return h("p", { class: `notice ${kind}`, role: kind === "error" ? "alert" : "note" }, text);
}

/** Names and values. */
export function facts(rows) {
  const shown = rows.filter((row) => row && row[1] !== undefined && row[1] !== null && row[1] !== "");
  return h("dl", null, shown.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

/** A part of a page under a heading. */
export function section(title, ...children) {
  return h("section", null, h("h2", null, title), children);
}

/** A short word that stands out. */
export function badge(text, kind = "plain") {
  return h("span", { class: `badge ${kind}` }, text);
}

/**
 * Puts new content in a place, a `div` without attributes. What is the same stays, so that nobody who reads there is thrown out; otherwise the focus goes to
 * what has the same key, and what was unfolded is so again.
 */
export function redraw(place, ...children) {
  const next = h("div", null, children);
  const keys = [...place.querySelectorAll("details[data-key][open]")].map((element) => element.dataset.key);
  for (const element of next.querySelectorAll("details[data-key]")) {
    if (keys.includes(element.dataset.key)) element.open = true;
  }
  if (next.isEqualNode(place)) return;
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  place.replaceChildren(...next.childNodes);
  if (!key) return;
  const same = [...place.querySelectorAll("[data-key]")].find((element) => element.dataset.key === key);
  if (same) same.focus();
}

/** Says something to everybody, those who only hear among them. */
export function tell(text) {
  const place = document.getElementById("told");
  place.textContent = text;
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => {
    place.textContent = "";
  }, 8000);
}
