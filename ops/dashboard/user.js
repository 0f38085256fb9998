// One account.

import { OWN, SYNAPSE, at, call, get } from "./api.js";
import { button, facts, h, href, link, redraw, section, tell } from "./dom.js";
import { confirm } from "./dialog.js";
import { count, time } from "./format.js";
import { LIMIT, table } from "./list.js";
import { session } from "./session.js";
import { marks } from "./users.js";

const REDACTION_EVERY_MS = 1000;

const of = (userId, rest = "") => `${SYNAPSE}${at`/v1/users/${userId}`}${rest}`;
const account = (userId) => `${SYNAPSE}${at`/v2/users/${userId}`}`;

/** A switch: what it is called while it is off and while it is on, whether it is, what follows, and how it is turned. */
function switches(user) {
  const id = user.name;
  return [
    [["Lock", "Unlock"], user.locked, "A locked account cannot be used until it is unlocked; its sessions stay.",
      (on) => call("PUT", account(id), { body: { locked: on } })],
    [["Suspend", "Resume"], user.suspended, "A suspended account may read, and not write.",
      (on) => call("PUT", `${SYNAPSE}${at`/v1/suspend/${id}`}`, { body: { suspend: on } })],
    [["Shadow-ban", "End the shadow ban"], user.shadow_banned, "What a shadow-banned user sends reaches nobody, and the user is not told.",
      (on) => call(on ? "POST" : "DELETE", of(id, "/shadow_ban"), { body: on ? {} : undefined })],
    [["Make administrator", "Take administration away"], user.admin, "An administrator of this server may do everything that this page does.",
      (on) => call("PUT", of(id, "/admin"), { body: { admin: on } })],
  ];
}

function turning(view, user) {
  return switches(user).map(([names, isOn, text, turn]) => {
    const name = names[isOn ? 1 : 0];
    return button(name, async () => {
      const asked = { title: `${name}: ${user.name}`, text, action: name, danger: !isOn };
      const run = async () => {
        await turn(!isOn);
        return "It is done. The audit log can take it back.";
      };
      if (await confirm({ ...asked, run })) view.reload();
    }, { secondary: true });
  });
}

async function password(view, userId) {
  await confirm({
    title: "Set a new password",
    text: `For ${userId}.`,
    action: "Set it",
    account: userId,
    fields: [
      { name: "password", label: "New password", type: "password", required: true, autocomplete: "new-password" },
      { name: "logout", label: "End all sessions of the account", type: "checkbox", value: true },
    ],
    run: async ({ password: secret, logout }) => {
      await call("POST", `${SYNAPSE}${at`/v1/reset_password/${userId}`}`, { body: { new_password: secret, logout_devices: logout } });
      return "The password is set.";
    },
  }) && view.reload();
}

async function close(view, userId) {
  await confirm({
    title: "Close the account",
    text: "The user leaves all rooms, all sessions end, and what the account holds is gone for good. It can be opened again, but empty.",
    action: "Close the account",
    danger: true,
    phrase: userId,
    fields: [{ name: "erase", label: "Show the user's messages to new readers without their content", type: "checkbox" }],
    run: async ({ erase }) => {
      await call("POST", `${SYNAPSE}${at`/v1/deactivate/${userId}`}`, { body: { erase } });
      return "The account is closed.";
    },
  }) && view.reload();
}

async function reopen(view, userId) {
  await confirm({
    title: "Open the account again",
    text: `${userId} begins anew: nothing comes back of what the account held. Without a password it is for who signs in elsewhere.`,
    action: "Open the account",
    account: userId,
    fields: [{ name: "password", label: "New password", type: "password", autocomplete: "new-password" }],
    run: async ({ password: secret }) => {
      const body = secret ? { password: secret } : {};
      const { reopened } = await call("POST", `${OWN}${at`/users/${userId}/reopen`}`, { body });
      return reopened ? "The account is open again." : "The account was open already: nothing has changed.";
    },
  }) && view.reload();
}

async function redact(view, userId, place) {
  let id = null;
  const begun = await confirm({
    title: "Redact what the user sent",
    text: "In all rooms in which the user is or was banned: at most a thousand events of each, the newest. This cannot be taken back.",
    action: "Redact",
    danger: true,
    phrase: userId,
    fields: [{ name: "reason", label: "Reason" }],
    run: async ({ reason }) => {
      const body = { rooms: [], ...(reason ? { reason } : {}) };
      id = (await call("POST", `${SYNAPSE}${at`/v1/user/${userId}/redact`}`, { body })).redact_id;
      return "It has begun.";
    },
  });
  if (!begun) return;
  let hasEnded = false;
  const look = async () => {
    if (hasEnded) return;
    const told = await get(`${SYNAPSE}${at`/v1/user/redact_status/${id}`}`, null, view.signal);
    const failed = Object.keys(told.failed_redactions || {}).length;
    const trouble = [failed ? `${count(failed, "event", "events")} could not be redacted` : null, told.error].filter(Boolean);
    place.textContent = `Redaction: ${[told.status, ...trouble].join(", ")}.`;
    hasEnded = told.status !== "active";
    if (hasEnded) tell(place.textContent);
  };
  await look();
  view.every(REDACTION_EVERY_MS, look);
}

function devices(view, userId, list) {
  const remove = async (device) => {
    const done = await confirm({
      title: "Sign a device out",
      text: `${device.display_name || device.device_id} of ${userId}. Its keys are forgotten.`,
      action: "Sign it out",
      danger: true,
      run: async () => {
        await call("DELETE", `${account(userId)}${at`/devices/${device.device_id}`}`);
        return "The device is signed out.";
      },
    });
    if (done) view.reload();
  };
  return table("Devices", [
    ["Device", (device) => device.device_id],
    ["Name", (device) => device.display_name || "–"],
    ["Seen", (device) => time(device.last_seen_ts)],
    ["From", (device) => [device.last_seen_ip, device.last_seen_user_agent].filter(Boolean).join(", ") || "–"],
    ["Actions", (device) => button("Sign out", () => remove(device), { secondary: true, label: `Sign out ${device.device_id}` })],
  ], list, "The account has no devices.");
}

/** Rooms, a page of them at a time; the server tells all at once. */
function joined(rooms) {
  const place = h("div");
  const draw = (from) => redraw(place,
    table("Rooms in which the user is", [["Room", (roomId) => link(roomId, "rooms", roomId)]], rooms.slice(from, from + LIMIT), "The user is in no room."),
    h("p", { class: "buttons" },
      from > 0 ? button("Previous rooms", () => draw(from - LIMIT), { secondary: true, key: "before" }) : null,
      from + LIMIT < rooms.length ? button("Next rooms", () => draw(from + LIMIT), { secondary: true, key: "after" }) : null));
  draw(0);
  return place;
}

export default {
  needsUser: true,
  title: ([, userId]) => userId,
  async show(view) {
    const userId = view.parts[1];
    const user = await get(account(userId), null, view.signal);
    const [owned, rooms] = await Promise.all([
      get(`${account(userId)}/devices`, null, view.signal),
      get(of(userId, "/joined_rooms"), null, view.signal),
    ]);
    const redaction = h("p", { role: "status" });
    const isSelf = session().name === userId;
    view.show(
      facts([
        ["Display name", user.displayname],
        ["Standing", marks(user)],
        ["Made", time(user.creation_ts * 1000)],
        ["Seen", time(user.last_seen_ts)],
        ["Addresses", user.threepids.map((one) => one.address).join(", ")],
        ["At other systems", user.external_ids.map((one) => `${one.external_id} (${one.auth_provider})`).join(", ")],
      ]),
      h("p", { class: "links" }, link("Media", "media", userId), " · ", link("Changes by administrators", "audit", { target: userId })),
      user.deactivated ? section("Actions",
        h("p", { class: "buttons" }, button("Open the account again", () => reopen(view, userId)))) : section("Actions",
        isSelf ? h("p", { class: "hint" }, "This is you.") : null,
        h("p", { class: "buttons" }, isSelf ? null : turning(view, user), button("Set a password", () => password(view, userId), { secondary: true }),
          button("Redact messages", () => redact(view, userId, redaction), { danger: true }),
          isSelf ? null : button("Close the account", () => close(view, userId), { danger: true })),
        redaction),
      section("Devices", devices(view, userId, owned.devices)),
      section("Rooms", h("p", null, count(rooms.total, "room", "rooms")), joined(rooms.joined_rooms)),
      h("p", null, h("a", { href: href("users") }, "All users")),
    );
  },
};
