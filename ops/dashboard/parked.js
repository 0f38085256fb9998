// Records that readers of the log could not take in.

import { OWN, call, get } from "./api.js";
import { button, h, href } from "./dom.js";
import { confirm } from "./dialog.js";
import { number } from "./format.js";
import { LIMIT, table } from "./list.js";
import { may } from "./session.js";

const place = ({ reader, family, shard, position }) => ({ reader, family, shard, position });
const named = (one) => `${one.reader}, ${one.family}/${one.shard}, position ${one.position}`;

async function retry(view, one) {
  await confirm({
    title: "Try the record again",
    text: `${named(one)}. A follower does so within seconds, a read model when it is opened the next time.`,
    action: "Try again",
    run: async () => {
      await call("POST", `${OWN}/parked/retry`, { body: place(one) });
      return "It will be tried again.";
    },
  }) && view.reload();
}

async function discard(view, one) {
  await confirm({
    title: "Forget the record",
    text: `${named(one)}. What should have come of it does not, and this cannot be taken back.`,
    action: "Forget it",
    danger: true,
    phrase: one.reader,
    run: async () => {
      await call("POST", `${OWN}/parked/discard`, { body: place(one) });
      return "It is forgotten.";
    },
  }) && view.reload();
}

export default {
  title: () => "Parked records",
  async show(view) {
    const after = Object.fromEntries(view.query);
    const told = await get(`${OWN}/parked`, { ...after, limit: LIMIT }, view.signal);
    const last = told.parked.at(-1);
    const actions = (one) => {
      if (!may("operate")) return "–";
      const again = button("Try again", () => retry(view, one), { secondary: true });
      return h("span", { class: "buttons" }, again, button("Forget", () => discard(view, one), { danger: true }));
    };
    view.show(
      h("p", null, `${number(told.total)} in all. What follows a parked record was taken in; what should have come of it itself is missing.`),
      table("Parked records", [
        ["Reader", (one) => one.reader],
        ["Place", (one) => `${one.family}/${one.shard}, ${number(one.position)}`],
        ["Whose", (one) => one.entity],
        ["Reason", (one) => one.reason],
        ["Tried by", (one) => one.program || "to be tried again"],
        ["Actions", actions],
      ], told.parked, "Every record was taken in."),
      told.limited && last ? h("nav", { class: "pager", "aria-label": "Pages of the list" }, h("a", { href: href("parked", place(last)) }, "Next page")) : null,
    );
  },
};
