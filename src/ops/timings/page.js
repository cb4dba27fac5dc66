'use strict';
(() => {
const data = JSON.parse(document.getElementById('data').textContent);
const tasks = data.tasks, canvas = document.getElementById('gantt'), pen = canvas.getContext('2d');
const detail = document.getElementById('detail'), find = document.getElementById('find'), body = document.getElementById('rows');
const critical = new Set(data.critical), AXIS = 24, LANE = 30, BAR = 22, LEFT = 34;
const lanes = Math.max(data.jobs, 1, ...new Set(tasks.map(t => t.thread + 1)));
const byLane = Array.from({length: lanes}, () => []);
tasks.forEach((t, at) => byLane[t.thread].push(at));
const total = Math.max(data.took, 1);
let from = 0, to = total, chosen = -1, hover = -1, wanted = '', pathOnly = false, colours = {};

const make = (name, text, type) => { const e = document.createElement(name); if (text !== undefined) e.textContent = text; if (type) e.className = type; return e; };
const time = us => us < 1000 ? `${us} µs` : us < 1e6 ? `${(us / 1e3).toFixed(us < 1e4 ? 1 : 0)} ms` : `${(us / 1e6).toFixed(us < 1e7 ? 2 : 1)} s`;
const bytes = n => { const u = ['B', 'KiB', 'MiB', 'GiB', 'TiB']; let i = 0; while (n >= 1024 && i < 4) { n /= 1024; i++; } return `${i ? n.toFixed(1) : n} ${u[i]}`; };
const label = t => `${data.experts[t.expert]} · ${t.task}${t.subject ? ' · ' + t.subject : ''}`;
const texts = tasks.map(t => `${label(t)} ${t.status}`.toLowerCase());
const shown = at => (!wanted || texts[at].includes(wanted)) && (!pathOnly || critical.has(at));

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ['hash', 'validate', 'compose', 'archive', 'sign', 'bad', 'ink', 'dim', 'line', 'mark', 'on'])
    colours[name] = style.getPropertyValue('--' + name).trim();
}

function draw() {
  const wide = canvas.clientWidth, high = AXIS + lanes * LANE, ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(high * ratio)) {
    canvas.width = Math.round(wide * ratio); canvas.height = Math.round(high * ratio);
  }
  canvas.style.height = high + 'px';
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, wide, high);
  const scale = (wide - LEFT) / (to - from), x = t => LEFT + (t - from) * scale;
  pen.font = '12px system-ui, sans-serif'; pen.textBaseline = 'middle';
  const raw = (to - from) / Math.max(2, wide / 110), ten = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(n => n * ten).find(n => n >= raw);
  for (let t = Math.ceil(from / step) * step; t <= to; t += step) {
    pen.fillStyle = colours.line; pen.fillRect(x(t), AXIS - 4, 1, high);
    pen.fillStyle = colours.dim; pen.fillText(time(Math.round(t)), x(t) + 3, 10);
  }
  pen.save(); pen.beginPath(); pen.rect(LEFT, AXIS, wide, high); pen.clip();
  byLane.forEach((lane, number) => {
    const y = AXIS + number * LANE + (LANE - BAR) / 2;
    let last = -1;
    for (let i = firstIn(lane, from); i < lane.length; i++) {
      const at = lane[i], t = tasks[at];
      if (t.start > to) break;
      const left = x(t.start), width = Math.max(1, x(t.end) - left);
      const strong = shown(at), marked = critical.has(at) || at === chosen || at === hover;
      // Of tasks narrower than a pixel one is drawn.
      if (width < 1.5 && Math.floor(left) === last && !marked) continue;
      last = Math.floor(left);
      pen.globalAlpha = strong ? (t.status === 'cached' || t.status === 'unchanged' ? 0.45 : 1) : 0.1;
      pen.fillStyle = t.status === 'failed' ? colours.bad : colours[t.task] || colours.dim;
      pen.fillRect(left, y, width > 3 ? width - 0.7 : width, BAR);
      if (critical.has(at)) { pen.fillStyle = colours.mark; pen.fillRect(left, y + BAR - 3, width, 3); }
      if (at === chosen || at === hover) { pen.globalAlpha = 1; pen.strokeStyle = colours.mark; pen.lineWidth = 2; pen.strokeRect(left, y, width, BAR); }
      if (width > 46 && strong) {
        pen.globalAlpha = 1; pen.fillStyle = t.status === 'cached' || t.status === 'unchanged' ? colours.ink : colours.on;
        const from = Math.max(left, LEFT), room = Math.floor((left + width - from - 8) / 6.6), text = label(t);
        if (room > 3) pen.fillText(text.length > room ? text.slice(0, room - 1) + '…' : text, from + 4, y + BAR / 2);
      }
    }
  });
  pen.restore(); pen.globalAlpha = 1; pen.fillStyle = colours.dim;
  for (let n = 0; n < lanes; n++) pen.fillText(String(n), 8, AXIS + n * LANE + LANE / 2);
}

/* Tasks of one thread do not overlap, so the ends are in order too. */
function firstIn(lane, t) {
  let low = 0, high = lane.length;
  while (low < high) { const mid = (low + high) >> 1; if (tasks[lane[mid]].end < t) low = mid + 1; else high = mid; }
  return low;
}

let waiting = false;
function redraw() { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; draw(); }); } }

function view(a, b) {
  const least = Math.min(20, total), width = Math.min(total, Math.max(least, b - a));
  from = Math.max(0, Math.min(a, total - width)); to = from + width; redraw();
}
function zoom(by, middle = (from + to) / 2) { view(middle - (middle - from) * by, middle + (to - middle) * by); }

function under(event) {
  const box = canvas.getBoundingClientRect(), lane = byLane[Math.floor((event.clientY - box.top - AXIS) / LANE)];
  if (!lane) return -1;
  const pixel = (to - from) / (box.width - LEFT), t = from + (event.clientX - box.left - LEFT) * pixel;
  const i = firstIn(lane, t - pixel * 2);
  return i < lane.length && tasks[lane[i]].start <= t + pixel * 2 ? lane[i] : -1;
}

function tell(at) {
  detail.replaceChildren();
  if (at < 0) { detail.append(make('span', 'Point at a task, or choose one, to see what it did and why. Wheel or + and − zoom, dragging or the arrow keys move, 0 shows all.', 'dim')); return; }
  const t = tasks[at];
  detail.append(make('b', label(t)), make('br'));
  const facts = [`${time(t.end - t.start)} on thread ${t.thread}, from ${time(t.start)}`, t.status];
  if (t.read) facts.push(`${bytes(t.read)} read`);
  if (t.made + t.reused) facts.push(`${t.reused} of ${t.made + t.reused} segments reused`);
  if (critical.has(at)) facts.push('on the critical path');
  detail.append(facts.join(' · '), make('br'));
  if (data.reasons[t.why]) detail.append(make('span', 'why: ' + data.reasons[t.why], 'dim'), make('br'));
  if (t.after.length) detail.append(make('span', `after ${t.after.length === 1 ? label(tasks[t.after[0]]) : t.after.length + ' tasks'}`, 'dim'));
}

canvas.addEventListener('wheel', event => {
  event.preventDefault();
  const box = canvas.getBoundingClientRect();
  zoom(event.deltaY < 0 ? 0.8 : 1.25, from + (event.clientX - box.left - LEFT) / (box.width - LEFT) * (to - from));
}, {passive: false});
let drag = null;
canvas.addEventListener('pointerdown', event => { drag = {x: event.clientX, from, to, moved: false}; canvas.setPointerCapture(event.pointerId); });
canvas.addEventListener('pointermove', event => {
  if (drag) {
    const by = (event.clientX - drag.x) * (drag.to - drag.from) / (canvas.clientWidth - LEFT);
    if (Math.abs(event.clientX - drag.x) > 3) drag.moved = true;
    if (drag.moved) { from = drag.from; to = drag.to; view(drag.from - by, drag.to - by); }
    return;
  }
  const at = under(event);
  if (at !== hover) { hover = at; tell(at < 0 ? chosen : at); redraw(); }
});
canvas.addEventListener('pointerup', event => { if (drag && !drag.moved) { chosen = under(event); tell(chosen); redraw(); } drag = null; });
canvas.addEventListener('pointercancel', () => { drag = null; });
canvas.addEventListener('pointerleave', () => { hover = -1; tell(chosen); redraw(); });
canvas.addEventListener('keydown', event => {
  const step = (to - from) / 8;
  const does = {ArrowLeft: () => view(from - step, to - step), ArrowRight: () => view(from + step, to + step), '+': () => zoom(0.8), '=': () => zoom(0.8), '-': () => zoom(1.25), '0': () => view(0, total)}[event.key];
  if (does) { event.preventDefault(); does(); }
});
document.getElementById('in').onclick = () => zoom(0.6);
document.getElementById('out').onclick = () => zoom(1.6);
document.getElementById('all').onclick = () => view(0, total);
const only = document.getElementById('only');
only.onclick = () => { pathOnly = !pathOnly; only.setAttribute('aria-pressed', pathOnly); redraw(); rows(true); };
find.oninput = () => { wanted = find.value.trim().toLowerCase(); redraw(); rows(true); };
document.getElementById('theme').onclick = () => {
  const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark'; readColours(); redraw();
};
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { readColours(); redraw(); });
new ResizeObserver(redraw).observe(canvas);

/* The same as a table, a hundred at a time. */
let next = 0;
function rows(anew) {
  if (anew) { next = 0; body.replaceChildren(); }
  for (let added = 0; next < tasks.length && added < 100; next++) {
    if (!shown(next)) continue;
    added++;
    const t = tasks[next], at = next, tr = make('tr'), name = make('td'), pick = make('button', label(t));
    pick.onclick = () => { chosen = at; const room = Math.max((t.end - t.start) * 4, total / 200); view(t.start - room, t.end + room); tell(at); canvas.scrollIntoView({block: 'center'}); };
    name.append(make('span', undefined, 'k ' + t.task), pick);
    tr.append(name, make('td', t.status, t.status), make('td', String(t.thread), 'n'), make('td', time(t.start), 'n'), make('td', time(t.end - t.start), 'n'), make('td', t.read ? bytes(t.read) : '', 'n'));
    body.append(tr);
  }
  while (next < tasks.length && !shown(next)) next++;
  document.getElementById('more').hidden = next >= tasks.length;
}
document.getElementById('more').onclick = () => rows(false);

/* Requirements: what is required stands left of what requires it. */
function graph() {
  const place = document.getElementById('graph'), edges = data.requires, names = [...new Set(edges.flat())].sort();
  if (!edges.length || names.length > 300) return;
  const needs = new Map(names.map(n => [n, edges.filter(e => e[0] === n).map(e => e[1])])), depth = new Map(names.map(n => [n, 0]));
  for (let round = 0; round < names.length; round++) {
    let moved = false;
    for (const [a, b] of edges) if (depth.get(a) <= depth.get(b) && depth.get(b) + 1 < names.length) { depth.set(a, depth.get(b) + 1); moved = true; }
    if (!moved) break;
  }
  const columns = [];
  names.forEach(n => (columns[depth.get(n)] ||= []).push(n));
  const width = Math.min(260, 40 + 7.4 * Math.max(...names.map(n => n.length))), gap = 70, high = 30, at = new Map();
  columns.forEach((column, c) => {
    const middle = n => { const rows = needs.get(n).map(m => at.get(m)?.y ?? 0); return rows.length ? rows.reduce((a, b) => a + b, 0) / rows.length : 0; };
    column.sort((a, b) => middle(a) - middle(b) || (a < b ? -1 : 1)).forEach((n, r) => at.set(n, {x: 4 + c * (width + gap), y: 4 + r * (high + 12)}));
  });
  const svg = (name, attributes) => { const e = document.createElementNS('http://www.w3.org/2000/svg', name); for (const k in attributes) e.setAttribute(k, attributes[k]); return e; };
  const all = [...at.values()], w = Math.max(...all.map(p => p.x)) + width + 8, h = Math.max(...all.map(p => p.y)) + high + 8;
  const picture = svg('svg', {viewBox: `0 0 ${w} ${h}`, width: w, height: h, role: 'img', 'aria-label': 'Requirements between experts; the list below says the same'});
  const marker = svg('marker', {id: 'tip', viewBox: '0 0 8 8', refX: 8, refY: 4, markerWidth: 7, markerHeight: 7, orient: 'auto'});
  marker.append(svg('path', {d: 'M0 0L8 4L0 8z'})); picture.append(marker);
  for (const [a, b] of edges) {
    const p = at.get(b), q = at.get(a), x1 = p.x + width, y1 = p.y + high / 2, x2 = q.x, y2 = q.y + high / 2;
    picture.append(svg('path', {d: `M${x1} ${y1}C${x1 + gap / 2} ${y1} ${x2 - gap / 2} ${y2} ${x2} ${y2}`, 'marker-end': 'url(#tip)'}));
  }
  for (const [n, p] of at) {
    const title = svg('title', {}); title.textContent = n;
    const box = svg('g', {}), text = svg('text', {x: p.x + 12, y: p.y + 20}), room = Math.floor((width - 24) / 7.8);
    text.textContent = n.length > room ? n.slice(0, room - 1) + '…' : n;
    box.append(title, svg('rect', {x: p.x, y: p.y, width, height: high, rx: 7}), text); picture.append(box);
  }
  place.replaceChildren(picture);
}

document.querySelectorAll('.script').forEach(e => { e.hidden = false; });
readColours(); tell(-1); draw(); rows(true); graph();
document.documentElement.dataset.ready = `${tasks.length} tasks`;
})();
