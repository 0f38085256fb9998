// Accounts of this server.

import { SYNAPSE, at, call, get } from "./api.js";
import { badge, button, h, href, link } from "./dom.js";
import { confirm } from "./dialog.js";
import { time } from "./format.js";
import { LIMIT, filters, numbered, place, table } from "./list.js";
import { session } from "./session.js";

const ORDERS = [
  ["name", "User ID"],
  ["displayname", "Display name"],
  ["creation_ts", "When it was made"],
  ["last_seen_ts", "When it was seen"],
];

/** What stands out about an account. */
export function marks(user) {
  const known = [
    [user.admin, "administrator", "good"],
    [user.is_guest, "guest", "plain"],
    [user.user_type, user.user_type, "plain"],
    [user.locked, "locked", "bad"],
    [user.suspended, "suspended", "bad"],
    [user.shadow_banned, "shadow-banned", "bad"],
    [user.deactivated, "closed", "bad"],
    [user.erased, "erased", "bad"],
  ];
  const shown = known.filter(([holds]) => holds).map(([, text, kind]) => badge(text, kind));
  return shown.length > 0 ? shown : "–";
}

function make(view) {
  return confirm({
    title: "Make an account",
    text: "The account can be used at once.",
    action: "Make it",
    fields: [
      { name: "username", label: "User name", required: true, autocapitalize: "none" },
      { name: "password", label: "Password", type: "password", required: true, autocomplete: "new-password" },
      { name: "displayname", label: "Display name" },
      { name: "admin", label: "Administrator of this server", type: "checkbox" },
    ],
    run: async ({ username, password, displayname, admin }) => {
      const bare = username.replace(/^@/, "").split(":")[0].toLowerCase();
      const free = await get(`${SYNAPSE}/v1/username_available`, { username: bare });
      if (!free.available) throw new Error("This user name is taken.");
      const userId = `@${bare}:${session().server}`;
      const body = { password, admin, ...(displayname ? { displayname } : {}) };
      await call("PUT", `${SYNAPSE}${at`/v2/users/${userId}`}`, { body });
      view.go(href("users", userId));
      return `${userId} has been made.`;
    },
  });
}

export default {
  needsUser: true,
  title: () => "Users",
  async show(view) {
    const { query } = view;
    const told = await get(`${SYNAPSE}/v3/users`, {
      from: place(view),
      limit: LIMIT,
      name: query.get("name"),
      order_by: query.get("order_by"),
      dir: query.get("dir"),
      deactivated: query.get("closed") === "true" ? null : "false",
      locked: "true",
      admins: query.get("admins"),
    }, view.signal);
    view.show(
      filters(view, "Look for users", [
        { name: "name", label: "User ID or name has in it", type: "search" },
        { name: "order_by", label: "In order of", type: "select", options: ORDERS, usual: "name" },
        { name: "dir", label: "Direction", type: "select", options: [["f", "Rising"], ["b", "Falling"]], usual: "f" },
        { name: "admins", label: "Administrators only", type: "checkbox" },
        { name: "closed", label: "Closed accounts too", type: "checkbox" },
      ]),
      h("p", { class: "buttons" }, button("Make an account", () => make(view))),
      table("Users", [
        ["User", (user) => link(user.name, "users", user.name)],
        ["Name", (user) => user.displayname || "–"],
        ["Standing", marks],
        ["Made", (user) => time(user.creation_ts)],
        ["Seen", (user) => time(user.last_seen_ts)],
      ], told.users, "Nobody was found."),
      numbered(view, told.users.length, told.total),
    );
  },
};
