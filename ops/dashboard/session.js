// Who is signed in. The token lives as long as the tab and is seen by no other one.

const KEY = "playhouse.session";

let current = read();

function read() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY));
    return kept && typeof kept.token === "string" ? kept : null;
  } catch {
    return null;
  }
}

/** The session, or null: `token`, `name`, `roles`, `server`, `node`, `version`, and whether it is a user's. */
export function session() {
  return current;
}

/** Begins one with what the server says of a token; `own` when the token was made by signing in here. */
export function begin(token, found, own) {
  current = {
    token,
    own,
    name: found.name,
    roles: found.roles,
    server: found.server_name,
    version: found.version,
    node: found.node,
    isUser: found.name.startsWith("@"),
  };
  try {
    sessionStorage.setItem(KEY, JSON.stringify(current));
  } catch {
    // Then it lasts until the page is loaded anew.
  }
}

/** Forgets it. */
export function end() {
  current = null;
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // Nothing was stored either.
  }
}

/** Whether what takes a role may be done. */
export function may(role) {
  return current !== null && current.roles.includes(role);
}
