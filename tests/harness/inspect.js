// The body of a function: its argument is the language that the page should speak, its answer a list of what is wrong with it.
const wrong = [];
const all = (selector) => [...document.querySelectorAll(selector)];
if (document.documentElement.lang !== arguments[0]) wrong.push(`language: ${document.documentElement.lang}`);
if (!document.title.trim()) wrong.push("no title");
if (all("h1").length !== 1) wrong.push(`h1: ${all("h1").length}`);
if (all("main").length !== 1) wrong.push(`main: ${all("main").length}`);
if (!document.querySelector("meta[name=viewport]")) wrong.push("no viewport");
for (const field of all("input:not([type=hidden]), select, textarea")) {
  const labels = [...(field.labels || [])].map((label) => label.textContent.trim());
  if (!labels.some((text) => text)) wrong.push(`no label: ${field.outerHTML}`);
}
for (const control of all("button, a[href]")) {
  if (!control.textContent.trim()) wrong.push(`no text: ${control.outerHTML}`);
}
const ids = all("[id]").map((element) => element.id);
for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) wrong.push(`twice: #${id}`);
for (const element of all("[aria-describedby]")) {
  const target = element.getAttribute("aria-describedby");
  if (!document.getElementById(target)) wrong.push(`described by nothing: #${target}`);
}
const root = document.documentElement;
if (root.scrollWidth > root.clientWidth) wrong.push(`too wide: ${root.scrollWidth} of ${root.clientWidth}`);
for (const element of all("main *")) {
  const box = element.getBoundingClientRect();
  if (box.width && box.right > root.clientWidth + 1) wrong.push(`reaches out: ${element.outerHTML.slice(0, 80)}`);
}
const style = getComputedStyle(document.body);
if (style.fontFamily.includes("Times") || style.margin !== "0px") wrong.push("the style is not applied");
return wrong;
