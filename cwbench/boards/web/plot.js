"use strict";
// What any figure of the page is made of; page.js follows in the same script.

// Elements are made of text nodes alone: nothing from a record is ever parsed as HTML.
const make = (tag, properties = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value; else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
};
const draw = (tag, attributes, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};
const minus = text => text.replace("-", "\u2212");
const digits = half => half > 0 ? Math.max(0, Math.min(12, 1 - Math.floor(Math.log10(half)))) : null;
const short = value => value == null ? "" : minus(String(Number(value.toPrecision(3))));
const fixed = (value, places) => minus(value.toFixed(places));

const COLOURS = ["#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#e48bc0", "#949494", "#b8a800", "#56b4e9"];
const colourOf = row => COLOURS[row.look % COLOURS.length];  // that of the figures

// Places of values on an axis from 0, or a logarithmic one where they span much; `bounds` widen the former alone.
function scale(values, length, offset, flip, bounds = []) {
  const positive = values.filter(v => v > 0);
  const least = Math.min(...positive), most = Math.max(...values);
  const logarithmic = positive.length && most / least > 8;
  const floor = logarithmic ? least / 1.6 : Math.min(0, ...values, ...bounds);
  const f = logarithmic ? v => Math.log10(Math.max(v, floor)) : v => v;
  const [from, to] = [f(floor), f(logarithmic ? most * 1.3 : most > 0 ? most * 1.05 : floor < 0 ? 0 : 1)];
  const place = v => offset + length * (flip ? 1 - (f(v) - from) / (to - from || 1) : (f(v) - from) / (to - from || 1));
  const ticks = [];
  if (logarithmic) {
    const decades = to - from;
    for (let e = Math.floor(from); e <= to; e++) for (const m of decades > 2.5 ? [1] : [1, 2, 5]) {
      const v = m * 10 ** e;
      if (v >= floor && f(v) <= to) ticks.push(Number(v.toPrecision(3)));
    }
  } else {
    const step = 10 ** Math.floor(Math.log10((to - from) / 3)), nice = [1, 2, 5, 10].find(k => (to - from) / (k * step) <= 5) * step;
    for (let v = Math.ceil(from / nice) * nice; v <= to; v += nice) ticks.push(Number(v.toPrecision(6)));
  }
  return { place, ticks, clipped: v => logarithmic && v < floor };
}

const [HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [360, 62, 44, 12, 14];
const word = (text, attributes) => draw("text", { "font-size": 11, ...attributes }, text);
// As wide as there is room, so that words keep their size on a phone.
const widthIn = element => Math.max(240, Math.min(560, element.clientWidth || 560));

// An empty plot with its grid: ticks are pairs of place and word; `title` and `about` are read aloud.
function frame({ width, title, about, x, y }) {
  const [right, bottom] = [width - RIGHT, HEIGHT - BOTTOM];
  const svg = draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img" }, draw("title", {}, title), draw("desc", {}, about));
  for (const [at, text] of x.ticks) svg.append(draw("line", { x1: at, x2: at, y1: TOP, y2: bottom, class: "grid" }), word(text, { x: at, y: bottom + 15, "text-anchor": "middle" }));
  for (const [at, text] of y.ticks) svg.append(draw("line", { x1: LEFT, x2: right, y1: at, y2: at, class: "grid" }), word(text, { x: LEFT - 6, y: at + 4, "text-anchor": "end" }));
  const middle = (TOP + bottom) / 2;
  svg.append(word(x.name, { x: (LEFT + right) / 2, y: HEIGHT - 8, "text-anchor": "middle" }));
  svg.append(word(y.name, { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }));
  return svg;
}
const numbered = axis => axis.ticks.map(v => [axis.place(v), short(v)]);

// The words on an axis, the numbers among them spaced as their logarithms and at least 1 apart.
function spaced(words) {
  const places = [0];
  for (let i = 1; i < words.length; i++) {
    const octaves = Math.log2(words[i] / words[i - 1]);
    places.push(places[i - 1] + (Number.isNaN(octaves) ? Math.max(1.5, places[i - 1] / 4) : Math.max(1, octaves)));
  }
  return places;
}
const cut = (text, room) => text.length * 6 <= room ? text : text.slice(0, Math.max(1, Math.floor(room / 6) - 1)) + "\u2026";

// A small mark as in the plot, before the word it explains.
const sample = (...marks) => draw("svg", { width: 22, height: 10, viewBox: "0 0 22 10", class: "sample", "aria-hidden": "true" }, ...marks);
