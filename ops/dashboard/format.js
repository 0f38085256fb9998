// Numbers and times as people read them.

import { h, link } from "./dom.js";
import { session } from "./session.js";

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const FINE = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** A number. */
export function number(value) {
  return value === null || value === undefined ? "–" : NUMBER.format(value);
}

/** A figure of which the first digits matter. */
export function figure(value) {
  return Math.abs(value) >= 100 ? NUMBER.format(Math.round(value)) : FINE.format(value);
}

/** An amount of bytes. */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let rest = value;
  let unit = 0;
  while (rest >= 1024 && unit < units.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  return `${NUMBER.format(rest)} ${units[unit]}`;
}

const digits = (value) => String(value).padStart(2, "0");

/** A moment, milliseconds since the Unix epoch, in the time zone of who reads it. */
export function time(ms) {
  if (!ms) return "–";
  const moment = new Date(ms);
  if (Number.isNaN(moment.getTime())) return "–";
  const date = [moment.getFullYear(), digits(moment.getMonth() + 1), digits(moment.getDate())].join("-");
  const clock = [moment.getHours(), moment.getMinutes(), moment.getSeconds()].map(digits).join(":");
  return h("time", { datetime: moment.toISOString() }, h("span", null, date), " ", h("span", null, clock));
}

/** How long something takes. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 120) return `${NUMBER.format(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** So many of something. */
export function count(value, one, many) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

/** JSON to be read. */
export function json(value) {
  return h("pre", { tabindex: "0" }, JSON.stringify(value, null, 2));
}

/** A user: a link to the page of an account of this server, or just the ID. */
export function person(userId) {
  if (!userId) return "–";
  const server = userId.slice(userId.indexOf(":") + 1);
  return server === session().server ? link(userId, "users", userId) : userId;
}
