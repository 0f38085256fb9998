// What users have reported: a list of work, from which is taken what is done.

import { SYNAPSE, at, call, get } from "./api.js";
import { button, facts, h, href, link, section } from "./dom.js";
import { confirm } from "./dialog.js";
import { json, person, time } from "./format.js";
import { LIMIT, filters, numbered, place, table } from "./list.js";

async function dismiss(view, kind, id, done) {
  await confirm({
    title: "Take the report off the list",
    text: "What was reported stays as it is.",
    action: "Take it off",
    run: async () => {
      await call("DELETE", `${SYNAPSE}/v1/${kind}${at`/${id}`}`);
      return "The report is off the list.";
    },
  }) && done();
}

function takeOff(view, kind, id) {
  return button("Take off", () => dismiss(view, kind, id, view.reload), { secondary: true, label: `Take off report ${id}` });
}

function kinds(isOfUsers) {
  const entry = (text, target, here) => h("li", null, h("a", { href: target, "aria-current": here ? "page" : null }, text));
  return h("nav", { class: "kinds", "aria-label": "Kinds of reports" },
    h("ul", null, entry("Events", href("reports"), !isOfUsers), entry("Users", href("reports", "users"), isOfUsers)));
}

async function events(view) {
  const { query } = view;
  const told = await get(`${SYNAPSE}/v1/event_reports`, {
    from: place(view),
    limit: LIMIT,
    dir: query.get("dir"),
    user_id: query.get("user_id"),
    room_id: query.get("room_id"),
    event_sender_user_id: query.get("sender"),
  }, view.signal);
  view.show(
    kinds(false),
    filters(view, "Look for reports of events", [
      { name: "room_id", label: "Room ID has in it", type: "search" },
      { name: "sender", label: "Sender has in it", type: "search" },
      { name: "user_id", label: "Reporter has in it", type: "search" },
      { name: "dir", label: "Direction", type: "select", options: [["b", "Newest first"], ["f", "Oldest first"]], usual: "b" },
    ]),
    table("Reports of events", [
      ["Report", (report) => link(`Report ${report.id}`, "reports", "event", report.id)],
      ["When", (report) => time(report.received_ts)],
      ["Room", (report) => (report.room_id ? link(report.name || report.canonical_alias || report.room_id, "rooms", report.room_id) : "–")],
      ["Sender", (report) => person(report.sender)],
      ["Reporter", (report) => person(report.user_id)],
      ["Reason", (report) => report.reason || "–"],
      ["Actions", (report) => takeOff(view, "event_reports", report.id)],
    ], told.event_reports, "Nothing was reported."),
    numbered(view, told.event_reports.length, told.total),
  );
}

async function ofUsers(view) {
  const { query } = view;
  const told = await get(`${SYNAPSE}/v1/user_reports`, {
    from: place(view),
    limit: LIMIT,
    dir: query.get("dir"),
    user_id: query.get("user_id"),
    target_user_id: query.get("target"),
  }, view.signal);
  view.show(
    kinds(true),
    filters(view, "Look for reports of users", [
      { name: "target", label: "Reported user has in it", type: "search" },
      { name: "user_id", label: "Reporter has in it", type: "search" },
      { name: "dir", label: "Direction", type: "select", options: [["b", "Newest first"], ["f", "Oldest first"]], usual: "b" },
    ]),
    table("Reports of users", [
      ["Report", (report) => `Report ${report.id}`],
      ["When", (report) => time(report.received_ts)],
      ["Reported", (report) => person(report.target_user_id)],
      ["Reporter", (report) => person(report.user_id)],
      ["Reason", (report) => report.reason || "–"],
      ["Actions", (report) => takeOff(view, "user_reports", report.id)],
    ], told.user_reports, "Nobody was reported."),
    numbered(view, told.user_reports.length, told.total),
  );
}

async function one(view, id) {
  const report = await get(`${SYNAPSE}${at`/v1/event_reports/${id}`}`, null, view.signal);
  view.show(
    facts([
      ["When", time(report.received_ts)],
      ["Room", report.room_id ? link(report.name || report.room_id, "rooms", report.room_id) : null],
      ["Event", report.event_id ? link(report.event_id, "journey", report.event_id) : null],
      ["Sender", person(report.sender)],
      ["Reporter", person(report.user_id)],
      ["Reason", report.reason],
    ]),
    h("p", { class: "buttons" }, button("Take the report off the list", () => dismiss(view, "event_reports", id, () => view.go(href("reports"))))),
    section("The event", report.event_json ? json(report.event_json) : h("p", null, "It is not here any more.")),
    h("p", null, h("a", { href: href("reports") }, "All reports")),
  );
}

export default {
  needsUser: true,
  title: ([, kind, id]) => (kind === "event" ? `Report ${id}` : kind === "users" ? "Reports of users" : "Reports of events"),
  show(view) {
    const [, kind, id] = view.parts;
    if (kind === "event" && id) return one(view, id);
    return kind === "users" ? ofUsers(view) : events(view);
  },
};
