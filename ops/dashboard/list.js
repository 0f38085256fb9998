// Lists: what is looked for, a table, and the way to the next page.

import { h, href, link } from "./dom.js";
import { number } from "./format.js";

/** So many rows a page has. */
export const LIMIT = 50;

/**
 * A table. A column is `[heading, row => content]` and names the row when it is the first. The roles are said since on narrow screens rows are laid out as
 * blocks, and browsers take such for no table any more.
 */
export function table(caption, columns, rows, empty = "There is nothing here.") {
  if (rows.length === 0) return h("p", { class: "empty" }, empty);
  const headings = columns.map(([heading]) => h("th", { scope: "col", role: "columnheader" }, heading));
  const body = rows.map((row) =>
    h("tr", { role: "row" }, columns.map(([heading, content], place) => {
      const properties = { role: place === 0 ? "rowheader" : "cell", "data-label": heading };
      return place === 0 ? h("th", { scope: "row", ...properties }, content(row)) : h("td", properties, content(row));
    })));
  return h("table", { role: "table" },
    h("caption", null, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, headings)),
    h("tbody", { role: "rowgroup" }, body));
}

/** The part of an address without what only belongs to a page of the list. */
function plain(query) {
  const kept = Object.fromEntries(query);
  delete kept.from;
  return kept;
}

/** What is looked for: fields whose values stand in the page's address, so that it can be kept and sent. */
export function filters(view, label, fields) {
  const form = h("form", { role: "search", "aria-label": label, class: "filters" }, fields.map((one) => field(one, view.query.get(one.name))),
    h("p", { class: "buttons" }, h("button", { type: "submit" }, "Show"), link("Show all", ...view.parts)));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const query = {};
    for (const one of fields) {
      const input = form.elements[one.name];
      const value = one.type === "checkbox" ? (input.checked ? "true" : "") : input.value.trim();
      if (value && value !== one.usual) query[one.name] = value;
    }
    view.go(href(...view.parts, query));
  });
  return form;
}

/** A field with its label. */
export function field({ name, label, type = "text", options, usual, hint, ...rest }, value, prefix = "field") {
  const id = `${prefix}-${name}`;
  const described = hint ? { "aria-describedby": `${id}-hint` } : {};
  const said = h("label", { for: id }, label);
  const told = hint ? h("span", { class: "hint", id: `${id}-hint` }, hint) : null;
  if (type === "select") {
    const chosen = value ?? usual;
    const choices = options.map(([key, text]) => h("option", { value: key, selected: key === chosen }, text));
    return h("div", { class: "field" }, said, h("select", { id, name, ...described }, choices), told);
  }
  if (type === "checkbox") {
    const checked = value === true || value === "true";
    return h("div", { class: "field check" }, h("input", { id, name, type, checked, ...described }), said, told);
  }
  if (type === "area") return h("div", { class: "field" }, said, h("textarea", { id, name, rows: "3", ...described, ...rest }, value ?? ""), told);
  const input = h("input", { id, name, type, value: value ?? "", autocomplete: "off", spellcheck: "false", ...described, ...rest });
  return h("div", { class: "field" }, said, input, told);
}

/** The way to other pages, where places in the list are numbers. */
export function numbered(view, shown, total, limit = LIMIT) {
  const from = place(view);
  const to = (at) => href(...view.parts, { ...plain(view.query), from: at });
  const said = shown === 0 ? `${number(total)} in all` : `${number(from + 1)} to ${number(from + shown)} of ${number(total)}`;
  return h("nav", { class: "pager", "aria-label": "Pages of the list" }, h("span", null, said),
    from > 0 ? h("a", { href: to(Math.max(0, from - limit)) }, "Previous page") : null,
    from + shown < total ? h("a", { href: to(from + limit) }, "Next page") : null);
}

/** The way to other pages, where the server says what comes next. `name` is the parameter that takes it. */
export function onward(view, next, name = "from", label = "Pages of the list") {
  const isFirst = !view.query.get(name);
  if (isFirst && !next) return null;
  const others = Object.fromEntries(view.query);
  delete others[name];
  return h("nav", { class: "pager", "aria-label": label },
    isFirst ? null : h("a", { href: href(...view.parts, others) }, "First page"),
    next ? h("a", { href: href(...view.parts, { ...others, [name]: next }) }, "Next page") : null);
}

/** Where the page of the list begins. */
export function place(view) {
  const from = Number.parseInt(view.query.get("from") ?? "0", 10);
  return Number.isSafeInteger(from) && from > 0 ? from : 0;
}
