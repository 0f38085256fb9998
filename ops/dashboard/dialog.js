// Questions before something is changed.

import { button, h, notice, tell } from "./dom.js";
import { field } from "./list.js";

function values(form, fields) {
  const said = {};
  for (const one of fields) {
    const input = form.elements[one.name];
    if (one.type === "checkbox") said[one.name] = input.checked;
    else if (one.type === "number") said[one.name] = input.value === "" ? null : Number(input.value);
    else said[one.name] = one.type === "password" ? input.value : input.value.trim();
  }
  return said;
}

/** What must be typed before something that cannot be taken back. */
function spelled(phrase) {
  return { name: "phrase", label: `Type ${phrase} to go on`, required: true, phrase };
}

/**
 * Asks, does it, and says how it went. `run` gets what was filled in and gives what is to be said; while it fails the dialog stays and says why.
 * With `phrase` that must be typed first. `account` is whose password is asked for: browsers that keep passwords want to know. True when it was done.
 */
export function confirm({ title, text, fields = [], action, danger, phrase, account, run }) {
  const all = phrase ? [...fields, spelled(phrase)] : fields;
  const trouble = h("div");
  const go = h("button", { type: "submit", class: danger ? "danger" : null }, action);
  const leave = button("Cancel", () => dialog.close(), { secondary: true });
  const inputs = all.map(({ phrase: _, ...one }) => field(one, one.value, "ask"));
  const whose = account ? h("input", { type: "text", name: "username", autocomplete: "username", value: account, hidden: true }) : null;
  const form = h("form", { method: "dialog" }, h("h2", { id: "ask-title" }, title), h("p", { id: "ask-text" }, text), whose, inputs, trouble,
    h("p", { class: "buttons" }, go, leave));
  const dialog = h("dialog", { "aria-labelledby": "ask-title", "aria-describedby": "ask-text" }, form);
  return new Promise((done) => {
    let isDone = false;
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(isDone);
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (phrase && form.elements.phrase.value.trim() !== phrase) {
        trouble.replaceChildren(notice(`What was typed is not ${phrase}.`, "error"));
        form.elements.phrase.focus();
        return;
      }
      go.disabled = true;
      try {
        const said = await run(values(form, fields));
        isDone = true;
        dialog.close();
        if (said) tell(said);
      } catch (error) {
        trouble.replaceChildren(notice(error.message, "error"));
        go.disabled = false;
      }
    });
    show(dialog, all.length > 0 ? null : danger ? leave : go);
  });
}

/** Shows something that is told once. */
export function reveal({ title, text, label, secret }) {
  const leave = button("Close", () => dialog.close());
  const input = field({ name: "secret", label, readonly: true }, secret, "ask");
  const form = h("form", { method: "dialog" }, h("h2", { id: "ask-title" }, title), h("p", { id: "ask-text" }, text), input,
    h("p", { class: "buttons" }, leave));
  const dialog = h("dialog", { "aria-labelledby": "ask-title", "aria-describedby": "ask-text" }, form);
  return new Promise((done) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      done();
    });
    show(dialog, leave);
  });
}

/** Nothing behind it can be reached until it is closed; then the browser gives the focus back. */
function show(dialog, first) {
  document.body.append(dialog);
  dialog.showModal();
  const target = first ?? dialog.querySelector("input:not([hidden]), select, textarea");
  if (target) target.focus();
  addEventListener("hashchange", () => dialog.close(), { once: true });
}
