// How the server is: what there is, what waits for somebody, and how busy it is.

import { OWN, SYNAPSE, get } from "./api.js";
import { chart } from "./chart.js";
import { h, href, notice, redraw, section } from "./dom.js";
import { SPAN_MS, level, mean, nodes, rate, sample } from "./figures.js";
import { bytes, figure, number, time } from "./format.js";
import { session } from "./session.js";

const FIGURES_EVERY_MS = 2000;
const TILES_EVERY_MS = 30000;
const UNFINISHED_MAX = 200;

const milliseconds = (seconds) => `${figure(seconds * 1000)} ms`;

/** Graphs: title, how values are written, and lines by name. */
const GRAPHS = [
  ["Requests a second", figure, {
    answered: () => rate("playhouse_http_requests_total", { outcome: "ok" }),
    refused: () => rate("playhouse_http_requests_total", { outcome: "refused" }),
    failed: () => rate("playhouse_http_requests_total", { outcome: "failed" }),
  }],
  ["Records written a second", figure, {
    rooms: () => rate("playhouse_writer_batch_records_sum", { family: "rooms" }),
    users: () => rate("playhouse_writer_batch_records_sum", { family: "users" }),
    servers: () => rate("playhouse_writer_batch_records_sum", { family: "servers" }),
  }],
  ["Time to commit", milliseconds, { mean: () => mean("playhouse_writer_commit_seconds") }],
  ["Records that wait for writers", figure, { records: () => level("playhouse_writer_queue_records") }],
  ["Awake actors", figure, {
    rooms: () => level("playhouse_actors_awake", { kind: "room" }),
    users: () => level("playhouse_actors_awake", { kind: "user" }),
    servers: () => level("playhouse_actors_awake", { kind: "server" }),
  }],
  ["Memory of actors", bytes, { "all actors": () => level("playhouse_actors_weight_bytes") }],
  ["Transactions to other servers a second", figure, {
    acknowledged: () => rate("playhouse_outbox_transactions_total", { outcome: "acknowledged" }),
    failed: () => rate("playhouse_outbox_transactions_total", { outcome: "failed" }),
  }],
  ["Waiting for other servers", figure, {
    "to be sent": () => level("playhouse_outbox_waiting"),
    "servers behind": () => level("playhouse_outbox_destinations_behind"),
  }],
];

async function total(path, name, query, signal) {
  const told = await get(path, { limit: 1, ...query }, signal);
  return told[name];
}

/** What there is: a label, where it leads, and how it is asked for. */
function tiles(signal) {
  const own = [
    ["Parked records", href("parked"), async () => number(await total(`${OWN}/parked`, "total", {}, signal))],
    ["Servers that lack something", href("federation", { unfinished: "true" }), async () => {
      const told = await get(`${OWN}/destinations`, { unfinished: true, limit: UNFINISHED_MAX }, signal);
      return told.next ? `${UNFINISHED_MAX} or more` : number(told.destinations.length);
    }],
  ];
  if (!session().isUser) return own;
  return [
    ["Users", href("users"), async () => number(await total(`${SYNAPSE}/v2/users`, "total", {}, signal))],
    ["Rooms", href("rooms"), async () => number(await total(`${SYNAPSE}/v1/rooms`, "total_rooms", {}, signal))],
    ["Reports of events", href("reports"), async () => number(await total(`${SYNAPSE}/v1/event_reports`, "total", {}, signal))],
    ["Reports of users", href("reports", "users"), async () => number(await total(`${SYNAPSE}/v1/user_reports`, "total", {}, signal))],
    ...own,
  ];
}

function board(signal) {
  const all = tiles(signal).map(([label, target, ask]) => ({ ask, label, value: h("strong", null, "…"), target }));
  const shown = all.map(({ label, value, target }) => h("li", null, h("a", { href: target }, value, h("span", null, label))));
  return {
    element: h("ul", { class: "tiles" }, shown),
    refresh: () => Promise.all(all.map(async ({ ask, value }) => {
      try {
        value.textContent = await ask();
      } catch (error) {
        if (signal.aborted) throw error;
        value.textContent = "unknown";
      }
    })),
  };
}

function gallery(signal) {
  const all = GRAPHS.map(([title, shown, lines]) => ({ lines: Object.values(lines), graph: chart(title, Object.keys(lines), shown) }));
  const stand = h("p", { class: "hint" });
  const draw = (at) => {
    for (const { lines, graph } of all) graph.draw(lines.map((line) => line()), at - SPAN_MS, at);
  };
  draw(Date.now());
  return {
    element: [h("div", { class: "charts" }, all.map(({ graph }) => graph.element)), stand],
    refresh: async () => {
      try {
        const at = await sample(signal);
        draw(at);
        const names = nodes();
        stand.replaceChildren(`The last five minutes${names.length > 0 ? ` of what answers: ${names.join(", ")}` : ""}, as of `, time(at), ".");
      } catch (error) {
        if (!signal.aborted) stand.replaceChildren(`The figures could not be had: ${error.message}`);
        throw error;
      }
    },
  };
}

export default {
  title: () => "Overview",
  async show(view) {
    const counts = board(view.signal);
    const graphs = gallery(view.signal);
    const trouble = h("div");
    view.show(
      trouble,
      section("What there is", counts.element),
      section("How busy it is", graphs.element),
      h("p", { class: "hint" }, `Playhouse ${session().version}`),
    );
    const refresh = async () => {
      try {
        await graphs.refresh();
        redraw(trouble);
      } catch (error) {
        if (view.signal.aborted || error.status === undefined) throw error;
        redraw(trouble, notice(error.message, "error"));
      }
    };
    await Promise.all([counts.refresh(), refresh()]);
    view.every(TILES_EVERY_MS, counts.refresh);
    view.every(FIGURES_EVERY_MS, refresh);
  },
};
