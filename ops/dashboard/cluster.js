// Nodes, which of them holds what, and what is on its way.

import { OWN, at, call, get } from "./api.js";
import { badge, button, h, link, notice, redraw, section } from "./dom.js";
import { confirm } from "./dialog.js";
import { duration, figure, number, time } from "./format.js";
import { table } from "./list.js";
import { may, session } from "./session.js";

const EVERY_MS = 2000;
const FAMILIES = ["rooms", "users", "servers"];
const STANDINGS = { serving: "good", draining: "plain", dead: "bad" };

/** So many shards were on their way at once since the last time that none was. */
let most = 0;

/** The nodes that live, by name, as was told last: a table that stays as it is must not offer those of yesterday. */
let living = [];

/** An order to the nodes that is asked about first. */
function order(refresh, { name, title, text, danger, fields, key, label, run }) {
  return button(name, async () => {
    const done = async (wish) => {
      await run(wish);
      return "The nodes do it with their next beat.";
    };
    if (await confirm({ title, text, danger, fields: fields?.(), action: name, run: done })) await refresh();
  }, { secondary: !danger, danger, key, label });
}

function nodeActions(node, refresh) {
  if (!may("operate")) return "–";
  const path = `${OWN}${at`/cluster/nodes/${node.name}`}`;
  const common = { title: `Node ${node.name}` };
  const drain = order(refresh, {
    ...common, name: "Drain", key: `drain-${node.name}`, label: `Drain ${node.name}`, danger: true,
    text: "It gives all its shards away and gets no new ones, until it is let join again.",
    run: () => call("POST", `${path}/drain`, { body: {} }),
  });
  const join = order(refresh, {
    ...common, name: "Join", key: `join-${node.name}`, label: `Let ${node.name} join`,
    text: "It takes shards again.",
    run: () => call("POST", `${path}/join`, { body: {} }),
  });
  const forget = order(refresh, {
    ...common, name: "Forget", key: `forget-${node.name}`, label: `Forget ${node.name}`, danger: true,
    text: "It is taken off the list. If it runs it joins again by itself.",
    run: () => call("POST", `${path}/leave`, { body: {} }),
  });
  const fitting = { serving: drain, draining: join, dead: forget };
  return h("span", { class: "buttons" }, fitting[node.standing]);
}

function nodes(told, refresh) {
  const held = (node, family) => told.shards.filter((shard) => shard.family === family && shard.holder === node.name).length;
  const waiting = (node) => Object.values(node.queues).flat().reduce((total, one) => total + one, 0);
  return table("Nodes", [
    ["Node", (node) => [node.name, node.name === told.node ? " – this answers" : ""]],
    ["Standing", (node) => badge(node.standing, STANDINGS[node.standing] ?? "plain")],
    ["Roles", (node) => node.roles.join(", ")],
    ["Shards", (node) => FAMILIES.map((family) => `${family} ${held(node, family)}`).join(", ")],
    ["Records a second", (node) => figure(node.load)],
    ["Waiting", (node) => number(waiting(node))],
    ["Since", (node) => time(node.joined_ts)],
    ["Actions", (node) => nodeActions(node, refresh)],
  ], told.nodes);
}

/** How far the shards have come that set out together. */
function moves(told) {
  most = told.moves.length === 0 ? 0 : Math.max(most, told.moves.length);
  if (most === 0) return h("p", { class: "empty" }, "Every shard is where it shall be.");
  const done = most - told.moves.length;
  return [
    h("p", null, h("progress", { max: most, value: done, "aria-label": "Shards that have arrived" }), ` ${number(done)} of ${number(most)} have arrived`),
    table("Shards on their way", [
      ["Shard", (one) => one.shard],
      ["From", (one) => one.from ?? "nobody"],
      ["To", (one) => one.to ?? "not decided"],
      ["For", (one) => duration(one.for_ms)],
    ], told.moves),
  ];
}

function shardActions(shard, refresh) {
  if (!may("operate")) return "–";
  const name = `${shard.family}/${shard.number}`;
  const path = `${OWN}${at`/cluster/shards/${shard.family}/${shard.number}`}`;
  const where = () => ({ name: "node", label: "Node", type: "select", options: living.map((node) => [node, node]), usual: shard.wanted ?? living[0] });
  const move = order(refresh, {
    name: "Move", title: `Move ${name}`, key: `move-${name}`, label: `Move ${name}`, fields: () => [where()],
    text: "It stays there until the load is balanced anew. Requests wait while it is on its way.",
    run: ({ node }) => call("POST", `${path}/move`, { body: { node } }),
  });
  const pin = order(refresh, {
    name: "Pin", title: `Pin ${name}`, key: `pin-${name}`, label: `Pin ${name}`,
    fields: () => [where(), { name: "alone", label: "The node holds nothing that is not pinned there", type: "checkbox" }],
    text: "It is kept on the node, whatever the load.",
    run: ({ node, alone }) => call("PUT", `${path}/pin`, { body: { node, alone } }),
  });
  const unpin = order(refresh, {
    name: "Unpin", title: `Unpin ${name}`, key: `pin-${name}`, label: `Unpin ${name}`,
    text: "It may be anywhere again.",
    run: () => call("DELETE", `${path}/pin`),
  });
  return h("span", { class: "buttons" }, move, shard.pinned ? unpin : pin);
}

function shards(told, refresh) {
  return FAMILIES.map((family) => {
    const own = told.shards.filter((shard) => shard.family === family);
    return h("details", { "data-key": `family-${family}` },
      h("summary", { "data-key": `summary-${family}` }, `Shards of ${family}: ${number(own.length)}`),
      table(`Shards of ${family}`, [
        ["Shard", (shard) => `${shard.family}/${shard.number}`],
        ["Held by", (shard) => shard.holder ?? badge("nobody", "bad")],
        ["Shall be at", (shard) => shard.wanted ?? "–"],
        ["Pinned to", (shard) => (shard.pinned ? `${shard.pinned}${shard.alone ? ", alone" : ""}` : "–")],
        ["Records a second", (shard) => (shard.load === null ? "–" : figure(shard.load))],
        ["Claimed", (shard) => number(shard.term)],
        ["Actions", (shard) => shardActions(shard, refresh)],
      ], own));
  });
}

export default {
  title: () => "Cluster",
  async show(view) {
    if (!session().node) {
      view.show(notice("This server has one node only: there is nothing to be shared."));
      return;
    }
    const places = Object.fromEntries(["alarm", "moves", "nodes", "shards", "readers", "hot"].map((name) => [name, h("div")]));
    const refresh = async () => {
      const told = await get(`${OWN}/cluster`, null, view.signal);
      const missing = told.missing_roles;
      living = told.nodes.filter((node) => node.standing !== "dead").map((node) => node.name);
      redraw(places.alarm, missing.length > 0 ? notice(`No living node has ${missing.join(", ")}: what that is for is not done.`, "error") : []);
      redraw(places.moves, moves(told));
      redraw(places.nodes, nodes(told, refresh));
      redraw(places.shards, shards(told, refresh));
      redraw(places.readers, table("Readers of the log", [
        ["Reader", (reader) => reader.name],
        ["Node", (reader) => reader.node],
        ["Positions behind", (reader) => number(reader.behind)],
      ], told.readers, "Nobody has told anything yet."));
      redraw(places.hot, table("Rooms that are written much", [
        ["Room", (room) => link(room.room_id, "rooms", room.room_id)],
        ["Shard", (room) => room.shard],
        ["Node", (room) => room.node],
        ["Records a second", (room) => figure(room.rate)],
      ], told.hot_rooms, "No room is written much."));
    };
    await refresh();
    view.show(
      places.alarm,
      section("Moves", places.moves),
      section("Nodes", places.nodes),
      section("Shards", places.shards),
      section("Readers", places.readers),
      section("Busy rooms", places.hot),
    );
    view.every(EVERY_MS, refresh);
  },
};
