// Signing in: as an administrator with a password, or with a token.

import { OWN, ask } from "./api.js";
import { h, notice, section } from "./dom.js";
import { field } from "./list.js";
import { begin } from "./session.js";

const LOGIN = "/_matrix/client/v3/login";

/** Begins a session with a token, if it opens the admin API. */
async function enter(token, own) {
  const found = await ask(token, "GET", `${OWN}/whoami`);
  begin(token, found, own);
  document.dispatchEvent(new CustomEvent("playhouse:begun"));
}

async function byPassword(form) {
  const body = {
    type: "m.login.password",
    identifier: { type: "m.id.user", user: form.elements.user.value.trim() },
    password: form.elements.password.value,
    initial_device_display_name: "Playhouse dashboard",
  };
  const { access_token: token } = await ask(null, "POST", LOGIN, { body });
  try {
    await enter(token, true);
  } catch (error) {
    // Nobody needs the session of somebody who may not come in.
    await ask(token, "POST", "/_matrix/client/v3/logout", { body: {} }).catch(() => null);
    throw error;
  }
}

function sending(label, fields, action, send) {
  const trouble = h("div");
  const go = h("button", { type: "submit" }, action);
  const form = h("form", { "aria-label": label, class: "stacked" }, fields.map((one) => field(one)), trouble, h("p", { class: "buttons" }, go));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    trouble.replaceChildren();
    try {
      await send(form);
    } catch (error) {
      trouble.replaceChildren(notice(error.message, "error"));
    }
    go.disabled = false;
  });
  return form;
}

export default {
  title: () => "Sign in",
  show(view) {
    const password = sending("Sign in with a password", [
      { name: "user", label: "User name", required: true, autocomplete: "username", autocapitalize: "none" },
      { name: "password", label: "Password", type: "password", required: true, autocomplete: "current-password" },
    ], "Sign in", byPassword);
    const token = sending("Sign in with a token", [
      {
        name: "token",
        label: "Token",
        type: "password",
        required: true,
        hint: "An access token of an administrator, or a token of the admin API. The latter opens Playhouse's own API only.",
      },
    ], "Use the token", (form) => enter(form.elements.token.value.trim(), false));
    view.show(
      h("p", null, "This page is for the administrators of this server."),
      section("As an administrator", password),
      section("With a token", token),
    );
  },
};
