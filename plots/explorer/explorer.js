"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const { style, models, views, gallery } = data;
const beside = "beside the blocks";

// ---- what is shown ----

// state is what the fragment of the address holds. view and other are places in views, other null where nothing is compared;
// question is subject and name; part is a component's name or null; patch is [row, column, side of the grid]
// or null.
const state = { view: 0, other: null, question: null, part: null, patch: null, common: false, plain: false };
// pointed is what the mouse is over, which goes before what was chosen: {part} or {patch}.
let pointed = {};
let panes = [];

const questionsOf = (view) => view.follow[0].questions;
const same = (a, b) => a !== null && b !== null && a.subject === b.subject && a.name === b.name;
const questionOf = (view) => questionsOf(view).find((q) => same(q, state.question)) ?? null;
const modelOf = (view) => models[view.model];
const shownViews = () => (state.other === null ? [state.view] : [state.view, state.other]).map((v) => views[v]);

// values decodes the maps of a question, once: the map of each part by its place, that of all parts at -1.
const decoded = new WeakMap();
function mapsOf(question) {
  if (decoded.has(question)) return decoded.get(question);
  const bytes = Int8Array.from(atob(question.values), (c) => c.charCodeAt(0));
  const maps = new Map();
  let at = 0;
  for (const m of question.maps) {
    const size = m.side * m.side;
    maps.set(m.part, { side: m.side, limit: m.limit, bytes: bytes.subarray(at, at + size) });
    at += size;
  }
  decoded.set(question, maps);
  return maps;
}
const valueAt = (map, i) => (map.bytes[i] * map.limit) / 127;

// ---- numbers ----

// number writes a number with some significant digits, and none of them is made up.
function number(x, digits = 3) {
  if (x === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(x)));
  const text = size < -4 || size >= 6 ? x.toExponential(digits - 1) : Number(x.toPrecision(digits)).toFixed(Math.max(0, digits - 1 - size));
  return text.replace(/-/g, "−");
}
const signed = (x, digits = 3) => (x > 0 ? "+" : "") + number(x, digits);
const percent = (x) => number(100 * x, Math.abs(x) < 0.0995 ? 2 : 3) + " %";
// decimals writes numbers of a list alike: as many decimals as the largest has with three digits.
function decimals(largest) {
  const places = largest > 0 ? Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(largest)))) : 2;
  return (x) => {
    const text = Math.abs(x).toFixed(places);
    return (Number(text) === 0 ? "" : x < 0 ? "−" : "+") + text;
  };
}
// placesFor is how many decimals a bound leaves.
const placesFor = (bound) => Math.min(8, Math.max(0, -Math.floor(Math.log10(bound))));
// within writes a value that is known to within a bound, with no digit that the bound leaves open, or with as many decimals
// as said.
function within(x, bound, places = placesFor(bound)) {
  if (!(bound > 0)) return signed(x);
  const rounded = bound + 0.5 * 10 ** -places; // rounding adds its own part
  const up = Math.ceil(rounded * 10 ** places) / 10 ** places;
  return (x < 0 ? "−" : "+") + Math.abs(x).toFixed(places) + " ± " + up.toFixed(places);
}

// ---- colours ----

const rgb = style.scale.map((c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)));
const middle = (rgb.length - 1) / 2;
const step = (v) => Math.min(rgb.length - 1, Math.max(0, Math.round(middle + middle * v)));
const colour = (v) => style.scale[step(v)];
const dark = (v) => { const [r, g, b] = rgb[step(v)]; return 0.299 * r + 0.587 * g + 0.114 * b < 140; };
const strong = (v) => colour(v < 0 ? -0.72 : 0.72);

// limitOf is where the colours of the grids end: the largest part within the blocks of what is shown. Two pictures share one.
function limitOf() {
  let limit = 0;
  for (const view of shownViews()) {
    questionOf(view)?.parts.forEach((v, i) => {
      if (v !== null && modelOf(view).parts[i].row >= 0) limit = Math.max(limit, Math.abs(v));
    });
  }
  return limit;
}

// mapLimit is where the colours of a map end: its own largest, or the largest of all parts' maps.
function mapLimit(question, part) {
  if (!state.common || part < 0) return mapsOf(question).get(part)?.limit ?? 0;
  return Math.max(0, ...question.maps.filter((m) => m.part >= 0).map((m) => m.limit));
}

// ---- elements ----

function make(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (value === true) e.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) e.setAttribute(name, value);
  }
  e.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return e;
}

let saying = 0;
function say(text) {
  clearTimeout(saying);
  saying = setTimeout(() => { document.getElementById("live").textContent = text; }, 150);
}

// ---- the controls ----

const titleOf = (view) => {
  const names = [];
  if (models.length > 1) names.push(modelOf(view).name);
  names.push(view.name);
  return names.join(" · ");
};

function controls() {
  const bar = document.getElementById("controls");
  const choose = (label, id, options, chosen, change) => make("label", {}, label,
    make("select", { id, onchange: (e) => change(e.target.value) },
      options.map(([value, text]) => make("option", { value, selected: value === chosen }, text))));
  const parts = [];
  if (views.length > 1) {
    const all = views.map((v, i) => [String(i), titleOf(v)]);
    parts.push(choose("Picture", "view", all, String(state.view), (v) => {
      const chosen = Number(v);
      set({ view: chosen, other: state.other === chosen ? null : state.other });
    }));
    parts.push(choose("Beside it", "other", [["", "nothing"], ...all.filter(([v]) => Number(v) !== state.view)],
      state.other === null ? "" : String(state.other), (v) => set({ other: v === "" ? null : Number(v) })));
  }
  parts.push(make("label", {}, "Contribution to", questionSelect()));
  if (data.more) parts.push(asker());
  parts.push(make("label", { class: "choice" }, make("input", { type: "checkbox", id: "common", checked: state.common, onchange: (e) => set({ common: e.target.checked }) }), "one scale for all maps"));
  parts.push(make("label", { class: "choice" }, make("input", { type: "checkbox", id: "plain", checked: state.plain, onchange: (e) => set({ plain: e.target.checked }) }), "picture only"));
  parts.push(make("div", { class: "right" },
    data.home ? make("a", { href: data.home }, "compare with …") : null,
    data.home ? make("a", { href: "/" }, "all pictures") : null,
    make("span", { class: "soft" }, "This view as"),
    make("button", { type: "button", id: "svg", onclick: () => save("svg") }, "SVG"),
    make("button", { type: "button", id: "png", onclick: () => save("png") }, "PNG")));
  bar.replaceChildren(...parts, make("p", { class: "wrong", id: "wrong", role: "alert", hidden: true }));
}

function questionSelect() {
  const select = make("select", { id: "question", onchange: (e) => {
    const [subject, ...name] = e.target.value.split(":");
    set({ question: { subject, name: name.join(":") } });
  } });
  for (const [subject, heading] of [["share", "The representation"], ["class", "Classes"], ["text", "Texts"]]) {
    const group = make("optgroup", { label: heading });
    const seen = new Set();
    for (const view of shownViews()) {
      for (const q of questionsOf(view)) {
        if (q.subject !== subject || seen.has(q.name)) continue;
        seen.add(q.name);
        group.append(make("option", { value: subject + ":" + q.name, selected: same(q, state.question) }, q.name));
      }
    }
    if (seen.size > 0) select.append(group);
  }
  return select;
}

// asker asks a running session about another text or class.
function asker() {
  const shown = shownViews();
  const texts = shown.every((v) => modelOf(v).texts), classes = shown.map((v) => modelOf(v).classes ?? []);
  const known = classes[0].filter((name) => classes.every((c) => c.includes(name)));
  if (!texts && known.length === 0) return null;
  const input = make("input", { type: "text", id: "asked", list: "known", size: 18 });
  return make("form", { onsubmit: (e) => {
    e.preventDefault();
    const name = input.value.trim();
    if (name !== "") ask(known.includes(name) || !texts ? "class" : "text", name);
  } }, make("label", {}, texts && known.length > 0 ? "Another class or text" : texts ? "Another text" : "Another class", input),
  make("datalist", { id: "known" }, known.map((name) => make("option", { value: name }))),
  make("button", {}, "Ask"));
}

async function ask(subject, name) {
  const wrong = document.getElementById("wrong");
  wrong.hidden = true;
  for (const view of shownViews()) {
    if (questionsOf(view).some((q) => same(q, { subject, name }))) continue;
    const address = data.more + "?" + new URLSearchParams({ model: view.model, picture: view.picture, subject, name });
    let answer;
    try {
      answer = await (await fetch(address)).json();
    } catch {
      answer = { error: "The session does not answer; was it ended?" };
    }
    if (answer.error) {
      wrong.textContent = answer.error;
      wrong.hidden = false;
      return;
    }
    answer.question.tops = answer.question.tops?.map((places) => places.map((i) => i + gallery.length));
    gallery.push(...(answer.gallery ?? []));
    questionsOf(view).push(answer.question);
  }
  set({ question: { subject, name } });
}

// ---- a pane: one picture seen by one model ----

function pane(view) {
  const model = modelOf(view), question = questionOf(view);
  const p = { view, model, question, part: -1, cells: new Map() };
  const title = make("div", { class: "head" }, make("h2", {}, model.name + " · " + view.name), view.label ? make("span", { class: "soft" }, "true class: " + view.label) : null);
  p.element = make("section", { class: "pane", "aria-label": model.name + ", " + view.name }, title);
  if (question === null) {
    p.element.append(make("p", { class: "sum" }, "“" + state.question.name + "” was not asked of this picture."));
    return p;
  }
  p.side = mapsOf(question).get(-1)?.side ?? 0;
  p.element.append(make("p", { class: "sum" }, sumLine(p)));
  p.said = make("p", { class: "said" });
  p.canvas = make("canvas", { width: 672, height: 672 });
  p.cursor = make("div", { class: "cursor", hidden: true });
  p.map = make("div", { class: "map", tabindex: p.side > 0 ? 0 : null, role: p.side > 0 ? "application" : "img", "aria-label": mapLabel(p) }, p.canvas, p.cursor);
  p.legend = make("div");
  const left = make("div", { class: "left" }, p.said, p.map, p.legend,
    make("div", { class: "seen" }, make("img", { src: view.image, alt: "The picture as the model sees it" }), classTable(p)));
  p.grid = make("div", { class: "parts" }, grid(p));
  p.gridLegend = make("div");
  p.gridLegend.append(legend(limitOf(), question.unit + (state.other !== null ? ", the same scale on both sides" : "")));
  p.detail = make("div", { class: "detail" });
  p.element.append(make("div", { class: "body", style: `--grid:${model.columns.length * 68 + 110}px` }, left, make("div", {}, make("h3", {}, "What each part adds"), p.grid, p.gridLegend), p.detail));
  picture(p);
  mouseOnMap(p);
  new ResizeObserver(() => fit(p)).observe(p.grid);
  return p;
}

const mapLabel = (p) => p.side > 0 ? `The picture in ${p.side} rows of ${p.side} patches; arrow keys move from patch to patch, Escape leaves.` : "The picture";

// sumLine says that the parts sum to what they are parts of, and how exactly.
function sumLine({ view, question: q }) {
  const count = q.parts.filter((v) => v !== null).length;
  const error = Math.abs(q.error), scale = Math.max(Math.abs(q.value), Math.abs(q.sum), 1e-30);
  if (q.subject === "share") {
    return `${count} parts sum to ${number(q.sum, 6)} of the representation; measured error ${number(error, 2)}; single coordinates are off by at most ${number(view.exactness, 2)} of the largest.`;
  }
  if (q.subject === "text") {
    return `“${q.name}”: ${count} parts sum to ${number(q.sum, 4)}, the cosine similarity of picture and text (${number(q.value, 4)}); measured error ${number(error, 2)}.`;
  }
  const line = `“${q.name}”: ${count} parts sum to ${number(q.sum, 4)}; the head's bias adds ${number(q.offset, 3)}; the logit is ${number(q.value, 4)}`;
  if (error > 1e-3 * scale) {
    return line + `. The head is not linear: the parts are taken along the logit's gradient, and ${number(q.error, 3)} is left.`;
  }
  return line + `; measured error ${number(error, 2)}.`;
}

function legend(limit, unit) {
  return make("div", { class: "legend", "aria-hidden": "true" },
    make("div", { class: "bar", style: `background: linear-gradient(to right, ${style.scale.join(",")})` }),
    make("div", { class: "numbers" }, make("span", {}, number(-limit, 2)), make("span", {}, "0"), make("span", {}, limit > 0 ? signed(limit, 2) : "0")),
    make("div", { class: "unit" }, unit));
}

function classTable({ view, question }) {
  if (view.classes.length === 0) return null;
  const places = Math.max(1, 3 - Math.floor(Math.log10(Math.max(1, ...view.classes.map((c) => Math.abs(c.logit))))));
  return make("table", { class: "classes" }, make("thead", {}, make("tr", {}, make("th", {}, "best classes and logits"))),
    make("tbody", {}, view.classes.map((c) => make("tr", {}, make("td", {}, make("button", {
      type: "button", "aria-pressed": String(question.subject === "class" && question.name === c.name),
      onclick: () => set({ question: { subject: "class", name: c.name } }),
    }, make("span", {}, c.name), make("span", {}, c.logit.toFixed(Math.min(3, places)).replace("-", "−"))))))));
}

// ---- the grid of parts ----

function grid(p) {
  const { model, question } = p, limit = limitOf();
  const high = Math.max(15, Math.min(32, Math.floor(560 / model.rows.length) - 2)), write = decimals(limit);
  const cell = (i, extra = {}) => {
    const part = model.parts[i], value = question.parts[i];
    const shade = limit > 0 && value !== null ? value / limit : 0;
    const td = make("td", {
      role: "gridcell", tabindex: -1, "data-part": i, class: [value === null ? "none" : dark(shade) ? "light" : "", extra.class ?? ""].join(" ").trim() || null,
      style: value === null ? null : `background:${colour(shade)}`, colspan: extra.colspan, "aria-label": spoken(p, i), "aria-selected": "false",
    }, extra.text ?? make("span", { class: "number" }, value !== null ? write(value) : ""));
    p.cells.set(i, td);
    return td;
  };
  const head = make("tr", { role: "row" }, make("td", {}), model.columns.map((c) => make("th", { scope: "col", role: "columnheader", "aria-label": c, class: /^H\d/.test(c) ? "head-number" : null }, c.replace(/^H(?=\d)/, ""))),
    make("th", { scope: "col", role: "columnheader", class: "sums" }, "Σ"));
  const rows = model.rows.map((name, row) => {
    const places = model.columns.map((_, column) => model.parts.findIndex((q) => q.row === row && q.column === column));
    const values = places.filter((i) => i >= 0).map((i) => question.parts[i]).filter((v) => v !== null);
    return make("tr", { role: "row" }, make("th", { scope: "row", role: "rowheader", class: "row" }, name),
      places.map((i) => (i < 0 ? make("td", { role: "presentation" }) : cell(i))),
      make("td", { class: "sums", role: "presentation" }, values.length > 0 ? write(values.reduce((a, b) => a + b, 0)) : ""));
  });
  const others = model.parts.map((q, i) => [q, i]).filter(([q]) => q.row < 0);
  if (others.length > 0) {
    rows.push(make("tr", { class: "gap", role: "presentation" }, make("td", {})));
    const columns = model.columns.length + 1;
    // Two beside each other, each over half of the columns.
    for (let k = 0; k < others.length; k += 2) {
      const some = others.slice(k, k + 2);
      rows.push(make("tr", { role: "row" }, make("th", { scope: "row", role: "rowheader", class: "row", "aria-label": beside }, ""),
        some.map(([q, i], n) => cell(i, {
          class: "beside", colspan: some.length === 1 ? columns : n === 0 ? Math.ceil(columns / 2) : Math.floor(columns / 2),
          text: q.short + (question.parts[i] === null ? "" : " " + write(question.parts[i])),
        }))));
    }
  }
  const table = make("table", { role: "grid", style: `--high:${high}px`, "aria-label": "Parts of " + model.name + ", by layer; arrow keys move, Escape shows all parts together" }, make("thead", {}, head), make("tbody", {}, rows));
  table.addEventListener("pointerover", (e) => point(p, e.target.closest("[data-part]")));
  table.addEventListener("pointerleave", () => point(p, null));
  table.addEventListener("click", (e) => e.target.closest("[data-part]")?.focus());
  table.addEventListener("focusin", (e) => {
    const td = e.target.closest("[data-part]");
    if (td) set({ part: model.parts[Number(td.dataset.part)].name }, false);
  });
  table.addEventListener("keydown", (e) => moveOnGrid(p, e));
  return table;
}

// fit gives the cells the width that there is, and leaves out numbers where there is too little.
function fit(p) {
  const table = p.grid.firstElementChild, sample = p.cells.values().next().value;
  if (!sample || p.grid.clientWidth === 0) return;
  const first = table.tBodies[0].rows[0], labels = Math.max(...[...table.querySelectorAll("th.row")].map((e) => e.scrollWidth)), sums = first.lastElementChild.scrollWidth;
  const columns = p.model.columns.length, wide = Math.max(14, Math.min(66, Math.floor((p.grid.clientWidth - labels - Math.max(sums, 30) - 12) / columns) - 2));
  table.style.setProperty("--wide", wide + "px");
  const most = Math.max(...p.question.parts.map((v) => widthOf(decimals(limitOf())(v ?? 0), 12)));
  table.classList.toggle("bare", wide < most + 4);
  table.classList.toggle("narrow", wide < 22);
}

// spoken is what a screen reader says of a part.
function spoken({ model, question }, i) {
  const part = model.parts[i], value = question.parts[i];
  const words = part.words?.length > 0 ? "; " + part.words.slice(0, 3).join(", ") : "";
  return `${part.short}, ${part.kind}: ` + (value === null ? "not part of this sum" : `${signed(value)} ${question.unit}, ${percent(value / question.sum)} of the sum`) + words;
}

function point(p, td) {
  pointed = td ? { part: p.model.parts[Number(td.dataset.part)].name } : {};
  refresh();
}

// moveOnGrid moves the focus to the nearest part in the direction of an arrow key.
function moveOnGrid(p, e) {
  const from = e.target.closest("[data-part]");
  if (!from) return;
  if (e.key === "Escape") {
    pointed = {};
    set({ part: null, patch: null }, false);
    e.preventDefault();
    return;
  }
  const sideways = e.key === "ArrowLeft" || e.key === "ArrowRight", back = e.key === "ArrowLeft" || e.key === "ArrowUp";
  const middleOf = (td) => { const b = td.getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2]; };
  const [x, y] = middleOf(from);
  let best = null, least = [Infinity, Infinity];
  for (const td of e.key.startsWith("Arrow") ? p.cells.values() : []) {
    const [dx, dy] = [middleOf(td)[0] - x, middleOf(td)[1] - y];
    const [along, across] = (sideways ? [dx, dy] : [dy, dx]).map((d, i) => (i === 0 ? (back ? -d : d) : Math.abs(d)));
    if (along < 2 || (sideways && across > 4)) continue; // behind, or in another row
    if (along < least[0] - 2 || (along < least[0] + 2 && across < least[1])) [best, least] = [td, [along, across]];
  }
  if (e.key === "Home" || e.key === "End") {
    const row = [...from.parentElement.querySelectorAll("[data-part]")];
    best = row[e.key === "Home" ? 0 : row.length - 1];
  }
  if (best || e.key.startsWith("Arrow")) e.preventDefault();
  if (best) pointed = {}; // the mouse may lie where it was left: what moved last is shown
  best?.focus();
}

// ---- the map over the picture ----

// picture keeps the grey values of the picture at the size of the canvas, for maps are laid over them.
function picture(p) {
  const image = new Image();
  image.onload = () => {
    const { width, height } = p.canvas, c = p.canvas.getContext("2d", { willReadFrequently: true });
    c.imageSmoothingQuality = "high";
    c.drawImage(image, 0, 0, width, height);
    p.pixels = c.getImageData(0, 0, width, height);
    draw(p);
  };
  image.src = p.view.image;
}

// laid is the picture in light grey, seen through the colours of a map; null shows the picture as it is.
function laid(p, map, limit) {
  const { width, height } = p.canvas, from = p.pixels.data, out = new ImageData(width, height), to = out.data;
  if (map === null) {
    to.set(from);
    return out;
  }
  const colours = Array.from(map.bytes, (_, i) => rgb[step(limit > 0 ? valueAt(map, i) / limit : 0)]);
  for (let y = 0, at = 0; y < height; y++) {
    const row = Math.floor((y * map.side) / height) * map.side;
    for (let x = 0; x < width; x++, at += 4) {
      const light = 1 - style.faded + (style.faded * (0.299 * from[at] + 0.587 * from[at + 1] + 0.114 * from[at + 2])) / 255;
      const [r, g, b] = colours[row + Math.floor((x * map.side) / width)];
      [to[at], to[at + 1], to[at + 2], to[at + 3]] = [light * r, light * g, light * b, 255];
    }
  }
  return out;
}

const none = (side) => ({ side: side || 1, limit: 0, bytes: new Int8Array((side || 1) ** 2) });

// shown is the part that a pane shows, -1 for all, its map, and where its colours end.
function shown(p) {
  const name = pointed.part ?? state.part;
  const part = name === null ? -1 : p.model.parts.findIndex((q) => q.name === name);
  return { part, map: mapsOf(p.question).get(part) ?? null, limit: mapLimit(p.question, part) };
}

function draw(p) {
  if (!p.question || !p.pixels) return;
  const { part, map, limit } = shown(p);
  p.canvas.getContext("2d").putImageData(laid(p, state.plain || p.side === 0 ? null : map ?? none(p.side), limit), 0, 0);
  p.canvas.dataset.part = part;
}

// patchOf is the patch of a pane that is shown, [row, column]: where grids differ, the one that is at the same place.
function patchOf(p) {
  const patch = pointed.patch !== undefined ? pointed.patch : state.patch;
  if (patch === null || p.side === 0) return null;
  const [row, column, side] = patch;
  return [row, column].map((v) => Math.min(p.side - 1, Math.floor(((v + 0.5) / side) * p.side)));
}

function mouseOnMap(p) {
  const at = (e) => {
    const b = p.map.getBoundingClientRect(), place = (v, size) => Math.min(p.side - 1, Math.max(0, Math.floor((v / size) * p.side)));
    return [place(e.clientY - b.top, b.height), place(e.clientX - b.left, b.width), p.side];
  };
  if (p.side === 0) return;
  p.map.addEventListener("pointermove", (e) => {
    const patch = at(e);
    if (String(pointed.patch) === String(patch)) return;
    pointed = { patch };
    refresh();
  });
  p.map.addEventListener("pointerleave", () => { pointed = {}; refresh(); });
  p.map.addEventListener("click", (e) => { p.map.focus(); set({ patch: at(e) }, false); });
  p.map.addEventListener("keydown", (e) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (e.key === "Escape") set({ patch: null }, false);
    else if (moves[e.key]) {
      const from = state.patch === null ? null : patchOf(p);
      const patch = from === null ? [Math.floor(p.side / 2), Math.floor(p.side / 2)] : from.map((v, i) => Math.min(p.side - 1, Math.max(0, v + moves[e.key][i])));
      pointed = {};
      set({ patch: [...patch, p.side] }, false);
      const { whole, read } = patchReading(p, patch);
      say(`Patch row ${patch[0] + 1}, column ${patch[1] + 1}: ${within(whole.value, whole.bound)}. Read most by ` + read.slice(0, 3).map((r) => `${r.part.short} ${within(r.value, r.bound)}`).join(", "));
    } else return;
    e.preventDefault();
  });
}

// patchReading is what a patch adds through each part, the most first. Of a coarser grid a patch has its share of the cell that
// covers it.
function patchReading(p, [row, column]) {
  const read = [];
  let whole = { value: 0, bound: 0 };
  for (const [i, map] of mapsOf(p.question)) {
    const factor = p.side / map.side, at = Math.floor(row / factor) * map.side + Math.floor(column / factor);
    const entry = { i, part: p.model.parts[i], value: valueAt(map, at) / factor ** 2, bound: map.limit / 254 / factor ** 2 };
    if (i < 0) whole = entry;
    else read.push(entry);
  }
  read.sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  return { whole, read };
}

// ---- what is said of a part and a patch ----

function bars(entries, write) {
  const most = Math.max(...entries.map((e) => Math.abs(e.value)), 1e-30);
  return make("div", { class: "bars" }, entries.flatMap((e) => [
    make("button", { type: "button", class: "name", onclick: () => set({ part: e.part.name }, false) }, e.part.short),
    make("span", { class: "track", "aria-hidden": "true" }, make("i", { style: `background:${strong(e.value)};width:${(50 * Math.abs(e.value)) / most}%;` + (e.value < 0 ? "right:50%" : "left:50%") })),
    make("span", { class: "number" }, write(e)),
  ]));
}

function partSection(p, i) {
  const { model, question: q, view } = p;
  if (i < 0) {
    const entries = q.parts.map((value, k) => ({ part: model.parts[k], value })).filter((e) => e.value !== null);
    entries.sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
    const write = decimals(Math.abs(entries[0]?.value ?? 0));
    return make("section", {}, make("h3", {}, "The strongest parts"), bars(entries.slice(0, 8), (e) => write(e.value)),
      state.part !== null && pointed.part === undefined ? make("p", { class: "soft" }, `${model.name} has no part ${state.part}.`) : null);
  }
  const part = model.parts[i], value = q.parts[i], share = questionsOf(view).find((o) => o.subject === "share")?.parts[i] ?? null;
  const facts = make("dl", { class: "facts" });
  const fact = (text, means) => facts.append(make("dt", {}, text), make("dd", {}, means));
  if (value === null) fact("–", "not part of this sum: texts are read from the later blocks, and what comes before is in init");
  else {
    if (q.subject !== "share") {
      fact(signed(value), q.unit);
      fact(percent(value / q.sum), "of the sum");
    }
    const map = q.maps.find((m) => m.part === i);
    if (share !== null) fact(percent(share), "of the representation");
    if (!map) fact("–", "no map: it adds nothing from image tokens, or not by token");
  }
  const section = make("section", {}, make("h3", {}, part.short + " ", make("span", { class: "soft", style: "font-weight:400" }, part.short.endsWith(part.kind) ? "" : part.kind)), facts);
  if (part.words?.length > 0) {
    section.append(make("h4", {}, `Its words, which span ${percent(part.explained)} of its variance`),
      make("ul", { class: "words" }, part.feature ? make("li", { class: "feature" }, "feature: " + part.feature) : null, part.words.map((w) => make("li", {}, w))));
  }
  const tops = q.tops?.[i] ?? [];
  if (tops.length > 0) {
    section.append(make("h4", {}, q.subject === "share" ? `Largest share among ${model.gallery} pictures` : `Adds most to “${q.name}” among ${model.gallery} pictures`),
      make("div", { class: "tops" }, tops.map((t) => make("img", { src: gallery[t].image, alt: gallery[t].name, title: gallery[t].name, width: 64, height: 64 }))));
  }
  return section;
}

function patchSection(p) {
  const patch = patchOf(p);
  if (p.side === 0) return null;
  if (patch === null) {
    return make("section", {}, make("h3", {}, "A patch"), make("p", { class: "soft" }, "Point at the picture to see which parts read a patch."));
  }
  const { whole, read } = patchReading(p, patch), places = placesFor(Math.max(...read.slice(0, 8).map((r) => r.bound)));
  return make("section", {}, make("h3", {}, `Patch in row ${patch[0] + 1}, column ${patch[1] + 1} `, make("span", { class: "soft", style: "font-weight:400" }, within(whole.value, whole.bound) + " " + p.question.unit)),
    bars(read.slice(0, 8), (e) => within(e.value, e.bound, places)));
}

// ---- keeping all of it up to date ----

// refresh redraws what depends on the part and the patch.
function refresh() {
  for (const p of panes) {
    if (!p.question) continue;
    const { part, map, limit } = shown(p);
    const chosen = p.model.parts.findIndex((q) => q.name === state.part);
    for (const [i, td] of p.cells) {
      td.setAttribute("aria-selected", String(i === chosen));
      td.tabIndex = i === (chosen >= 0 ? chosen : p.cells.keys().next().value) ? 0 : -1;
      td.classList.toggle("pointed", pointed.part === p.model.parts[i].name && i !== chosen);
    }
    p.said.replaceChildren(part < 0 ? make("b", {}, "All parts") : make("b", {}, p.model.parts[part].short),
      ` → ${p.question.name}` + (map === null && part >= 0 ? ": no map" : map && map.side !== p.side ? `, on a grid of ${map.side} × ${map.side}` : ""));
    p.legend.replaceChildren(legend(limit, p.question.unit + " from a patch"));
    p.legend.hidden = state.plain || p.side === 0;
    p.legend.style.visibility = map === null ? "hidden" : "";
    const patch = patchOf(p);
    p.cursor.hidden = patch === null;
    if (!p.cursor.hidden) {
      const size = 100 / p.side;
      Object.assign(p.cursor.style, { left: patch[1] * size + "%", top: patch[0] * size + "%", width: size + "%", height: size + "%" });
    }
    p.detail.replaceChildren(...[partSection(p, part), patchSection(p)].filter((s) => s !== null));
    draw(p);
  }
}

function render() {
  const focused = document.activeElement?.id;
  controls();
  pointed = {};
  const main = document.getElementById("panes");
  panes = [];
  for (const view of shownViews()) panes.push(pane(view));
  main.className = panes.length > 1 ? "two" : "";
  main.replaceChildren(...panes.map((p) => p.element));
  refresh();
  if (focused) document.getElementById(focused)?.focus();
}

// set changes the state; all of the page is made anew unless only the part or the patch changed.
function set(changes, all = true) {
  Object.assign(state, changes);
  if (changes.view !== undefined || changes.question !== undefined) settle();
  if (all) {
    render();
    if (changes.question || changes.view !== undefined) say(panes.map((p) => (p.question ? sumLine(p) : "")).join(" "));
  } else refresh();
  remember();
}

// settle asks another question where the picture does not have that one.
function settle() {
  const view = views[state.view];
  if (questionOf(view) === null) {
    const q = questionsOf(view).find((o) => o.subject === "class") ?? questionsOf(view)[0];
    state.question = { subject: q.subject, name: q.name };
  }
}

// ---- the fragment of the address ----

function fragment() {
  const out = new URLSearchParams();
  if (state.view !== 0) out.set("view", state.view);
  if (state.other !== null) out.set("beside", state.other);
  out.set("to", state.question.subject + ":" + state.question.name);
  if (state.part !== null) out.set("part", state.part);
  if (state.patch !== null) out.set("patch", state.patch.join("."));
  if (state.common) out.set("scale", "common");
  if (state.plain) out.set("map", "off");
  return "#" + out;
}

// A page within another one, as in a notebook, has no address of its own.
const addressed = location.protocol !== "about:";
function remember() {
  if (addressed) history.replaceState(null, "", fragment());
}

function recall() {
  const given = new URLSearchParams(location.hash.slice(1));
  const place = (text) => (/^\d+$/.test(text ?? "") && Number(text) < views.length ? Number(text) : null);
  state.view = place(given.get("view")) ?? 0;
  state.other = place(given.get("beside"));
  if (state.other === state.view) state.other = null;
  const [subject, ...name] = (given.get("to") ?? "").split(":");
  state.question = { subject, name: name.join(":") };
  settle();
  state.part = given.get("part");
  const patch = /^(\d+)\.(\d+)\.(\d+)$/.exec(given.get("patch") ?? "")?.slice(1).map(Number) ?? null;
  state.patch = patch !== null && patch[0] < patch[2] && patch[1] < patch[2] ? patch : null;
  state.common = given.get("scale") === "common";
  state.plain = given.get("map") === "off";
  render();
}

// ---- this view as a figure ----

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const measure = document.createElement("canvas").getContext("2d");
function widthOf(text, size) {
  measure.font = `${size}px ${style.typeface}`;
  return measure.measureText(text).width;
}

// figure draws the view as SVG in the figures' style, lengths in points.
function figure() {
  const width = style.width, margin = 4.25, out = [];
  const text = (x, y, size, string, extra = "") => out.push(`<text x="${x.toFixed(2)}" y="${y.toFixed(2)}" font-size="${size}" ${extra}>${escape(string)}</text>`);
  const wrap = (x, y, size, string, room) => {
    let line = "";
    for (const word of string.split(" ")) {
      if (line && widthOf(line + " " + word, size) > room) {
        text(x, y, size, line);
        [line, y] = [word, y + 1.25 * size];
      } else line = line ? line + " " + word : word;
    }
    text(x, y, size, line);
    return y + 1.25 * size;
  };
  const bar = (x, y, room, limit, unit) => {
    const n = style.scale.length;
    style.scale.forEach((c, i) => out.push(`<rect x="${(x + (i * room) / n).toFixed(2)}" y="${y}" width="${(room / n + 0.15).toFixed(2)}" height="4" fill="${c}"/>`));
    out.push(`<rect x="${x}" y="${y}" width="${room}" height="4" fill="none" stroke="${style.mid}" stroke-width="0.4"/>`);
    text(x, y + 10, 6, number(-limit, 2));
    text(x + room / 2, y + 10, 6, "0", 'text-anchor="middle"');
    text(x + room, y + 10, 6, signed(limit, 2), 'text-anchor="end"');
    text(x, y + 17.5, 6, unit);
  };
  let y = margin;
  for (const p of panes) {
    if (!p.question) continue;
    const { part, map, limit } = shown(p), q = p.question, side = 165, left = margin;
    text(left, y + 8, 8.5, p.model.name + " · " + p.view.name + (p.view.label ? "  (" + p.view.label + ")" : ""));
    const top = wrap(left, y + 19, 7, sumLine(p), width - 2 * margin) + 6;
    text(left, top, 7, (part < 0 ? "all parts" : p.model.parts[part].short) + " → " + q.name);
    out.push(`<image x="${left}" y="${top + 3}" width="${side}" height="${side}" href="${p.canvas.toDataURL("image/png")}"/>`);
    const patch = patchOf(p);
    if (patch !== null) {
      const size = side / p.side;
      out.push(`<rect x="${left + patch[1] * size}" y="${top + 3 + patch[0] * size}" width="${size}" height="${size}" fill="none" stroke="${style.ink}" stroke-width="1"/>`);
    }
    let below = top + 3 + side + 4;
    if (!state.plain && map !== null) {
      bar(left, below, side, limit, q.unit + " from a patch");
      below += 22;
    }
    // The grid.
    const ends = limitOf(), write = decimals(ends), gx = left + side + 22, labels = Math.max(...p.model.rows.map((r) => widthOf(r, 6))) + 4;
    const room = width - margin - gx - labels - 30, cw = Math.min(34, room / p.model.columns.length), ch = Math.min(15, 165 / p.model.rows.length);
    text(gx + labels, top, 7, "what each part adds");
    p.model.columns.forEach((c, i) => { if (cw > 9 || i % 2 === 0 || !c.startsWith("H")) text(gx + labels + (i + 0.5) * cw, top + 10, 6, c, 'text-anchor="middle"'); });
    text(gx + labels + p.model.columns.length * cw + 26, top + 10, 6, "sum", 'text-anchor="end"');
    const gy = top + 13;
    const cell = (i, x, cy, w, string) => {
      const v = q.parts[i], shade = ends > 0 && v !== null ? v / ends : 0;
      const chosen = i === part;
      out.push(`<rect x="${(x + 0.4).toFixed(2)}" y="${(cy + 0.4).toFixed(2)}" width="${(w - 0.8).toFixed(2)}" height="${(ch - 0.8).toFixed(2)}" fill="${v === null ? "#eeeeee" : colour(shade)}" stroke="${chosen ? style.ink : style.grid}" stroke-width="${chosen ? 1.1 : 0.4}"/>`);
      if (string && ch >= 7) text(x + w / 2, cy + ch / 2 + 2.1, 6, string, `text-anchor="middle"${dark(shade) && v !== null ? ' fill="#ffffff"' : ""}`);
    };
    p.model.rows.forEach((name, row) => {
      if (ch >= 6 || row % 2 === 0) text(gx + labels - 3, gy + (row + 0.5) * ch + 2.1, 6, name, 'text-anchor="end"');
      let sum = 0;
      p.model.parts.forEach((o, i) => {
        if (o.row !== row) return;
        sum += q.parts[i] ?? 0;
        cell(i, gx + labels + o.column * cw, gy + row * ch, cw, cw >= 21 && q.parts[i] !== null ? write(q.parts[i]) : "");
      });
      if (ch >= 6) text(gx + labels + p.model.columns.length * cw + 26, gy + (row + 0.5) * ch + 2.1, 6, write(sum), 'text-anchor="end"');
    });
    let after = gy + p.model.rows.length * ch + 3;
    const others = p.model.parts.map((o, i) => [o, i]).filter(([o]) => o.row < 0), w = p.model.columns.length * cw / Math.min(2, Math.max(1, others.length));
    others.forEach(([o, i], k) => {
      const high = Math.max(ch, 9);
      const v = q.parts[i], shade = ends > 0 && v !== null ? v / ends : 0;
      const [x, cy] = [gx + labels + (k % 2) * w, after + Math.floor(k / 2) * high];
      out.push(`<rect x="${(x + 0.4).toFixed(2)}" y="${(cy + 0.4).toFixed(2)}" width="${(w - 0.8).toFixed(2)}" height="${(high - 0.8).toFixed(2)}" fill="${v === null ? "#eeeeee" : colour(shade)}" stroke="${i === part ? style.ink : style.grid}" stroke-width="${i === part ? 1.1 : 0.4}"/>`);
      text(x + w / 2, cy + high / 2 + 2.1, 6, o.short + (v === null ? "" : " " + write(v)), `text-anchor="middle"${v !== null && dark(shade) ? ' fill="#ffffff"' : ""}`);
    });
    after += Math.ceil(others.length / 2) * Math.max(ch, 9) + 5;
    const end = gx + labels + p.model.columns.length * cw + 26, free = width - margin - end - 10;
    if (free >= 60) { // there is room for the picture itself
      const edge = Math.min(free, 90);
      text(width - margin - edge, top, 7, "picture");
      out.push(`<image x="${width - margin - edge}" y="${top + 3}" width="${edge}" height="${edge}" preserveAspectRatio="none" href="${p.view.image}"/>`);
    }
    bar(gx + labels, after, p.model.columns.length * cw, ends, q.unit);
    after += 22;
    const words = part >= 0 ? p.model.parts[part].words ?? [] : [];
    y = Math.max(below, after) + 4;
    if (words.length > 0) y = wrap(left, y + 4, 7, `${p.model.parts[part].short}: ${words.join("; ")}`, width - 2 * margin) + 2;
    y += 6;
  }
  const height = y;
  return { width, height, svg: `<?xml version="1.0" encoding="UTF-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="${width}pt" height="${height.toFixed(2)}pt" viewBox="0 0 ${width} ${height.toFixed(2)}" font-family="${style.typeface}" fill="${style.ink}"><style>${document.getElementById("font").textContent}</style><rect width="100%" height="100%" fill="#ffffff"/>\n${out.join("\n")}\n</svg>\n` };
}

// exported is the view as a file of a kind, svg or png.
async function exported(kind) {
  const { width, height, svg } = figure();
  const drawn = new Blob([svg], { type: "image/svg+xml" });
  if (kind === "svg") return drawn;
  const image = new Image();
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(svg);
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height].map((v) => Math.round((v / 72) * style.png));
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

async function save(kind) {
  const file = await exported(kind);
  const link = make("a", { href: URL.createObjectURL(file), download: ["explorer", modelOf(views[state.view]).name, state.question.name].join("-").replace(/[^A-Za-z0-9._-]+/g, "-") + "." + kind });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  say(`The view was saved as ${kind.toUpperCase()}.`);
}

// ---- the notes ----

function notes() {
  const lines = [
    "A model's representation of a picture is a sum of what its parts add: heads, MLPs, convolutions, what enters the first block (init), and biases (const). A part's contribution to a class is the product of what it adds with the direction in which the logit rises; to a text, with the direction of the text; its share of the representation, with the representation itself. What a block reads is held fixed: these are direct effects.",
    "A map shows from which patches a part takes what it adds; class and register tokens have no place in it. Each map is drawn on the grid of its block. Under “All parts” maps are summed, coarser grids spread evenly.",
    "Maps are kept in 8 bits with a scale each: a patch is off by at most 1/254 of the largest of its map, which ± says. All other numbers are rounded as they are printed, and kept in full.",
  ];
  for (const m of models) lines.push(...m.missing.map((line) => `Left out of ${m.name}: ${line}`));
  document.getElementById("notes").replaceChildren(make("details", {}, make("summary", {}, "What is shown, how exactly, and which keys"), lines.map((l) => make("p", {}, l)),
    make("p", {}, make("kbd", {}, "Tab"), " goes from the controls to the picture and the grid; ", make("kbd", {}, "arrow keys"), " move within either, ", make("kbd", {}, "Home"), " and ", make("kbd", {}, "End"), " to the ends of a layer, ", make("kbd", {}, "Escape"), " shows all parts."),
    data.notes?.length > 0 ? make("ul", {}, data.notes.map((n) => make("li", {}, "assumed: " + n))) : null));
}

notes();
recall();
if (addressed) addEventListener("hashchange", recall);
// For tests: the files that the buttons save.
globalThis.explorer = { exported };
})();
