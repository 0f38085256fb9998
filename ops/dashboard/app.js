// The frame around all pages: which one is shown, who is signed in, and the colours.

import { ask } from "./api.js";
import audit from "./audit.js";
import cluster from "./cluster.js";
import { button, h, href, notice } from "./dom.js";
import federation from "./federation.js";
import { forget } from "./figures.js";
import journey from "./journey.js";
import login from "./login.js";
import media from "./media.js";
import overview from "./overview.js";
import parked from "./parked.js";
import reports from "./reports.js";
import room from "./room.js";
import rooms from "./rooms.js";
import { end, session } from "./session.js";
import tokens from "./tokens.js";
import user from "./user.js";
import users from "./users.js";

/** Pages by the first part of their address, in the order of the menu. One with a second part may have a page of its own. */
const PAGES = [
  ["", "Overview", overview],
  ["users", "Users", users, user],
  ["rooms", "Rooms", rooms, room],
  ["reports", "Reports", reports],
  ["media", "Media", media],
  ["federation", "Federation", federation],
  ["cluster", "Cluster", cluster],
  ["parked", "Parked records", parked],
  ["journey", "Event journey", journey],
  ["audit", "Audit log", audit],
  ["tokens", "Tokens", tokens],
];

/** So often does a page try by itself to be shown, when the server is busy or cannot be reached. */
const ATTEMPTS_MAX = 5;

const main = document.getElementById("main");
const menu = document.getElementById("pages");
const leave = document.getElementById("leave");

let controller = new AbortController();

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The address: parts of its path, and its query. */
function address() {
  const whole = location.hash.replace(/^#\/?/, "");
  const mark = whole.indexOf("?");
  const path = mark < 0 ? whole : whole.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? "" : whole.slice(mark + 1));
  return { parts: path.split("/").filter((part) => part !== "").map(decoded), query };
}

/** What a page is handed. */
function viewed({ parts, query }, body) {
  const { signal } = controller;
  return {
    parts,
    query,
    body,
    signal,
    /** Shows content in place of what was there. */
    show: (...nodes) => body.replaceChildren(...nodes.flat(Infinity).filter(Boolean)),
    /** Goes to another address. */
    go: (target) => {
      if (location.hash === target) open();
      else location.hash = target;
    },
    /** Shows the page anew. */
    reload: () => open(),
    /** Does something again and again while the page is shown and seen. */
    every: async (ms, work) => {
      while (!signal.aborted) {
        await new Promise((done) => setTimeout(done, ms));
        if (signal.aborted) return;
        if (document.hidden) continue;
        await work().catch((error) => {
          if (!signal.aborted && error.status === undefined) console.error(error);
        });
      }
    },
  };
}

/** Shows what the address says. `arrived`: by a step to it, so that the heading is read out. */
async function open(arrived = false) {
  controller.abort();
  controller = new AbortController();
  const { signal } = controller;
  const place = address();
  const [name = "", second] = place.parts;
  const found = PAGES.find(([known]) => known === name);
  const page = session() ? (second !== undefined && found?.[3]) || found?.[2] : login;
  const title = page ? page.title(place.parts) : "No such page";
  const focused = document.activeElement?.id;
  const wasWithin = main.contains(document.activeElement);
  frame(name);
  document.title = session() ? `${title} – ${session().server}` : "Playhouse";
  const heading = h("h1", { tabindex: "-1" }, title);
  const body = h("div", { class: "page", "aria-busy": "true" }, h("p", { class: "loading" }, "Loading …"));
  main.replaceChildren(heading, body);
  if (arrived) heading.focus();
  try {
    await insisted(page, viewed(place, body));
  } catch (error) {
    if (signal.aborted) return;
    if (error.status === undefined) console.error(error);
    body.replaceChildren(notice(error.message, "error"), h("p", null, button("Try again", () => open())));
  }
  if (signal.aborted) return;
  body.removeAttribute("aria-busy");
  // Who has just looked for something goes on where it was typed.
  if (focused?.startsWith("field-")) document.getElementById(focused)?.focus();
  else if (wasWithin && document.activeElement === document.body) heading.focus();
}

/** Shows a page. While the server is busy or cannot be reached it says so, and asks again after the time that was told, a few times. */
async function insisted(page, view) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await shown(page, view);
      return;
    } catch (error) {
      if (view.signal.aborted || !error.wait || attempt === ATTEMPTS_MAX) throw error;
      view.show(notice(error.message, "error"), h("p", { class: "loading" }, "It is tried again …"));
      await new Promise((done) => setTimeout(done, error.wait));
      if (view.signal.aborted) throw error;
    }
  }
}

async function shown(page, view) {
  if (!page) {
    view.show(notice("There is no such page.", "error"));
  } else if (page.needsUser && !session().isUser) {
    view.show(notice("This page is for administrators who have signed in: the tokens of tools open Playhouse's own API only."));
  } else {
    await page.show(view);
  }
}

function frame(name) {
  const known = session();
  document.getElementById("server").textContent = known ? known.server : "";
  document.getElementById("who").textContent = known ? known.name : "";
  leave.hidden = !known;
  menu.hidden = !known;
  if (!known) return;
  const links = PAGES.map(([part, text]) => {
    const here = part === name ? "page" : null;
    return h("li", null, h("a", { href: part ? href(part) : "#/", "aria-current": here }, text));
  });
  menu.replaceChildren(h("ul", null, links));
}

/** Ends the session; the one that was made here ends at the server too. */
async function signOut() {
  const known = session();
  end();
  forget();
  if (known?.own) await ask(known.token, "POST", "/_matrix/client/v3/logout", { body: {} }).catch(() => null);
  open(true);
}

function theme() {
  const choice = document.getElementById("theme");
  choice.value = document.documentElement.dataset.theme || "auto";
  choice.addEventListener("change", () => {
    if (choice.value === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice.value;
    try {
      localStorage.setItem("playhouse.theme", choice.value);
    } catch {
      // Then it lasts until the page is loaded anew.
    }
  });
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
leave.addEventListener("click", signOut);
document.addEventListener("playhouse:ended", () => {
  forget();
  open(true);
});
document.addEventListener("playhouse:begun", () => open(true));
addEventListener("hashchange", () => open(!document.activeElement?.id?.startsWith("field-")));
theme();
open();
