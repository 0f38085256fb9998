// Media: who has how much, what a user has uploaded, and single pieces.

import { SYNAPSE, at, call, get } from "./api.js";
import { badge, button, facts, h, href, link, notice, section } from "./dom.js";
import { confirm } from "./dialog.js";
import { bytes, count, number, time } from "./format.js";
import { LIMIT, field, filters, numbered, place, table } from "./list.js";
import { session } from "./session.js";

const DAY_MS = 24 * 60 * 60 * 1000;

const ORDERS_OF_PIECES = [["created_ts", "When it came"], ["media_length", "Size"], ["last_access_ts", "Last use"]];
const ORDERS_OF_USERS = [["media_length", "Size"], ["media_count", "Number"], ["user_id", "User ID"]];

const piece = (kind, server, id) => `${SYNAPSE}/v1/media/${kind ? `${kind}/` : ""}${at`${server}/${id}`}`;

/** Something that is done to a piece of media once it was confirmed. */
function change(view, name, text, { danger, run, said = "It is done.", after = view.reload }) {
  const done = async () => {
    await run();
    return said;
  };
  return button(name, async () => {
    if (await confirm({ title: name, text, action: name, danger, run: done })) after();
  }, { secondary: !danger, danger });
}

function actions(view, { server, id, isAway, isSafe }) {
  const isOurs = server === session().server;
  const post = (path) => () => call("POST", path, { body: {} });
  const back = () => change(view, "Give out again", `${server}/${id} may be had again.`, { run: post(piece("unquarantine", server, id)) });
  const away = () => change(view, "Put away",
    `Nobody is given ${server}/${id} any more, nor what has the same content. The audit log can take it back.`,
    { run: post(piece("quarantine", server, id)) });
  const guard = () => change(view, isSafe ? "End protection" : "Protect", isSafe ? "It may be put away again." : "It cannot be put away.",
    { run: post(`${SYNAPSE}/v1/media/${isSafe ? "unprotect" : "protect"}${at`/${id}`}`) });
  const remove = () => change(view, "Delete", `${id} is gone for ever.`,
    { danger: true, run: () => call("DELETE", piece("", server, id)), said: "It is deleted.", after: () => view.go(href("media")) });
  return h("span", { class: "buttons" }, isAway ? back() : away(), isOurs && !isAway ? guard() : null, isOurs ? remove() : null);
}

function standing(isAway, isSafe) {
  const shown = [isAway ? badge("put away", "bad") : null, isSafe ? badge("protected", "good") : null].filter(Boolean);
  return shown.length > 0 ? shown : "–";
}

async function ofUser(view, userId) {
  const told = await get(`${SYNAPSE}${at`/v1/users/${userId}/media`}`, {
    from: place(view),
    limit: LIMIT,
    order_by: view.query.get("order_by") ?? "created_ts",
    dir: view.query.get("dir") ?? "b",
  }, view.signal);
  const server = session().server;
  view.show(
    h("p", null, "Uploaded by ", link(userId, "users", userId)),
    filters(view, "Order of the list", [
      { name: "order_by", label: "In order of", type: "select", options: ORDERS_OF_PIECES, usual: "created_ts" },
      { name: "dir", label: "Direction", type: "select", options: [["b", "Falling"], ["f", "Rising"]], usual: "b" },
    ]),
    table("Media", [
      ["Media", (one) => link(one.media_id, "media", { address: `mxc://${server}/${one.media_id}` })],
      ["File", (one) => one.upload_name || "–"],
      ["Type", (one) => one.media_type || "–"],
      ["Size", (one) => bytes(one.media_length)],
      ["Came", (one) => time(one.created_ts)],
      ["Used", (one) => time(one.last_access_ts)],
      ["Standing", (one) => standing(one.quarantined_by, one.safe_from_quarantine)],
    ], told.media, "The user has uploaded nothing."),
    numbered(view, told.media.length, told.total),
    h("p", null, h("a", { href: href("media") }, "All media")),
  );
}

/** Server and ID of an address. */
function parsed(address) {
  const found = /^(?:mxc:\/\/)?([^/]+)\/([^/]+)$/.exec(address.trim());
  return found ? { server: found[1], id: found[2] } : null;
}

async function one(view, address) {
  const named = parsed(address);
  if (!named) return view.show(notice("This is no address of media: mxc://server/ID.", "error"), finder(view, address));
  const { media_info: info } = await get(piece("", named.server, named.id), null, view.signal);
  const isAway = Boolean(info.quarantined_by);
  const isSafe = Boolean(info.safe_from_quarantine);
  return view.show(
    finder(view, address),
    facts([
      ["Uploaded by", info.user_id ? link(info.user_id, "users", info.user_id) : null],
      ["File", info.upload_name],
      ["Type", info.media_type],
      ["Size", info.media_length === null ? null : bytes(info.media_length)],
      ["Came", time(info.created_ts)],
      ["Used", time(info.last_access_ts)],
      ["Put away by", info.quarantined_by],
      ["Standing", standing(isAway, isSafe)],
      ["SHA-256", info.sha256],
    ]),
    h("p", null, actions(view, { ...named, isAway, isSafe })),
    h("p", null, h("a", { href: href("media") }, "All media")),
  );
}

function finder(view, address) {
  const form = h("form", { role: "search", class: "filters", "aria-label": "Look for a piece of media" },
    field({ name: "address", label: "Address of a piece of media", type: "search", required: true, hint: "mxc://server/ID" }, address, "find"),
    h("p", { class: "buttons" }, h("button", { type: "submit" }, "Look for it")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    view.go(href("media", { address: form.elements.address.value.trim() }));
  });
  return form;
}

const days = { name: "days", label: "Not used for so many days", type: "number", required: true, min: "1", max: "36500", value: 90 };

function sweep(name, text, path, said) {
  return button(name, () => confirm({
    title: name,
    text,
    action: name,
    danger: true,
    fields: [days],
    run: async (wish) => said(await call("POST", path, { query: { before_ts: Date.now() - wish.days * DAY_MS }, body: {} })),
  }), { danger: true });
}

async function all(view) {
  const { query } = view;
  const told = await get(`${SYNAPSE}/v1/statistics/users/media`, {
    from: place(view),
    limit: LIMIT,
    search_term: query.get("search"),
    order_by: query.get("order_by") ?? "media_length",
    dir: query.get("dir") ?? "b",
  }, view.signal);
  view.show(
    finder(view, ""),
    section("Who has how much",
      filters(view, "Look for users", [
        { name: "search", label: "User ID or name has in it", type: "search" },
        { name: "order_by", label: "In order of", type: "select", options: ORDERS_OF_USERS, usual: "media_length" },
        { name: "dir", label: "Direction", type: "select", options: [["b", "Falling"], ["f", "Rising"]], usual: "b" },
      ]),
      table("Media by user", [
        ["User", (user) => link(user.user_id, "media", user.user_id)],
        ["Name", (user) => user.displayname || "–"],
        ["Pieces", (user) => number(user.media_count)],
        ["Size", (user) => bytes(user.media_length)],
      ], told.users, "Nobody has uploaded anything."),
      numbered(view, told.users.length, told.total)),
    section("Cleaning up", h("p", { class: "buttons" },
      sweep("Drop copies of other servers' media", "They are fetched again when somebody wants them.", `${SYNAPSE}/v1/purge_media_cache`,
        (answer) => `${count(answer.deleted, "copy is", "copies are")} gone.`),
      sweep("Delete media of this server", "They are gone for ever, but for pictures of users and rooms and what was put away or is protected.",
        `${SYNAPSE}/v1/media/delete`, (answer) => `${count(answer.total, "piece is", "pieces are")} gone.`)),
    h("p", { class: "hint" }, "Ten thousand at once at most: who asks again goes on.")),
  );
}

export default {
  needsUser: true,
  title: ([, userId]) => (userId ? `Media of ${userId}` : "Media"),
  show(view) {
    const address = view.query.get("address");
    if (view.parts[1]) return ofUser(view, view.parts[1]);
    return address ? one(view, address) : all(view);
  },
};
