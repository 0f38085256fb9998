// What administrators have changed, and taking it back.

import { OWN, at, call, get } from "./api.js";
import { badge, button, h, link } from "./dom.js";
import { confirm } from "./dialog.js";
import { json, person, time } from "./format.js";
import { LIMIT, filters, onward, table } from "./list.js";
import { may } from "./session.js";

async function undo(view, change) {
  await confirm({
    title: "Take the change back",
    text: `${change.action}${change.target ? ` of ${change.target}` : ""}: it will be as it was before, if it still stands as the change left it.`,
    action: "Take it back",
    danger: true,
    run: async () => {
      await call("POST", `${OWN}${at`/audit/${change.id}/undo`}`, { body: {} });
      return "It is taken back.";
    },
  }) && view.reload();
}

function outcome(change) {
  if (change.status === null) return badge("not known", "bad");
  return badge(String(change.status), change.status < 400 ? "good" : "bad");
}

function target(change) {
  if (!change.target) return "–";
  if (change.kind === "user") return person(change.target);
  if (change.kind === "room") return link(change.target, "rooms", change.target);
  return `${change.kind}: ${change.target}`;
}

function details(change) {
  const part = (name, value) => (value === null || value === undefined ? null : [h("p", { class: "part" }, name), json(value)]);
  return h("details", { "data-key": `change-${change.id}` }, h("summary", null, "Details", h("span", { class: "hidden" }, ` of change ${change.id}`)),
    part("What was asked for", change.request), part("Before", change.before), part("After", change.after));
}

function back(view, change) {
  if (change.undone_by) return `taken back by change ${change.undone_by}`;
  if (!change.can_be_undone) return h("span", { class: "hint" }, change.why_not ?? "cannot be taken back");
  if (!may("moderate") && !may("operate")) return "–";
  return button("Undo", () => undo(view, change), { danger: true, label: `Undo change ${change.id}` });
}

/** What a browser's field for a moment holds, as milliseconds. */
function moment(text) {
  const ms = text ? new Date(text).getTime() : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}

export default {
  title: () => "Audit log",
  async show(view) {
    const { query } = view;
    const told = await get(`${OWN}/audit`, {
      by: query.get("by"),
      kind: query.get("kind"),
      target: query.get("target"),
      action: query.get("action"),
      since: moment(query.get("since")),
      until: moment(query.get("until")),
      from: query.get("from"),
      limit: LIMIT,
    }, view.signal);
    view.show(
      filters(view, "Look for changes", [
        { name: "by", label: "Made by", type: "search" },
        { name: "target", label: "About", type: "search", hint: "The ID of a user, a room, …" },
        { name: "action", label: "Action", type: "search", hint: "As it is listed." },
        { name: "since", label: "Since", type: "datetime-local" },
        { name: "until", label: "Until", type: "datetime-local" },
      ]),
      table("Changes by administrators", [
        ["Change", (change) => `${change.id}`],
        ["When", (change) => time(change.ts)],
        ["By", (change) => change.by],
        ["Action", (change) => [h("code", null, change.action), change.undoes ? `, takes back change ${change.undoes}` : ""]],
        ["About", target],
        ["Answer", outcome],
        ["Details", details],
        ["Undo", (change) => back(view, change)],
      ], told.changes, "Nothing was changed."),
      onward(view, told.next),
    );
  },
};
