// Other servers, and what they lack.

import { OWN, SYNAPSE, at, call, get } from "./api.js";
import { badge, button, h, link, redraw } from "./dom.js";
import { confirm } from "./dialog.js";
import { number, time } from "./format.js";
import { LIMIT, filters, onward, table } from "./list.js";
import { session } from "./session.js";

const EVERY_MS = 5000;

const STATES = {
  up_to_date: ["has everything", "good"],
  in_flight: ["on its way", "plain"],
  waiting: ["waiting", "plain"],
  behind: ["behind", "bad"],
  unreachable: ["cannot be reached", "bad"],
};

/** A badge for how things stand with a destination. */
export function state(name) {
  const [text, kind] = STATES[name] ?? [name, "plain"];
  return badge(text, kind);
}

async function retry(view, name, refresh) {
  await confirm({
    title: "Try the server again",
    text: `${name} is tried at once. If that fails it waits on as before.`,
    action: "Try now",
    run: async () => {
      await call("POST", `${SYNAPSE}${at`/v1/federation/destinations/${name}/reset_connection`}`, { body: {} });
      return `${name} is being tried.`;
    },
  }) && await refresh();
}

function missing(one) {
  const oldest = one.oldest_undelivered;
  if (!oldest) return one.state === "behind" || one.state === "unreachable" ? "not known" : "–";
  return [link(oldest.event_id, "journey", oldest.event_id), ", recorded ", time(oldest.received_ts)];
}

export default {
  title: () => "Federation",
  async show(view) {
    const { query } = view;
    const place = h("div");
    const refresh = async () => {
      const wish = { from: query.get("from"), unfinished: query.get("unfinished"), limit: LIMIT };
      const told = await get(`${OWN}/destinations`, wish, view.signal);
      const actions = (one) => (one.failures > 0 && session().isUser
        ? button("Try now", () => retry(view, one.server_name, refresh), { secondary: true, key: one.server_name, label: `Try now: ${one.server_name}` })
        : "–");
      redraw(place,
        table("Other servers", [
          ["Server", (one) => one.server_name],
          ["State", (one) => state(one.state)],
          ["Waiting", (one) => number(one.waiting)],
          ["Oldest event it lacks", missing],
          ["Failures", (one) => (one.failures > 0 ? [number(one.failures), " since ", time(one.failing_since_ts)] : "–")],
          ["Next attempt", (one) => time(one.next_attempt_ts)],
          ["Last success", (one) => time(one.last_success_ts)],
          ["Actions", actions],
        ], told.destinations, "Nothing was ever sent to another server, or none lacks anything."),
        onward(view, told.next));
    };
    await refresh();
    view.show(
      filters(view, "Look for servers", [
        { name: "unfinished", label: "Only those that lack something", type: "checkbox" },
        { name: "from", label: "Names after", type: "search" },
      ]),
      place,
    );
    view.every(EVERY_MS, refresh);
  },
};
