// The page of the development server: what arrives, as it arrives.
//
// Log text comes from anywhere, so it only ever becomes text: `make` knows no HTML, and the
// page's policy (trusted types) makes a browser refuse the functions that do.

"use strict";

const LEVELS = ["debug", "info", "warn", "error", "fatal"];
const KEPT = 20_000; // entries in memory, the newest
const KEPT_CHARACTERS = 64_000_000;
const ROW = 24; // pixels, as in page.css
const AHEAD = 8; // rows drawn beyond either edge
const DAY = 86_400_000;

const $ = (id) => document.getElementById(id);
const own = (object, key) => Object.prototype.hasOwnProperty.call(object, key);
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// ---------------------------------------------------------------- text

// What a terminal or a text direction would act on is shown instead.
function visible(text) {
  return text
    .replace(/[\u0000-\u0008\u000b-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replace(/[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, escaped);
}

const escaped = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
const oneLine = (text) => visible(text.slice(0, 600).replace(/\s*[\r\n]+\s*/g, " ↵ "));
const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value));
const number = (value) => value.toLocaleString("en");
const plural = (count, word) => `${number(count)} ${count === 1 ? word : word.endsWith("y") ? `${word.slice(0, -1)}ies` : `${word}s`}`;

function clock(time, milliseconds = true) {
  if (Number.isNaN(time)) return "–";
  const date = new Date(time);
  const two = (value) => String(value).padStart(2, "0");
  const text = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return milliseconds ? `${text}.${String(date.getMilliseconds()).padStart(3, "0")}` : text;
}

function day(time) {
  const date = new Date(time);
  return `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, "0")}-${String(date.getDate()).padStart(2, "0")}`;
}

function span(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 2 : 1)} s`;
  if (milliseconds < 3_600_000) return `${(milliseconds / 60_000).toFixed(1)} min`;
  return `${(milliseconds / 3_600_000).toFixed(1)} h`;
}

function toast(text) {
  const element = $("toast");
  element.textContent = text;
  element.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { element.hidden = true; }, 2500);
}

// A browser may refuse its storage; the page works without.
function remembered(store, key, value) {
  try {
    if (value === undefined) return window[store].getItem(key);
    window[store].setItem(key, value);
  } catch { /* nothing is remembered */ }
  return null;
}

// ---------------------------------------------------------------- entries

const FIELDS = { level: "level", service: "serviceName", file: "sourceFile", request_id: "requestId", user_id: "userId", ip: "ipAddress" };

// The value that a filter's key names: a field, an attribute, one of the resource, a nested one.
function lookup(row, key) {
  if (own(FIELDS, key) && row[FIELDS[key]] !== undefined) return row[FIELDS[key]];
  return nested(row.attributes, key);
}

function nested(object, key) {
  if (own(object, key)) return object[key];
  for (let dot = key.indexOf("."); dot > 0; dot = key.indexOf(".", dot + 1)) {
    const head = key.slice(0, dot);
    if (own(object, head) && isObject(object[head])) {
      const found = nested(object[head], key.slice(dot + 1));
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function flat(object, prefix = "", into = []) {
  for (const [key, value] of Object.entries(object)) {
    if (isObject(value) && Object.keys(value).length && into.length < 2000) flat(value, `${prefix}${key}.`, into);
    else into.push([prefix + key, value]);
  }
  return into;
}

function prepare(row, size) {
  row.time = Date.parse(row.timestamp);
  row.attributes = isObject(row.metadata) ? row.metadata : row.metadata === undefined ? {} : { metadata: row.metadata };
  row.size = size;
  return row;
}

function haystack(row) {
  row.lower ??= [row.message, row.serviceName, row.sourceFile, row.metadata && JSON.stringify(row.metadata)]
    .filter(Boolean).join("\n").toLowerCase();
  return row.lower;
}

// Attributes that the program gave: not OpenTelemetry's, nor the exporter's own.
const NOT_ITS_OWN = /^(trace_id|span_id|trace_flags|severity_(text|number)|resource|body|taskName|exception\.stacktrace|(otel|code|logwell|thread|process)\..*)$/;
const itsOwn = (row) => Object.entries(row.attributes).filter(([key]) => !NOT_ITS_OWN.test(key));

// ---------------------------------------------------------------- filters, in the URL

const filter = { text: "", levels: new Set(), service: "", where: [], from: null, to: null, grouped: false };

function readUrl() {
  const query = new URLSearchParams(location.search);
  filter.text = query.get("q") || "";
  filter.levels = new Set((query.get("level") || "").split(",").filter((level) => LEVELS.includes(level)));
  filter.service = query.get("service") || "";
  filter.where = query.getAll("where").map(parsePair).filter(Boolean);
  const time = (name) => (Number.isNaN(Date.parse(query.get(name))) ? null : Date.parse(query.get(name)));
  filter.from = time("from");
  filter.to = time("to");
  filter.grouped = query.get("by") === "request";
}

function writeUrl(push) {
  const query = new URLSearchParams();
  if (filter.text) query.set("q", filter.text);
  if (filter.levels.size) query.set("level", LEVELS.filter((level) => filter.levels.has(level)).join(","));
  if (filter.service) query.set("service", filter.service);
  for (const [key, value] of filter.where) query.append("where", `${key}=${value}`);
  if (filter.from !== null) query.set("from", new Date(filter.from).toISOString());
  if (filter.to !== null) query.set("to", new Date(filter.to).toISOString());
  if (filter.grouped) query.set("by", "request");
  const text = query.toString();
  const url = text ? `?${text}` : location.pathname;
  if (push) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
}

function parsePair(text) {
  const at = text.indexOf("=");
  return at > 0 ? [text.slice(0, at), text.slice(at + 1)] : null;
}

function terms(text) {
  return [...text.matchAll(/(-?)(?:"([^"]*)"?|(\S+))/g)]
    .map(([, minus, phrase, word]) => ({ not: minus === "-", text: phrase ?? word, quoted: phrase !== undefined }))
    .filter((term) => term.text);
}

// One function for all that is set, made once and not for every entry.
function compile() {
  const words = terms(filter.text).map((term) => {
    const pair = term.quoted ? null : parsePair(term.text);
    const lower = term.text.toLowerCase();
    const found = pair
      ? (row) => asText(lookup(row, pair[0]) ?? "") === pair[1] || haystack(row).includes(lower)
      : (row) => haystack(row).includes(lower);
    return term.not ? (row) => !found(row) : found;
  });
  const { levels, service, where, from, to } = filter;
  return (row) =>
    (!levels.size || levels.has(row.level)) &&
    (!service || row.serviceName === service) &&
    where.every(([key, value]) => { const found = lookup(row, key); return found !== undefined && asText(found) === value; }) &&
    (from === null || row.time >= from) && (to === null || row.time < to) &&
    words.every((word) => word(row));
}

const isFiltered = () => Boolean(filter.text || filter.levels.size || filter.service || filter.where.length || filter.from !== null || filter.to !== null);

function changeFilter(change, push = true) {
  Object.assign(filter, change);
  writeUrl(push);
  applyFilter();
}

function addWhere(key, value) {
  const text = asText(value);
  if (key === "service") changeFilter({ service: text });
  else if (key === "level") changeFilter({ levels: new Set([text]) });
  else if (!filter.where.some(([k, v]) => k === key && v === text)) changeFilter({ where: [...filter.where, [key, text]] });
}

function withoutFilters() {
  changeFilter({ text: "", levels: new Set(), service: "", where: [], from: null, to: null });
}

// ---------------------------------------------------------------- what is held and shown

let rows = []; // as they were stored, the newest last
let shown = []; // of these, what the filters let through
let groups = null; // of these, by request; null until asked for
let matches = compile();
let held = 0; // characters
let last = 0; // the newest entry's number
let newest = 0; // at the server, more than `last` while paused
let chosen = null; // the entry or group that is marked
let follow = true; // the newest stays in sight
let paused = false;
let perLevel = new Map();
const services = new Map();

const items = () => (filter.grouped ? (groups ??= group(shown)) : shown);

function addRows(list, size) {
  for (const row of list) {
    if (row.id <= last) continue;
    last = row.id;
    prepare(row, size / list.length);
    rows.push(row);
    count(row, 1);
    held += row.size;
    if (matches(row)) shown.push(row);
  }
  groups = null;
  evict();
  changed();
}

function count(row, by) {
  perLevel.set(row.level, (perLevel.get(row.level) || 0) + by);
  if (row.serviceName === undefined) return;
  const services_ = (services.get(row.serviceName) || 0) + by;
  if (services_) services.set(row.serviceName, services_);
  else services.delete(row.serviceName);
}

// The oldest go, a thousand or more at a time; what is being read stays where it is.
function evict() {
  let gone = rows.length > KEPT + 1000 ? rows.length - KEPT : 0;
  let left = held;
  for (let i = 0; i < gone; i++) left -= rows[i].size;
  while (left > KEPT_CHARACTERS && gone < rows.length - 1) left -= rows[gone++].size;
  if (!gone) return;
  for (const row of rows.splice(0, gone)) count(row, -1);
  held = left;
  const oldest = rows[0].id;
  let hidden = 0;
  while (hidden < shown.length && shown[hidden].id < oldest) hidden++;
  shown.splice(0, hidden);
  if (!filter.grouped && !follow) $("list").scrollTop -= hidden * ROW;
}

function forget() {
  rows = [];
  shown = [];
  groups = null;
  held = 0;
  perLevel = new Map();
  services.clear();
  choose(null);
  closePanel("detail");
  changed();
}

function applyFilter() {
  matches = compile();
  shown = rows.filter(matches);
  groups = null;
  if (chosen && !items().includes(chosen)) chosen = null;
  follow = true;
  drawFilters();
  changed();
}

function group(list) {
  const found = new Map();
  for (const row of list) {
    const trace = row.attributes.trace_id;
    const key = row.requestId ? `request ${row.requestId}` : typeof trace === "string" ? `trace ${trace}` : null;
    if (key === null) continue;
    let one = found.get(key);
    if (!one) {
      one = { key, id: row.id, kind: key.split(" ", 1)[0], name: row.requestId || trace, rows: [], level: row.level, title: row };
      found.set(key, one);
    }
    one.rows.push(row);
    if (LEVELS.indexOf(row.level) > LEVELS.indexOf(one.level)) one.level = row.level;
    if (own(row.attributes, "http.request.method")) one.title = row;
  }
  for (const one of found.values()) {
    const times = one.rows.map((row) => row.time);
    one.time = Math.min(...times.slice(0, 5000));
    one.span = Math.max(...times.slice(0, 5000)) - one.time;
  }
  return [...found.values()];
}

// ---------------------------------------------------------------- drawing the list

const pool = [];
let drawn = false;

function changed() {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(draw);
}

function draw() {
  drawn = false;
  const list = $("list");
  const all = items();
  $("space").style.height = `${all.length * ROW}px`;
  if (follow) list.scrollTop = all.length * ROW;
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - AHEAD);
  const end = Math.min(all.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + AHEAD);
  while (pool.length < end - first) pool.push(newRow());
  for (let i = 0; i < pool.length; i++) {
    if (first + i < end) fillRow(pool[i], all[first + i], first + i, all.length);
    else pool[i].element.hidden = true;
  }
  if (chosen && all.includes(chosen)) list.setAttribute("aria-activedescendant", `row-${chosen.id}`);
  else list.removeAttribute("aria-activedescendant");
  $("newest").hidden = follow || list.scrollHeight <= list.clientHeight;
  drawEmpty(all.length);
  drawCounts();
  soon();
}

function newRow() {
  const parts = {};
  for (const name of ["time", "level", "service", "what", "where"]) parts[name] = make("span", { class: name });
  parts.message = document.createTextNode("");
  parts.rest = make("span");
  parts.what.append(parts.message, parts.rest);
  const element = make("div", { class: "row", role: "option", click: () => { choose(parts.item); openDetail(false); } },
    parts.time, parts.level, parts.service, parts.what, parts.where);
  $("space").append(element);
  return Object.assign(parts, { element, item: null });
}

function fillRow(parts, item, place, total) {
  const { element } = parts;
  element.hidden = false;
  element.style.transform = `translateY(${place * ROW}px)`;
  element.setAttribute("aria-posinset", place + 1);
  element.setAttribute("aria-setsize", total);
  element.setAttribute("aria-selected", String(item === chosen));
  if (parts.item === item && !item.rows) return;
  parts.item = item;
  element.id = `row-${item.id}`;
  element.dataset.level = item.level;
  element.classList.toggle("group", Boolean(item.rows));
  parts.time.textContent = clock(item.time);
  parts.level.textContent = item.level;
  const row = item.title || item;
  parts.service.textContent = oneLine(row.serviceName || "–");
  parts.message.data = oneLine(row.message);
  if (item.rows) {
    parts.rest.textContent = `${item.kind} ${oneLine(item.name)}`;
    parts.where.textContent = `${plural(item.rows.length, "entry")} · ${span(item.span)}`;
  } else {
    parts.rest.textContent = brief(row);
    parts.where.textContent = place_(row);
  }
}

const brief = (row) => oneLine(itsOwn(row).slice(0, 8).map(([key, value]) => `${key}=${asText(value).slice(0, 60)}`).join("  "));

function place_(row) {
  if (!row.sourceFile) return "";
  const parts = row.sourceFile.split(/[\\/]/);
  return oneLine(parts.slice(-2).join("/")) + (row.lineNumber ? `:${row.lineNumber}` : "");
}

function drawEmpty(count) {
  const element = $("empty");
  element.hidden = count > 0;
  const why = count ? "" : rows.length ? (filter.grouped && shown.length ? "groups" : "filters") : "nothing";
  if (element.dataset.why === why) return;
  element.dataset.why = why;
  if (why === "filters") {
    element.replaceChildren(make("h2", {}, "No entry matches"), make("p", {}, "The filters let none of the entries on this page through."),
      make("p", {}, make("button", { type: "button", click: withoutFilters }, "Take the filters away")));
  } else if (why === "groups") {
    element.replaceChildren(make("h2", {}, "No requests here"), make("p", {}, "None of these entries has a request_id or a trace."));
  } else if (why === "nothing") {
    element.replaceChildren(make("h2", {}, "Nothing logged yet"), make("p", {}, "Start a program with the URL and the key that the server has printed, or with"),
      make("pre", {}, `export LOGWELL_ENDPOINT=${location.origin} LOGWELL_API_KEY=lw_…\npython -c 'import logging, logwell_otel; logwell_otel.configure(); logging.warning("hello")'`));
  }
}

function drawCounts() {
  for (const button of $("levels").children) {
    button.querySelector(".count").textContent = number(perLevel.get(button.dataset.level) || 0);
  }
  const select = $("service");
  const names = [...services.keys()].sort();
  if (filter.service && !names.includes(filter.service)) names.push(filter.service);
  const key = JSON.stringify(names);
  if (select.dataset.names !== key && document.activeElement !== select) {
    select.dataset.names = key;
    select.replaceChildren(make("option", { value: "" }, "all services"), ...names.map((name) => make("option", { value: name }, visible(name).slice(0, 80))));
  }
  if (document.activeElement !== select) select.value = filter.service;
}

function drawFilters() {
  const text = $("text");
  if (document.activeElement !== text || text.value.trim() !== filter.text) text.value = filter.text;
  for (const button of $("levels").children) button.setAttribute("aria-pressed", String(filter.levels.has(button.dataset.level)));
  $("requests").setAttribute("aria-pressed", String(filter.grouped));
  const chips = filter.where.map(([key, value], place) =>
    chip(`${visible(key)} = ${oneLine(value)}`, () => changeFilter({ where: filter.where.filter((_, other) => other !== place) })));
  if (filter.from !== null || filter.to !== null) {
    const until = filter.to === null ? "" : clock(filter.to, false);
    chips.push(chip(`${filter.from === null ? "" : clock(filter.from, false)} – ${until}`, () => changeFilter({ from: null, to: null })));
  }
  $("chips").replaceChildren(...chips);
}

const chip = (text, remove) => make("button", { type: "button", title: "Take this filter away", "aria-label": `Take away the filter ${text}`, click: remove }, `${text}  ✕`);

// ---------------------------------------------------------------- histogram

let buckets = null;
let histogramTimer = 0;
let dragged = null;

// Twice a second at most: it looks at every entry.
function soon() {
  histogramTimer ||= setTimeout(() => { histogramTimer = 0; drawHistogram(); }, 400);
}

const STEPS = [100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000];

function countBuckets(width) {
  let newestTime = -Infinity;
  const limit = Date.now() + 60_000; // one wrong clock must not squeeze all others together
  for (const row of shown) if (row.time > newestTime && row.time <= limit) newestTime = row.time;
  if (newestTime === -Infinity) return null;
  let oldest = newestTime;
  for (const row of shown) if (row.time < oldest && row.time > newestTime - DAY) oldest = row.time;
  const most = Math.max(20, Math.floor(width / 7));
  const step = STEPS.find((candidate) => (newestTime - oldest) / candidate < most - 1) || DAY / 24;
  const start = Math.min(Math.floor(oldest / step), Math.floor(newestTime / step) - 39) * step;
  const size = Math.floor((newestTime - start) / step) + 1;
  const counts = LEVELS.map(() => new Uint32Array(size));
  let outside = 0;
  for (const row of shown) {
    const place = Math.floor((row.time - start) / step);
    if (place >= 0 && place < size) counts[LEVELS.indexOf(row.level)][place]++;
    else outside++;
  }
  let top = 1;
  for (let i = 0; i < size; i++) top = Math.max(top, counts.reduce((sum, level) => sum + level[i], 0));
  return { start, step, size, counts, top, outside };
}

function drawHistogram() {
  const canvas = $("histogram");
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  buckets = countBuckets(width);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const style = getComputedStyle(document.documentElement);
  context.fillStyle = style.getPropertyValue("--line");
  context.fillRect(0, height - 1, width, 1);
  $("histogram-from").textContent = buckets ? clock(buckets.start, false) : "";
  $("histogram-to").textContent = buckets ? clock(buckets.start + buckets.step * buckets.size, false) : "";
  $("histogram-about").textContent = about();
  canvas.setAttribute("aria-label", `Entries over time by level. ${about()}`);
  if (!buckets) return;
  const { size, counts, top } = buckets;
  const bar = width / size;
  for (let i = 0; i < size; i++) {
    let y = height - 1;
    for (let level = 0; level < LEVELS.length; level++) {
      if (!counts[level][i]) continue;
      const tall = Math.max(1.5, (counts[level][i] / top) * (height - 3));
      context.fillStyle = style.getPropertyValue(`--${LEVELS[level]}`);
      context.globalAlpha = level < 2 ? 0.55 : 1;
      context.fillRect(i * bar + 0.5, y - tall, Math.max(1, bar - 1), tall);
      y -= tall;
    }
  }
  context.globalAlpha = 1;
  if (dragged) {
    context.globalAlpha = 0.2;
    context.fillStyle = style.getPropertyValue("--accent");
    context.fillRect(Math.min(dragged.from, dragged.to), 0, Math.abs(dragged.to - dragged.from), height);
  }
}

function about(bucket = null) {
  if (!buckets) return "";
  if (bucket !== null) {
    const at = buckets.start + bucket * buckets.step;
    const parts = LEVELS.map((level, i) => [level, buckets.counts[i][bucket]]).filter(([, n]) => n).map(([level, n]) => `${number(n)} ${level}`);
    return `${clock(at, buckets.step < 1000)}: ${parts.join(", ") || "none"}`;
  }
  const parts = [plural(shown.length, "entry")];
  if (shown.length < rows.length) parts.push(`of ${number(rows.length)} on this page`);
  if (buckets.outside) parts.push(`${number(buckets.outside)} older or from another time`);
  parts.push(`${span(buckets.step)} a bar`);
  return parts.join(" · ");
}

function setUpHistogram() {
  const canvas = $("histogram");
  const at = (event) => Math.max(0, Math.min(canvas.clientWidth - 1, event.clientX - canvas.getBoundingClientRect().left));
  const bucket = (x) => Math.floor((x / canvas.clientWidth) * buckets.size);
  canvas.addEventListener("pointermove", (event) => {
    if (!buckets) return;
    $("histogram-about").textContent = about(bucket(at(event)));
    if (dragged) { dragged.to = at(event); drawHistogram(); }
  });
  canvas.addEventListener("pointerleave", () => { $("histogram-about").textContent = about(); });
  canvas.addEventListener("pointerdown", (event) => {
    if (!buckets) return;
    canvas.setPointerCapture(event.pointerId);
    dragged = { from: at(event), to: at(event), buckets };
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!dragged || !buckets) return;
    const [a, b] = [dragged.from, at(event)].sort((x, y) => x - y).map(bucket);
    dragged = null;
    changeFilter({ from: buckets.start + a * buckets.step, to: buckets.start + (b + 1) * buckets.step });
  });
}

// ---------------------------------------------------------------- moving about

function choose(item) {
  chosen = item;
  changed();
}

function reveal(place) {
  const list = $("list");
  const top = place * ROW;
  const below = top + ROW - list.scrollTop - list.clientHeight;
  const far = Math.max(list.scrollTop - top, below) > 2 * ROW; // with some of what was before
  if (far) list.scrollTop = top - list.clientHeight / 3;
  else if (top < list.scrollTop) list.scrollTop = top;
  else if (below > 0) list.scrollTop += below;
  follow = place === items().length - 1;
}

function move(to) {
  const all = items();
  if (!all.length) return;
  const place = Math.max(0, Math.min(all.length - 1, to));
  chosen = all[place];
  follow = false;
  reveal(place);
  if (!$("detail").hidden) openDetail(false);
  changed();
}

function current() {
  const all = items();
  if (!chosen) return -1;
  const place = all.indexOf(chosen);
  return place >= 0 || !chosen.key ? place : all.findIndex((one) => one.key === chosen.key);
}

function step(by) {
  const place = current();
  if (place >= 0) move(place + by);
  else move(by > 0 && !follow ? Math.ceil($("list").scrollTop / ROW) : items().length - 1);
}

function nextError(by) {
  const all = items();
  let start = current();
  if (start < 0 && follow) { // nothing is marked: the newest one first
    by = -1;
    start = all.length;
  } else if (start < 0) {
    start = Math.ceil($("list").scrollTop / ROW) - 1;
  }
  for (let i = 1; i <= all.length; i++) {
    const place = (((start + by * i) % all.length) + all.length) % all.length;
    if (all[place].level === "error" || all[place].level === "fatal") return move(place);
  }
  return toast("No error among these entries");
}

// ---------------------------------------------------------------- detail

const EDITORS = {
  "": ["no editor", null],
  vscode: ["VS Code", (file, line) => `vscode://file/${encodePath(file)}:${line}`],
  cursor: ["Cursor", (file, line) => `cursor://file/${encodePath(file)}:${line}`],
  pycharm: ["PyCharm", (file, line) => `pycharm://open?file=${encodeURIComponent(file)}&line=${line}`],
  idea: ["IntelliJ IDEA", (file, line) => `idea://open?file=${encodeURIComponent(file)}&line=${line}`],
  zed: ["Zed", (file, line) => `zed://file/${encodePath(file)}:${line}`],
  sublime: ["Sublime Text", (file, line) => `subl://open?url=file://${encodePath(file)}&line=${line}`],
};

const encodePath = (file) => file.split(/[\\/]/).map(encodeURIComponent).join("/").replace(/^([A-Za-z])%3A/, "$1:").replace(/^\//, "");
const editor = () => (own(EDITORS, remembered("localStorage", "editor") ?? "vscode") ? (remembered("localStorage", "editor") ?? "vscode") : "vscode");

// A file's place, as a link where the editor can find it: a relative path says too little.
function sourceLink(file, line) {
  const text = visible(file) + (line ? `:${line}` : "");
  const open = EDITORS[editor()][1];
  if (!open || !/^([\\/]|[A-Za-z]:[\\/])/.test(file)) return make("span", {}, text);
  return make("a", { href: open(file, line || 1), title: `Open in ${EDITORS[editor()][0]}` }, text);
}

function openDetail(focus) {
  if (!chosen) return;
  const panel = $("detail");
  closePanel("server");
  panel.hidden = false;
  panel.scrollTop = 0;
  if (chosen.rows) showGroup(panel, chosen);
  else showEntry(panel, chosen);
  if (focus) panel.focus();
  changed();
}

function closePanel(id) {
  if ($(id).hidden) return false;
  const inside = $(id).contains(document.activeElement);
  $(id).hidden = true;
  $("server-button").setAttribute("aria-expanded", String(!$("server").hidden));
  if (inside) $("list").focus();
  changed();
  return true;
}

const closeButton = () => make("button", { type: "button", "aria-label": "Close", title: "Close (Esc)", click: () => closePanel("detail") }, "✕");

function showEntry(panel, row) {
  const title = make("h2", { "data-level": row.level },
    make("span", { class: "level" }, row.level), make("span", { class: "time", title: row.timestamp }, `${day(row.time)} ${clock(row.time)}`));
  const attributes = { ...row.attributes };
  const parts = [
    make("div", { class: "panel-head" }, title, closeButton()),
    make("p", { class: "message" }, visible(row.message)),
    make("div", { class: "actions" },
      make("button", { type: "button", title: "y", click: () => copyJson(row) }, "Copy as JSON"),
      make("button", { type: "button", title: "a", click: () => copyAssertion(row) }, "Copy as assertion")),
  ];
  if (row.sourceFile) {
    const name = attributes["code.function.name"] ?? attributes["code.function"];
    parts.push(make("p", { class: "source" }, sourceLink(row.sourceFile, row.lineNumber), typeof name === "string" ? ` in ${visible(name)}` : null));
  }
  const exception = exceptionOf(attributes);
  if (exception) parts.push(exception);
  const trace = typeof attributes.trace_id === "string" ? attributes.trace_id : null;
  const ofTrace = trace ? find("trace", trace) : null;
  if (trace) parts.push(together("Trace", "trace", trace, row, ofTrace));
  if (row.requestId) parts.push(together("Request", "request", row.requestId, row, find("request", row.requestId), ofTrace));
  const resource = isObject(attributes.resource) ? flat(attributes.resource).map(([key, value]) => [`resource.${key}`, value]) : [];
  if (isObject(attributes.resource)) delete attributes.resource;
  const scope = flat(attributes).filter(([key]) => key.startsWith("otel.scope."));
  const fields = [["service", row.serviceName], ["level", row.level]].filter(([, value]) => value !== undefined);
  const others = flat(attributes).filter(([key]) => !key.startsWith("otel.scope.") && key !== "exception.stacktrace");
  parts.push(table("Attributes", [...fields, ...others]), table("Resource", resource, "resource."), table("Scope", scope, "otel.scope."));
  panel.replaceChildren(...parts.filter(Boolean));
}

function table(name, pairs, cut = "") {
  if (!pairs.length) return null;
  const list = make("dl", { class: "table" });
  for (const [key, value] of pairs.slice(0, 500)) {
    list.append(make("dt", {}, visible(key.slice(cut.length))),
      make("dd", {}, make("button", { class: "value", type: "button", title: "Only entries with this value", click: () => addWhere(key, value) },
        visible(asText(value).slice(0, 20_000)) || "“”")));
  }
  return make("section", {}, make("h3", {}, name), list);
}

// Python's tracebacks as frames; any other text as it is.
const FRAME = /^[\s|+]*File "(.+)", line (\d+)(?:, in (.+))?$/;

function frames(stack) {
  const found = [];
  for (const line of stack.split("\n")) {
    const match = FRAME.exec(line);
    const text = line.replace(/^[\s|+]+/, "");
    if (match) found.push({ file: match[1], line: Number(match[2]), name: match[3] || "", code: [] });
    else if (/^(During handling|The above exception)/.test(text)) found.push({ note: text });
    else if (/^\s+\S/.test(line) && found.length && found.at(-1).file && !/^[\s~^]+$/.test(line)) found.at(-1).code.push(text);
  }
  return found;
}

function exceptionOf(attributes) {
  const texts = ["exception.type", "exception.message", "exception.stacktrace"].map((key) => (typeof attributes[key] === "string" ? attributes[key] : ""));
  const [type, message, stack] = texts;
  if (!type && !stack) return null;
  const box = make("section", {}, make("h3", {}, "Exception"),
    make("div", { class: "exception" }, make("b", {}, visible(type || "Exception")), message ? `: ${visible(message)}` : null));
  const found = frames(stack);
  if (found.length) {
    const list = make("ol", { class: "frames" });
    for (const frame of found.slice(-200)) {
      list.append(frame.note ? make("li", { class: "note" }, visible(frame.note))
        : make("li", { class: /site-packages|[\\/]lib[\\/]python|<frozen/.test(frame.file) ? "foreign" : null },
          sourceLink(frame.file, frame.line), frame.name ? ` in ${visible(frame.name)}` : null,
          ...frame.code.slice(0, 1).map((code) => make("code", { class: "code" }, visible(code)))));
    }
    box.append(list);
  }
  if (stack) box.append(make("details", found.length ? {} : { open: "" }, make("summary", {}, "As text"), make("pre", { tabindex: "0" }, visible(stack))));
  return box;
}

// All entries of a trace or request, those that have left this page included.
function find(kind, id) {
  return fetch(`/page/entries?${new URLSearchParams({ [kind]: id })}`)
    .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`status ${answer.status}`))))
    .then((found) => found.map((one) => prepare(one, 0)));
}

// Them over time, unless `other` has shown the same ones already.
function together(name, kind, id, row, entries, other = null) {
  const heading = make("h3", {}, `${name} `, make("button", { type: "button", title: "Only these entries", click: () => addWhere(`${kind}_id`, id) }, visible(id).slice(0, 40)));
  const section = make("section", {}, heading);
  Promise.all([entries, other])
    .then(([found, before]) => {
      const ids = (list) => list.map((one) => one.id).join();
      if (before && ids(before) === ids(found)) section.append(make("p", { class: "note" }, "The same entries as the trace."));
      else if (found.length) section.append(...waterfall(found, row));
    })
    .catch((error) => section.append(make("p", { class: "note" }, `The server did not say which entries belong to it: ${error.message}`)));
  return section;
}

// Seconds or milliseconds that an entry says it took; it ends when it is logged.
function took(row) {
  const seconds = row.attributes["http.server.request.duration"];
  const milliseconds = row.attributes.duration_ms ?? row.attributes.elapsed_ms;
  if (typeof seconds === "number" && seconds >= 0) return seconds * 1000;
  return typeof milliseconds === "number" && milliseconds >= 0 ? milliseconds : 0;
}

function waterfall(found, row) {
  const start = Math.min(...found.map((one) => one.time - took(one)));
  const whole = Math.max(...found.map((one) => one.time)) - start;
  const percent = (time) => (whole ? ((time - start) / whole) * 100 : 0);
  const spans = new Map();
  for (const one of found) {
    const id = one.attributes.span_id;
    const extent = spans.get(id) || [Infinity, -Infinity];
    spans.set(id, [Math.min(extent[0], one.time - took(one)), Math.max(extent[1], one.time)]);
  }
  const list = make("ol", { class: "waterfall" });
  for (const one of found.slice(0, 500)) {
    const bar = make("span", { class: "bar" });
    const width = percent(one.time) - percent(one.time - took(one));
    bar.style.left = `calc((100% - 8px) * ${percent(one.time - took(one)) / 100})`;
    bar.style.width = `max(8px, ${width}%)`;
    const lane = make("span", { class: "lane" }, bar);
    const extent = spans.get(one.attributes.span_id);
    if (one.attributes.span_id && extent[1] > extent[0]) {
      const under = make("span", { class: "span" });
      under.style.left = `${percent(extent[0])}%`;
      under.style.width = `${percent(extent[1]) - percent(extent[0])}%`;
      lane.prepend(under);
    }
    list.append(make("li", { "data-level": one.level }, make("button", { type: "button", "aria-current": row && one.id === row.id ? "true" : null, click: () => jump(one) },
      make("span", { class: "offset" }, `+${span(one.time - start)}`), lane,
      make("span", { class: "text" }, make("i", {}, oneLine(one.serviceName || "–")), oneLine(one.message)))));
  }
  return [make("p", { class: "note" }, `${plural(found.length, "entry")} in ${span(whole)}${found.length > 500 ? ", the first 500 of them here" : ""}`), list];
}

function jump(one) {
  const place = shown.findIndex((row) => row.id === one.id);
  if (place < 0 || filter.grouped) {
    chosen = one;
    openDetail(false);
  } else {
    move(place);
  }
}

function showGroup(panel, one) {
  panel.replaceChildren(
    make("div", { class: "panel-head" }, make("h2", { "data-level": one.level }, make("span", { class: "level" }, one.level), make("span", { class: "time" }, `${day(one.time)} ${clock(one.time)}`)), closeButton()),
    make("p", { class: "message" }, visible(one.title.message)),
    together(one.kind === "request" ? "Request" : "Trace", one.kind, one.name, null, find(one.kind, one.name)));
}

// ---------------------------------------------------------------- copying

function copy(text, said) {
  const done = () => toast(said);
  if (navigator.clipboard) {
    navigator.clipboard.writeText(text).then(done, () => copyOldWay(text, done));
  } else {
    copyOldWay(text, done);
  }
}

// Without https a browser has no clipboard for a page, but this machine's own addresses.
function copyOldWay(text, done) {
  const area = make("textarea", { "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (copied) done();
  else toast("The browser did not let the page copy");
}

function copyJson(row) {
  const { level, message, timestamp, serviceName: service, sourceFile, lineNumber, metadata } = row;
  copy(JSON.stringify({ level, message, timestamp, service, sourceFile, lineNumber, metadata }, null, 2), "Copied as JSON");
}

const copyAssertion = (row) => copy(assertion(row), "Copied as an assertion");

// What fails in a test until the program logs this: docs/testing.md.
function assertion(row) {
  const given = [pythonic(row.message)];
  if (LEVELS.indexOf(row.level) >= LEVELS.indexOf("warn")) given.push(`level=${pythonic(row.level)}`);
  const odd = [];
  for (const [key, value] of itsOwn(row)) {
    const name = key.replaceAll(".", "__");
    const text = pythonic(value);
    if (text === null || key.includes("__") || ["message", "level", "service", "self"].includes(name) || /duration|elapsed|_ms$/.test(key)) continue;
    if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !KEYWORDS.has(name)) given.push(`${name}=${text}`);
    else odd.push(`${pythonic(key)}: ${text}`);
  }
  if (odd.length) given.push(`**{${odd.join(", ")}}`);
  return `logwell.assert_logged(${given.join(", ")})`;
}

const KEYWORDS = new Set(("False None True and as assert async await break class continue def del elif else except finally for from global if import in is lambda " +
  "nonlocal not or pass raise return try while with yield").split(" "));

// A Python literal, null for a number that JavaScript could not read exactly.
function pythonic(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "number") return Number.isInteger(value) && !Number.isSafeInteger(value) ? null : String(value);
  if (typeof value === "string") return JSON.stringify(value).replace(/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, escaped);
  const parts = Array.isArray(value) ? value.map(pythonic) : Object.entries(value).map(([key, inner]) => { const text = pythonic(inner); return text && `${pythonic(key)}: ${text}`; });
  if (parts.includes(null)) return null;
  return Array.isArray(value) ? `[${parts.join(", ")}]` : `{${parts.join(", ")}}`;
}

// ---------------------------------------------------------------- the stream

let source = null;
let run = null; // of the server: another one counts its entries anew
let retry = 0;

const place = () => (run === null ? "" : `${run}-${last}`);

function connect(from) {
  clearTimeout(retry);
  if (source) source.close();
  source = new EventSource(`/page/stream${from ? `?after=${encodeURIComponent(from)}` : ""}`);
  source.addEventListener("begin", (event) => {
    const begin = JSON.parse(event.data);
    if (run !== null && begin.run !== run) forget();
    run = begin.run;
    last = begin.after;
    newest = Math.max(last, paused ? newest : 0);
    if (begin.skipped) toast(`${plural(begin.skipped, "entry")} left out: too many at once for this page`);
    connection();
  });
  source.addEventListener("state", (event) => showState(JSON.parse(event.data)));
  source.addEventListener("entries", (event) => {
    const list = JSON.parse(event.data);
    newest = list.at(-1).id;
    if (!paused) addRows(list, event.data.length);
    connection();
  });
  source.onerror = () => {
    source.close();
    connection("lost");
    retry = setTimeout(() => connect(place()), 1000);
  };
}

function connection(state = paused ? "paused" : "live") {
  const element = $("connection");
  const text = state === "lost" ? "no server" : state === "paused" ? `paused${newest > last ? `, ${number(newest - last)} new` : ""}` : "live";
  element.dataset.state = state;
  if (element.textContent !== text) element.textContent = text;
}

// Paused, the page lets go by what comes, and fetches it from there when it goes on.
function pause() {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").textContent = paused ? "Go on" : "Pause";
  if (paused) connection();
  else connect(place());
}

function clear() {
  last = Math.max(last, newest);
  remembered("sessionStorage", "cleared", place());
  forget();
  connection();
}

// ---------------------------------------------------------------- the server: counters, faults

const STATUSES = { 200: "taken", 400: "refused", 401: "wrong key", 413: "too large", 415: "not JSON", 429: "rate limit", 500: "server error", 503: "gateway error" };

const OUTCOMES = {
  works: ["are answered as they should be", null],
  limit: ["Rate limit: 429, Retry-After 60", { kind: "answer", status: 429 }],
  outage: ["Outage: connections are cut, health is down", { kind: "close" }],
  gateway: ["Gateway: 503, the server is not reached", { kind: "answer", status: 503 }],
  hang: ["Hang: no answer at all", { kind: "hang" }],
  key: ["Refusal: 401, the key was revoked", { kind: "answer", status: 401 }],
  refusal: ["Refusal: 400, the whole request", { kind: "answer", status: 400, body: '{"error":"validation_error","message":"refused by a switch"}', headers: { "Content-Type": "application/json" } }],
  lost: ["Lost answer: stored, then cut", { kind: "close", stored: true }],
};

let faults = null;
let sending = 0; // requests that set switches
let sentUntil = 0; // until then what the stream says may be older than what was set
let told = 0;

// What is set here counts until the stream has caught up: else its older news would undo it.
function hearFaults(settings) {
  clearTimeout(told);
  const wait = sending ? 1500 : sentUntil - performance.now();
  if (wait > 0) told = setTimeout(() => hearFaults(settings), wait);
  else showFaults(settings);
}

function showState(state) {
  const lost = Object.values(state.refused).reduce((sum, count) => sum + count, 0);
  $("stored").textContent = number(state.stored);
  $("refused").textContent = number(lost);
  $("refused-counter").classList.toggle("some", lost > 0);
  $("limit").textContent = state.limit === null ? "none" : `${number(state.left)}/${number(state.limit)}`;
  $("limit-counter").classList.toggle("some", state.limit !== null && state.left === 0);
  const word = (status) => (own(STATUSES, status) ? `${status} ${STATUSES[status]}` : status);
  fillTable($("answers"), [...Object.entries(state.byStatus).map(([status, count]) => [word(status), count]),
    ...(state.unanswered ? [["unanswered", state.unanswered]] : [])], "none yet");
  fillTable($("refusals"), Object.entries(state.refused).map(([why, count]) => [word(why), count]), "none");
  $("kept").textContent = `${plural(state.kept, "entry")} kept; of these the newest are on this page.`;
  $("limit-text").textContent = state.limit === null ? "There is none." : `${plural(state.left, "request")} left of ${number(state.limit)} a minute.`;
  $("limit-meter").hidden = state.limit === null;
  $("limit-meter").max = state.limit || 1;
  $("limit-meter").value = state.left || 0;
  $("faults").hidden = !state.switchable;
  $("faults-locked").hidden = state.switchable;
  hearFaults(state.faults);
}

function fillTable(list, pairs, none) {
  list.replaceChildren(...(pairs.length ? pairs : [[none, ""]]).flatMap(([key, value]) => [make("dt", {}, visible(key)), make("dd", {}, value === "" ? "" : number(value))]));
}

const WHOLE = { kind: "", times: null, stored: false, status: 503, body: null, headers: {}, only: null };
const same = (a, b) => (a === null || b === null ? a === b : JSON.stringify({ ...WHOLE, ...a }) === JSON.stringify({ ...WHOLE, ...b }));

function showFaults(settings) {
  if (JSON.stringify(settings) === JSON.stringify(faults)) return;
  faults = settings;
  const found = Object.keys(OUTCOMES).find((name) => same(OUTCOMES[name][1], settings.outcome));
  for (const input of $("outcomes").querySelectorAll("input")) input.checked = input.value === found;
  if (document.activeElement !== $("delay")) $("delay").value = settings.delay_ms;
  if (document.activeElement !== $("poison")) $("poison").value = settings.poison_marker ?? "";
  $("inserts").checked = settings.inserts_fail;
  const on = settings.outcome !== null || settings.delay_ms > 0 || settings.poison_marker !== null || settings.inserts_fail || settings.health !== "up";
  $("fault-counter").hidden = !on;
  const notes = [];
  if (!found) notes.push("A program has set another fault.");
  if (found === "limit" || found === "gateway") notes.push("Clients wait as long as they were told to, also after it is off: up to a minute.");
  $("faults-note").textContent = notes.join(" ");
}

async function setFaults() {
  const name = $("outcomes").querySelector("input:checked")?.value;
  const delay = Number($("delay").value);
  const body = {
    outcome: name === undefined ? faults.outcome : OUTCOMES[name][1],
    delay_ms: Number.isFinite(delay) ? Math.min(Math.max(delay, 0), 600_000) : 0,
    poison_marker: $("poison").value || null,
    inserts_fail: $("inserts").checked,
    health: name === "outage" ? "down" : "up",
  };
  await sendFaults({ method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

async function sendFaults(request) {
  sending += 1;
  let content = null;
  try {
    const answer = await fetch("/page/faults", request);
    content = await answer.json();
    if (!answer.ok) throw new Error(content.message);
  } catch (error) {
    content = null;
    toast(`The switch was not set: ${error.message}`);
  }
  sending -= 1;
  sentUntil = performance.now() + 1500;
  if (content && !sending) showFaults(content);
}

function toggleServer() {
  if (closePanel("server")) return;
  closePanel("detail");
  $("server").hidden = false;
  $("server-button").setAttribute("aria-expanded", "true");
  $("server").focus();
  changed();
}

// ---------------------------------------------------------------- light and dark

const THEMES = ["auto", "light", "dark"];
const dark = window.matchMedia("(prefers-color-scheme: dark)");
let theme = THEMES.includes(remembered("localStorage", "theme")) ? remembered("localStorage", "theme") : "auto";

function showTheme() {
  document.documentElement.dataset.theme = theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
  $("theme").textContent = `Theme: ${theme}`;
  soon();
}

function nextTheme() {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  remembered("localStorage", "theme", theme);
  showTheme();
}

// ---------------------------------------------------------------- keys

const only = (level) => changeFilter({ levels: filter.levels.size === 1 && filter.levels.has(level) ? new Set() : new Set([level]) });

const withEntry = (act) => () => {
  const row = chosen && (chosen.title || chosen);
  if (row) act(row);
  else toast("Choose an entry first: j, k");
};

const KEYS = {
  "/": () => { $("text").focus(); $("text").select(); },
  j: () => step(1),
  k: () => step(-1),
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  PageDown: () => step(20),
  PageUp: () => step(-20),
  Home: () => move(0),
  End: () => { move(Infinity); follow = true; },
  g: () => move(0),
  G: () => { move(Infinity); follow = true; },
  e: () => nextError(1),
  E: () => nextError(-1),
  Enter: () => openDetail(true),
  p: pause,
  c: clear,
  r: () => changeFilter({ grouped: !filter.grouped }),
  s: toggleServer,
  d: nextTheme,
  y: withEntry(copyJson),
  a: withEntry(copyAssertion),
  "?": () => $("help").showModal(),
  ...Object.fromEntries(LEVELS.map((level, i) => [String(i + 1), () => only(level)])),
};

// On a control these mean what they always do there.
const OF_CONTROLS = new Set(["Enter", " ", "ArrowDown", "ArrowUp", "PageDown", "PageUp", "Home", "End"]);

function escape_() {
  if (document.activeElement === $("text")) $("list").focus();
  else if (closePanel("detail") || closePanel("server")) $("list").focus();
  else if (chosen) choose(null);
  else if (isFiltered()) withoutFilters();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const { target } = event;
  if (event.key === "Escape") {
    event.preventDefault();
    escape_();
    return;
  }
  if (target.matches("input, select, textarea") && target.type !== "radio" && target.type !== "checkbox") return;
  if (OF_CONTROLS.has(event.key) && target !== document.body && target !== $("list")) return;
  if (!own(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
}

// ---------------------------------------------------------------- begin

function setUp() {
  for (const level of LEVELS) {
    $("levels").append(make("button", { type: "button", "aria-pressed": "false", "data-level": level, click: () => {
      const levels = new Set(filter.levels);
      if (!levels.delete(level)) levels.add(level);
      changeFilter({ levels });
    } }, level, make("span", { class: "count" }, "0")));
  }
  for (const [name, [label]] of Object.entries(OUTCOMES)) {
    $("outcomes").append(make("label", {}, make("input", { type: "radio", name: "outcome", value: name }), label));
  }
  for (const [name, [label]] of Object.entries(EDITORS)) $("editor").append(make("option", { value: name }, label));
  $("editor").value = editor();
  $("editor").addEventListener("change", () => remembered("localStorage", "editor", $("editor").value));

  let typing = 0;
  $("text").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => changeFilter({ text: $("text").value.trim() }, false), 120);
  });
  $("text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    clearTimeout(typing);
    const all = terms($("text").value);
    const pairs = all.filter((term) => !term.not && !term.quoted && parsePair(term.text));
    const text = all.filter((term) => !pairs.includes(term)).map((term) => `${term.not ? "-" : ""}${term.quoted ? `"${term.text}"` : term.text}`).join(" ");
    $("text").value = text;
    changeFilter({ text });
    for (const term of pairs) addWhere(...parsePair(term.text));
    $("list").focus();
  });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("service").addEventListener("change", () => changeFilter({ service: $("service").value }));
  $("requests").addEventListener("click", KEYS.r);
  $("pause").addEventListener("click", pause);
  $("clear").addEventListener("click", clear);
  $("theme").addEventListener("click", nextTheme);
  $("help-button").addEventListener("click", KEYS["?"]);
  $("server-button").addEventListener("click", toggleServer);
  $("server-close").addEventListener("click", () => closePanel("server"));
  $("newest").addEventListener("click", KEYS.End);
  $("faults").addEventListener("change", setFaults);
  $("faults").addEventListener("submit", (event) => event.preventDefault());
  $("faults-clear").addEventListener("click", () => sendFaults({ method: "DELETE" }));
  const list = $("list");
  list.addEventListener("scroll", () => {
    follow = list.scrollTop + list.clientHeight >= list.scrollHeight - ROW / 2; // as drawn: more may have come
    changed();
  }, { passive: true });
  new ResizeObserver(changed).observe(list);
  dark.addEventListener("change", showTheme);
  document.addEventListener("keydown", onKey);
  window.addEventListener("popstate", () => { readUrl(); applyFilter(); });
  setUpHistogram();
  readUrl();
  applyFilter();
  showTheme();
  connect(remembered("sessionStorage", "cleared") || "");
}

setUp();
