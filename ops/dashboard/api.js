// Requests to the admin APIs.

import { end, session } from "./session.js";

/** Playhouse's own admin API: administrators and tools. */
export const OWN = "/_playhouse/admin/v1";

/** The one that tools for Synapse speak: administrators only. */
export const SYNAPSE = "/_synapse/admin";

/** What is told to wait without saying how long waits so long, milliseconds … */
const WAIT_MS = 1000;

/** … and nobody is made to wait longer than this without being asked. */
const WAIT_MS_MAX = 30 * 1000;

/** The server said no, or could not be asked. */
export class Refused extends Error {
  constructor(status, body) {
    super(sentence(status, body));
    this.status = status;
    this.code = body?.errcode;
    this.wait = wait(status, body);
  }
}

/** After how many milliseconds the same may be answered; null when it would be refused again. */
function wait(status, body) {
  if (![0, 429, 503].includes(status)) return null;
  const told = Number(body?.retry_after_ms);
  return told > 0 ? Math.min(told, WAIT_MS_MAX) : WAIT_MS;
}

function sentence(status, body) {
  if (status === 0) return "The server cannot be reached.";
  const why = typeof body?.error === "string" && body.error ? body.error : "no reason was given";
  if (status === 429) return "Too many requests: wait a little and try again.";
  return `${why} (${status}${body?.errcode ? `, ${body.errcode}` : ""})`;
}

/**
 * A path in which what is put in is encoded. What would lead to another endpoint is not put in: browsers shorten paths, and addresses of pages may come from
 * anybody.
 */
export function at(texts, ...values) {
  if (values.some((value) => ["", ".", ".."].includes(String(value)))) throw new Refused(400, { error: "This names nothing" });
  return texts.reduce((path, text, place) => path + encodeURIComponent(values[place - 1]) + text);
}

function address(path, query) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query || {})) {
    if (value !== undefined && value !== null && value !== "" && value !== false) parameters.append(name, String(value));
  }
  const text = parameters.toString();
  return text ? `${path}?${text}` : path;
}

/** Asks with a token, whoever is signed in. */
export async function ask(token, method, path, { query, body, signal } = {}) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(address(path, query), {
      method,
      headers,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, null);
  }
  const told = await read(answer);
  if (!answer.ok) throw new Refused(answer.status, told);
  return told;
}

/** The JSON of an answer; null when it is none. One that breaks off is as good as none at all. */
async function read(answer) {
  let text;
  try {
    text = await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, null);
  }
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Asks as who is signed in; a token that is good no more ends the session. */
export async function call(method, path, options) {
  const token = session()?.token;
  try {
    return await ask(token, method, path, options);
  } catch (error) {
    if (error.status === 401 && session()?.token === token) {
      end();
      document.dispatchEvent(new CustomEvent("playhouse:ended"));
    }
    throw error;
  }
}

/** Looks. */
export function get(path, query, signal) {
  return call("GET", path, { query, signal });
}
