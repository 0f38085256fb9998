// Figures over the last minutes. Each answer has those of one node; behind a proxy it is now this node and now that one, so what each has said last is
// added up.

import { OWN, get } from "./api.js";

/** So far back it goes. */
export const SPAN_MS = 5 * 60 * 1000;

/** After a pause like this it is not known what was in between. */
const GAP_MS = 30 * 1000;

let samples = [];

/** Asks once more; gives when that was, by the clock of this machine. */
export async function sample(signal) {
  const told = await get(`${OWN}/figures`, null, signal);
  const at = Date.now();
  samples.push({ at, ts: told.ts, node: told.node ?? "", figures: told.figures });
  samples = samples.filter((one) => one.at >= at - SPAN_MS);
  return at;
}

/** Forgets all of them. */
export function forget() {
  samples = [];
}

/** The nodes whose figures are added up. */
export function nodes() {
  const names = samples.filter((one) => one.at >= samples.at(-1).at - GAP_MS).map((one) => one.node);
  return [...new Set(names)].filter(Boolean).sort();
}

function sum(one, name, labels) {
  let total = 0;
  for (const figure of one.figures) {
    if (figure.name !== name) continue;
    if (Object.entries(labels || {}).every(([label, value]) => figure.labels[label] === value)) total += figure.value;
  }
  return total;
}

/** A line: what is measured of a node and its sample before (null at first and after a pause), and how that of several nodes is put together. */
function line(measure, together) {
  const before = new Map();
  const known = new Map();
  const drawn = [];
  let last = null;
  for (const one of samples) {
    if (last !== null && one.at - last > GAP_MS) drawn.push([one.at, null]);
    last = one.at;
    const earlier = before.get(one.node);
    before.set(one.node, one);
    const isNear = earlier && one.at - earlier.at <= GAP_MS && one.ts > earlier.ts;
    const value = measure(one, isNear ? earlier : null);
    if (value === null) known.delete(one.node);
    else known.set(one.node, { at: one.at, value });
    const recent = [...known.values()].filter((it) => one.at - it.at <= GAP_MS).map((it) => it.value);
    drawn.push([one.at, recent.length > 0 ? together(recent) : null]);
  }
  return drawn;
}

const added = (values) => values.reduce((total, value) => total + value, 0);

/** A figure as it was each time. */
export function level(name, labels) {
  return line((one) => sum(one, name, labels), added);
}

/** By how much a figure grew each second. One that was set back has begun anew. */
export function rate(name, labels) {
  return line((one, earlier) => {
    if (!earlier) return null;
    const grown = sum(one, name, labels) - sum(earlier, name, labels);
    return grown < 0 ? null : (grown * 1000) / (one.ts - earlier.ts);
  }, added);
}

/** The mean of what was measured meanwhile; null where nothing was. */
export function mean(name, labels) {
  const measure = (one, earlier) => {
    if (!earlier) return null;
    const count = sum(one, `${name}_count`, labels) - sum(earlier, `${name}_count`, labels);
    const total = sum(one, `${name}_sum`, labels) - sum(earlier, `${name}_sum`, labels);
    return count < 0 ? null : { count, total };
  };
  return line(measure, (values) => {
    const count = added(values.map((one) => one.count));
    return count > 0 ? added(values.map((one) => one.total)) / count : null;
  });
}
