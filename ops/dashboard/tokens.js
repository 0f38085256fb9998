// Tokens by which tools use the admin API.

import { OWN, at, call, get } from "./api.js";
import { button, h, notice } from "./dom.js";
import { confirm, reveal } from "./dialog.js";
import { time } from "./format.js";
import { table } from "./list.js";
import { may } from "./session.js";

const DAY_MS = 24 * 60 * 60 * 1000;
const ROLES = ["read", "moderate", "operate"];

async function make(view) {
  let token = null;
  const done = await confirm({
    title: "Make a token",
    text: "For a tool that uses the admin API of Playhouse's own. It is told once.",
    action: "Make it",
    fields: [
      { name: "name", label: "What it is for", required: true },
      ...ROLES.map((role) => ({ name: role, label: `Role ${role}`, type: "checkbox", value: role === "read" })),
      { name: "days", label: "Good for so many days", type: "number", required: true, min: "1", max: "366", value: 30 },
    ],
    run: async (wish) => {
      const roles = ROLES.filter((role) => wish[role]);
      if (roles.length === 0) throw new Error("A token without a role opens nothing.");
      const body = { name: wish.name, roles, lifetime_ms: Math.round(wish.days * DAY_MS) };
      token = (await call("POST", `${OWN}/tokens`, { body })).token;
      return "The token is made.";
    },
  });
  if (!done) return;
  await reveal({ title: "The token", text: "It is shown now and never again.", label: "Token", secret: token });
  view.reload();
}

async function revoke(view, one) {
  await confirm({
    title: "End the token",
    text: `${one.name}: whatever uses it is refused at once.`,
    action: "End it",
    danger: true,
    run: async () => {
      try {
        await call("DELETE", `${OWN}${at`/tokens/${one.id}`}`);
      } catch (error) {
        // Somebody else was faster, or it has ended by itself since it was listed: it is as it was wanted.
        if (error.status !== 404) throw error;
      }
      return "The token is good no more.";
    },
  }) && view.reload();
}

export default {
  title: () => "Tokens",
  async show(view) {
    if (!may("operate")) {
      view.show(notice("This takes the role operate."));
      return;
    }
    const told = await get(`${OWN}/tokens`, null, view.signal);
    view.show(
      h("p", { class: "buttons" }, button("Make a token", () => make(view))),
      table("Tokens of tools", [
        ["Name", (one) => one.name],
        ["ID", (one) => one.id],
        ["Roles", (one) => one.roles.join(", ")],
        ["Made by", (one) => one.made_by],
        ["Made", (one) => time(one.made_ts)],
        ["Good until", (one) => time(one.expires_ts)],
        ["Actions", (one) => button("End", () => revoke(view, one), { danger: true, label: `End the token ${one.name}` })],
      ], told.tokens, "No tool has a token."),
    );
  },
};
