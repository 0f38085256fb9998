// One room.

import { OWN, SYNAPSE, at, call, get } from "./api.js";
import { button, facts, h, href, link, notice, redraw, section, tell } from "./dom.js";
import { confirm } from "./dialog.js";
import { bytes, count, number, person, time } from "./format.js";
import { LIMIT, field, table } from "./list.js";
import { marks } from "./rooms.js";

const DELETION_EVERY_MS = 1000;

/** Deletions that were begun on this page, by room. */
const deletions = new Map();

const own = (roomId, rest) => `${OWN}${at`/rooms/${roomId}`}${rest}`;
const known = (roomId, rest = "") => `${SYNAPSE}${at`/v1/rooms/${roomId}`}${rest}`;

/** Shows how a deletion stands until it has ended. */
function following(view, roomId) {
  const place = h("div", { role: "status" });
  let hasEnded = false;
  const look = async () => {
    const id = deletions.get(roomId);
    if (!id || hasEnded) return;
    const told = await get(`${SYNAPSE}${at`/v2/rooms/delete_status/${id}`}`, null, view.signal);
    const gone = told.shutdown_room.kicked_users.length;
    const failed = told.shutdown_room.failed_to_kick_users.length;
    hasEnded = told.status === "complete" || told.status === "failed";
    place.replaceChildren(h("p", null, `Deletion: ${told.status}. ${count(gone, "user has", "users have")} left`,
      failed ? `, ${number(failed)} could not be made to` : "", told.error ? `; ${told.error}` : ".",
      hasEnded ? null : h("progress", { "aria-label": "The room is being deleted" })));
    if (hasEnded) tell(`Deletion of the room: ${told.status}.`);
  };
  return { place, look };
}

async function remove(view, roomId) {
  const begun = await confirm({
    title: "Delete the room",
    text: "All users of this server leave it. What was said there is erased from this server, and cannot be had back.",
    action: "Delete the room",
    danger: true,
    phrase: roomId,
    fields: [
      { name: "purge", label: "Erase its history", type: "checkbox", value: true },
      { name: "block", label: "Keep everybody of this server out from now on", type: "checkbox" },
      { name: "message", label: "What its members are told in a new room", hint: "Empty: no new room is made." },
      { name: "user", label: "Who makes that room", hint: "A user of this server; needed when something is told." },
    ],
    run: async ({ purge, block, message, user }) => {
      const told = message ? { message, new_room_user_id: user } : {};
      const answer = await call("DELETE", `${SYNAPSE}${at`/v2/rooms/${roomId}`}`, { body: { purge, block, ...told } });
      deletions.set(roomId, answer.delete_id);
      return "The deletion has begun.";
    },
  });
  if (begun) view.reload();
}

async function block(view, roomId, isBlocked) {
  const name = isBlocked ? "Let it in again" : "Block the room";
  await confirm({
    title: name,
    text: isBlocked ? "Users of this server may join it again." : "Nobody of this server comes into it any more.",
    action: name,
    danger: !isBlocked,
    run: async () => {
      await call("PUT", known(roomId, "/block"), { body: { block: !isBlocked } });
      return "It is done. The audit log can take it back.";
    },
  }) && view.reload();
}

async function promote(view, roomId) {
  await confirm({
    title: "Give somebody power",
    text: "As much as the most powerful user of this server has in the room, and an invite. The room shows that.",
    action: "Give power",
    fields: [{ name: "user", label: "User ID", required: true, hint: "A user of this server." }],
    run: async ({ user }) => {
      await call("POST", known(roomId, "/make_room_admin"), { body: { user_id: user } });
      return `${user} has power in the room.`;
    },
  }) && view.reload();
}

async function quarantine(roomId) {
  await confirm({
    title: "Put all media of the room away",
    text: "Nobody is given any media to which events of the room point. What stands in encrypted events cannot be seen and stays.",
    action: "Put away",
    danger: true,
    run: async () => {
      const told = await call("POST", `${SYNAPSE}${at`/v1/room/${roomId}/media/quarantine`}`, { body: {} });
      return `${count(told.num_quarantined, "piece", "pieces")} of media put away.`;
    },
  });
}

function members(list) {
  const place = h("div");
  const draw = (from) => redraw(place,
    table("Members", [["User", person]], list.slice(from, from + LIMIT), "Nobody is in the room."),
    h("p", { class: "buttons" },
      from > 0 ? button("Previous members", () => draw(from - LIMIT), { secondary: true, key: "before" }) : null,
      from + LIMIT < list.length ? button("Next members", () => draw(from + LIMIT), { secondary: true, key: "after" }) : null));
  draw(0);
  return place;
}

function storage(told) {
  return [
    h("p", null, `${number(told.records)} records of ${bytes(told.bytes)}, and a snapshot of ${bytes(told.snapshot_bytes)}.`,
      told.partial ? " There are so many records that the oldest were not measured." : ""),
    table("Records by kind", [
      ["Kind", (kind) => kind.kind],
      ["Records", (kind) => number(kind.records)],
      ["Size", (kind) => bytes(kind.bytes)],
    ], told.kinds),
  ];
}

function graph({ graph: told, alarms }) {
  return [
    facts([
      ["Newest record", number(told.sequence)],
      ["State events", number(told.state_events)],
      ["Invited", number(told.invited_members)],
      ["Memory", bytes(told.memory_bytes)],
      ["Not all members are known yet", told.partial_state ? "yes" : null],
      ["State was resolved at some time", told.forked ? "yes" : "no"],
    ]),
    table("Ends of the event graph", [
      ["Event", (end) => link(end.event_id, "journey", end.event_id)],
      ["Depth", (end) => number(end.depth)],
    ], told.forward_extremities),
    table("State that resolution has reset", [
      ["Key", (alarm) => `${alarm.type} ${alarm.state_key}`],
      ["When", (alarm) => time(alarm.ts)],
      ["With", (alarm) => link(alarm.cause, "journey", alarm.cause)],
    ], alarms, "Resolution has reset nothing since the room woke."),
  ];
}

/** Why a piece of state is what it is. */
function reasons(view, roomId) {
  const place = h("div", { "aria-live": "polite" });
  const columns = [
    ["Event", (event) => link(event.event_id, "journey", event.event_id)],
    ["Type", (event) => event.type],
    ["By", (event) => event.sender],
    ["Made", (event) => time(event.origin_server_ts)],
  ];
  const form = h("form", { class: "filters", "aria-label": "Look at a piece of state" },
    field({ name: "type", label: "Event type", required: true }, "m.room.power_levels", "why"),
    field({ name: "state_key", label: "State key" }, "", "why"),
    h("p", { class: "buttons" }, h("button", { type: "submit" }, "Ask")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const query = { type: form.elements.type.value.trim(), state_key: form.elements.state_key.value };
    try {
      const told = await get(own(roomId, "/state/why"), query, view.signal);
      place.replaceChildren(
        h("p", null, "In force: ", link(told.in_force.event_id, "journey", told.in_force.event_id), ` by ${told.in_force.sender}`),
        table("Events that allow it", columns, told.auth_events),
        table("What was in force before", columns, told.replaced, "Nothing was."));
    } catch (error) {
      if (!view.signal.aborted) place.replaceChildren(notice(error.message, "error"));
    }
  });
  return [form, place];
}

export default {
  needsUser: true,
  title: ([, roomId]) => roomId,
  async show(view) {
    const roomId = view.parts[1];
    const deletion = following(view, roomId);
    if (deletions.has(roomId)) {
      await deletion.look();
      view.show(section("Deletion", deletion.place), h("p", null, h("a", { href: href("rooms") }, "All rooms")));
      view.every(DELETION_EVERY_MS, deletion.look);
      return;
    }
    const ask = (path) => get(path, null, view.signal);
    const [room, blocked, present, stored, ends] = await Promise.all([
      ask(known(roomId)), ask(known(roomId, "/block")), ask(known(roomId, "/members")), ask(own(roomId, "/storage")), ask(own(roomId, "/graph")),
    ]);
    const devices = count(room.joined_local_devices, "device", "devices");
    view.show(
      facts([
        ["Name", room.name],
        ["Alias", room.canonical_alias],
        ["Topic", room.topic],
        ["Standing", marks({ ...room, blocked: blocked.block })],
        ["Made by", person(room.creator)],
        ["Version", room.version],
        ["Who may join", room.join_rules],
        ["Who sees its history", room.history_visibility],
        ["Members", `${number(room.joined_members)}, ${number(room.joined_local_members)} of this server with ${devices}`],
        ["Goes on in", room.replacement_room ? link(room.replacement_room, "rooms", room.replacement_room) : null],
      ]),
      h("p", { class: "links" }, link("Reports", "reports", { room_id: roomId }), " · ", link("Changes by administrators", "audit", { target: roomId })),
      section("Actions", h("p", { class: "buttons" },
        button(blocked.block ? "Let it in again" : "Block the room", () => block(view, roomId, blocked.block), { secondary: true }),
        button("Give somebody power", () => promote(view, roomId), { secondary: true }),
        button("Put its media away", () => quarantine(roomId), { danger: true }),
        button("Delete the room", () => remove(view, roomId), { danger: true }))),
      section("Members", h("p", null, count(present.total, "member", "members")), members(present.members)),
      section("Storage", storage(stored)),
      section("Event graph", graph(ends)),
      section("Why state is what it is", reasons(view, roomId)),
      h("p", null, h("a", { href: href("rooms") }, "All rooms")),
    );
  },
};
