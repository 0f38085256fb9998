// The way of an event through this server.

import { OWN, at, get } from "./api.js";
import { badge, facts, h, href, link, section } from "./dom.js";
import { number, person, time } from "./format.js";
import { LIMIT, field, onward, table } from "./list.js";
import { state } from "./federation.js";

const VERDICTS = { accepted: "good", soft_failed: "bad", rejected: "bad", held: "plain", powerless: "bad" };
const PUSHES = { pushed: "good", waiting: "bad", ended: "bad" };
const FEEDS = { heard: "good", behind: "bad", asleep: "plain" };

function finder(view, eventId) {
  const form = h("form", { role: "search", class: "filters", "aria-label": "Look for an event" },
    field({ name: "event", label: "Event ID", type: "search", required: true, hint: "It begins with $." }, eventId),
    h("p", { class: "buttons" }, h("button", { type: "submit" }, "Show its way")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    view.go(href("journey", form.elements.event.value.trim()));
  });
  return form;
}

/** What befell it, in order. */
function steps(told) {
  const resolved = told.state.resolved;
  const list = [
    ["Made", [`by ${told.sender}`, ", ", time(told.origin_server_ts), told.made_here ? ", here" : `, at ${told.origin}, as that says`]],
    ["Received", told.made_here ? null : [`from ${told.received_from}`]],
    ["Judged", [badge(told.verdict.replace("_", "-"), VERDICTS[told.verdict] ?? "plain"), told.reason ? ` ${told.reason}` : ""]],
    ["Recorded", [time(told.received_ts), `, in shard ${told.stored.shard} at position ${told.stored.position}; ${told.placement}`]],
    ["State", [resolved.length > 0 ? `resolved: ${resolved.map((one) => `${number(one.changed_keys)} keys changed`).join(", ")}` : "not resolved for it",
      told.state.in_force === undefined ? "" : told.state.in_force ? "; in force" : "; not in force"]],
    ["Redacted", told.redacted_by ? ["by ", link(told.redacted_by, "journey", told.redacted_by)] : null],
    ["In the graph", told.forward_extremity ? "an end of it: nothing follows yet" : "something follows"],
  ];
  return h("ol", { class: "steps" }, list.filter(([, text]) => text !== null).map(([name, text]) => h("li", null, h("strong", null, name), " ", text)));
}

function destination(one) {
  const names = { delivered: badge("delivered", "good"), not_read: badge("not looked at yet", "plain") };
  return names[one.state] ?? state(one.state);
}

/** What a pusher has told, or why not. */
function push(one) {
  const kind = PUSHES[one.state] ?? "plain";
  const reason = one.reason ? ` ${one.reason}` : "";
  return h("div", null, badge(one.state.replace("_", " "), kind), ` ${one.app_id}`, one.pushed_ts ? [", ", time(one.pushed_ts)] : "", reason);
}

async function shown(view, eventId) {
  const { query } = view;
  const told = await get(`${OWN}${at`/events/${eventId}/journey`}`, {
    users_from: query.get("users_from"),
    destinations_from: query.get("destinations_from"),
    limit: LIMIT,
  }, view.signal);
  view.show(
    finder(view, eventId),
    facts([
      ["Type", `${told.type}${told.state_key === undefined ? "" : `, state key “${told.state_key}”`}`],
      ["Room", link(told.room_id, "rooms", told.room_id)],
      ["Sender", person(told.sender)],
    ]),
    section("Its way", steps(told)),
    section("Users of this server",
      table("How far the feeds of users have come", [
        ["User", (one) => person(one.user_id)],
        ["Feed", (one) => badge(one.feed, FEEDS[one.feed] ?? "plain")],
        ["Position", (one) => (one.position === undefined ? "–" : number(one.position))],
        ["Ahead of it", (one) => (one.ahead === undefined ? "–" : number(one.ahead))],
        ["Pushes", (one) => (one.pushes.length === 0 ? "–" : one.pushes.map(push))],
      ], told.users, "Nobody of this server is in the room."),
      onward(view, told.users_next, "users_from", "Pages of users")),
    section("Other servers",
      table("Whether they have it", [
        ["Server", (one) => one.server_name],
        ["State", destination],
        ["Failures", (one) => (one.failures > 0 ? [number(one.failures), " since ", time(one.failing_since_ts)] : "–")],
        ["Next attempt", (one) => time(one.next_attempt_ts)],
        ["Last success", (one) => time(one.last_success_ts)],
      ], told.destinations, told.made_here ? "No other server is in the room." : "Its own server tells the others."),
      onward(view, told.destinations_next, "destinations_from", "Pages of servers")),
  );
}

export default {
  title: ([, eventId]) => (eventId ? `Journey of ${eventId}` : "Event journey"),
  show(view) {
    const eventId = view.parts[1];
    if (eventId) return shown(view, eventId);
    view.show(h("p", null, "When an event came, what was said of it, and whom it has reached."), finder(view, ""));
    return null;
  },
};
