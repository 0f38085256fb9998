// What the stories told by matrix-js-sdk share: quiet logging, deadlines, sign-up and login.

import { createInterface } from "node:readline";

// Node 20, which Debian and others still ship, lacks this; the SDK uses it.
Promise.withResolvers ??= function withResolvers() {
  let resolve, reject;
  const promise = new this((onResolve, onReject) => ([resolve, reject] = [onResolve, onReject]));
  return { promise, resolve, reject };
};

export const sdk = await import("matrix-js-sdk");
const { logger } = await import("matrix-js-sdk/lib/logger.js");
logger.setLevel?.("error");
for (const level of ["debug", "info", "warn", "log"]) console[level] = () => undefined;

export const base = process.argv[2];
export const PASSWORD = "secret words";
const DEADLINE_MS = 240_000;

/** Tells the test program something; it reads lines. */
export function say(line) {
  process.stdout.write(`${line}\n`);
}

/** Ends the story badly. */
export function fail(text) {
  process.stderr.write(`${text}\n`);
  process.exit(1);
}

/** Waits for a condition. */
export async function until(what, condition, deadlineMs = DEADLINE_MS) {
  const end = Date.now() + deadlineMs;
  while (!(await condition())) {
    if (Date.now() > end) fail(`never seen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Waits for what the SDK promises, which has no deadline of its own; `seen` tells what there is when it does not come. */
export async function within(what, promised, seen = () => "") {
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve(fail(`never done: ${what} ${seen()}`)), DEADLINE_MS);
  });
  try {
    return await Promise.race([promised, late]);
  } finally {
    clearTimeout(timer);
  }
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Asks the test program for something and waits until it is done. */
export async function ask(what) {
  say(what);
  await lines.next();
}

/** A new account, with its first device. */
export async function register(user) {
  const client = sdk.createClient({ baseUrl: base });
  const request = { username: user, password: PASSWORD, initial_device_display_name: `${user}1` };
  try {
    return await client.registerRequest(request);
  } catch (error) {
    const session = error.data?.session;
    if (!session) throw error;
    return client.registerRequest({ ...request, auth: { type: "m.login.dummy", session } });
  }
}

/** Another device of an account. */
export async function login(user, device) {
  const client = sdk.createClient({ baseUrl: base });
  return client.loginRequest({
    type: "m.login.password",
    identifier: { type: "m.id.user", user },
    password: PASSWORD,
    initial_device_display_name: device,
  });
}
