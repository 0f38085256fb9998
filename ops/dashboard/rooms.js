// Rooms that are known here.

import { SYNAPSE, get } from "./api.js";
import { badge, link } from "./dom.js";
import { number } from "./format.js";
import { LIMIT, filters, numbered, place, table } from "./list.js";

const ORDERS = [
  ["name", "Name"],
  ["canonical_alias", "Alias"],
  ["joined_members", "Members"],
  ["joined_local_members", "Members of this server"],
  ["state_events", "State events"],
  ["version", "Room version"],
];

/** What stands out about a room. */
export function marks(room) {
  const known = [
    [room.public, "in the list", "good"],
    [room.encryption, "encrypted", "good"],
    [room.room_type === "m.space", "space", "plain"],
    [!room.federatable, "of this server only", "plain"],
    [room.forgotten, "forgotten", "plain"],
    [room.tombstoned, "closed", "bad"],
    [room.blocked, "blocked", "bad"],
  ];
  const shown = known.filter(([holds]) => holds).map(([, text, kind]) => badge(text, kind));
  return shown.length > 0 ? shown : "–";
}

export default {
  needsUser: true,
  title: () => "Rooms",
  async show(view) {
    const { query } = view;
    const told = await get(`${SYNAPSE}/v1/rooms`, {
      from: place(view),
      limit: LIMIT,
      search_term: query.get("search"),
      order_by: query.get("order_by"),
      dir: query.get("dir"),
      empty_rooms: query.get("empty"),
    }, view.signal);
    view.show(
      filters(view, "Look for rooms", [
        { name: "search", label: "Name or alias has in it, or ID", type: "search" },
        { name: "order_by", label: "In order of", type: "select", options: ORDERS, usual: "name" },
        { name: "dir", label: "Direction", type: "select", options: [["f", "As usual"], ["b", "Turned round"]], usual: "f" },
        { name: "empty", label: "Rooms in which nobody is", type: "checkbox" },
      ]),
      table("Rooms", [
        ["Room", (room) => link(room.name || room.canonical_alias || room.room_id, "rooms", room.room_id)],
        ["Alias", (room) => room.canonical_alias || "–"],
        ["Members", (room) => `${number(room.joined_members)}, ${number(room.joined_local_members)} here`],
        ["Standing", marks],
        ["Version", (room) => room.version],
        ["State", (room) => number(room.state_events)],
      ], told.rooms, "No room was found."),
      numbered(view, told.rooms.length, told.total_rooms),
    );
  },
};
