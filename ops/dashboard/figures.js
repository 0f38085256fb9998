// The figures of the node that answers, for as long as they are drawn.

import { OWN, get } from "./api.js";

/** So far back it goes. */
export const SPAN_MS = 5 * 60 * 1000;

/** After a pause like this it is not known what was in between. */
const GAP_MS = 15 * 1000;

let samples = [];

/** Asks once more. Figures of another node begin anew. */
export async function sample(signal) {
  const told = await get(`${OWN}/figures`, null, signal);
  const last = samples.at(-1);
  if (last && (last.node !== told.node || last.ts >= told.ts)) samples = [];
  samples.push({ ts: told.ts, node: told.node, figures: told.figures });
  samples = samples.filter((one) => one.ts >= told.ts - SPAN_MS);
  return told;
}

/** Forgets all of them. */
export function forget() {
  samples = [];
}

function sum(one, name, labels) {
  let total = 0;
  for (const figure of one.figures) {
    if (figure.name !== name) continue;
    if (Object.entries(labels || {}).every(([label, value]) => figure.labels[label] === value)) total += figure.value;
  }
  return total;
}

/** A figure as it was each time. */
export function level(name, labels) {
  return samples.map((one) => [one.ts, sum(one, name, labels)]);
}

function steps(measure) {
  const line = [];
  for (let place = 1; place < samples.length; place += 1) {
    const [before, after] = [samples[place - 1], samples[place]];
    const isGap = after.ts - before.ts > GAP_MS;
    line.push([after.ts, isGap ? null : measure(before, after)]);
  }
  return line;
}

/** By how much a figure grew each second. One that was set back has begun anew. */
export function rate(name, labels) {
  return steps((before, after) => {
    const grown = sum(after, name, labels) - sum(before, name, labels);
    return grown < 0 ? null : (grown * 1000) / (after.ts - before.ts);
  });
}

/** The mean of what was measured meanwhile; null where nothing was. */
export function mean(name, labels) {
  return steps((before, after) => {
    const grown = sum(after, `${name}_count`, labels) - sum(before, `${name}_count`, labels);
    const total = sum(after, `${name}_sum`, labels) - sum(before, `${name}_sum`, labels);
    return grown > 0 ? total / grown : null;
  });
}
