'use strict';
// Draws an explanation: graph, timeline, roofline plot and table show the same rows; pointing at a row in one
// of them marks it in all. Text from the checkpoint only ever goes through textContent.

const data = JSON.parse(document.getElementById('data').textContent);
const byId = (id) => document.getElementById(id);
const state = {step: data.steps[0], all: false, selected: null, sort: 'index', descending: false};

// --- elements and numbers ---

function element(tag, attributes = {}, ...children) {
  const isSvg = 'svg g rect line path circle text title'.split(' ').includes(tag);
  const made = isSvg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function scaled(value, unit = '') {
  const powers = ['', 'k', 'M', 'G', 'T', 'P'];
  let power = 0;
  while (value >= 999.5 && power + 1 < powers.length) value /= 1000, power++;
  const digits = power === 0 && Number.isInteger(value) ? 0 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${powers[power]}${unit}`.trim();
}
const time = (us) => us == null ? '–' : us < 1000 ? `${us.toFixed(1)} µs` : `${(us / 1000).toFixed(2)} ms`;
const percent = (share) => share == null ? '–' : `${Math.round(100 * share)} %`;
const sum = (rows, key) => rows.some((row) => row[key] != null) ? rows.reduce((s, row) => s + (row[key] ?? 0), 0) : null;

// One colour an op, the same in every step; the ops that take the most time have the clearest ones.
const colours = new Map();
for (const step of data.steps) for (const total of step.totals)
  if (!colours.has(total.op)) colours.set(total.op, `var(--c${Math.min(colours.size, 8)})`);
const colour = (row) => colours.get(row.op);

// --- rows, folded or not ---

/** What the graph and the table show: rows, each with those that it stands for. */
function visibleRows(step) {
  const groups = new Map();
  for (const row of step.rows) {
    const key = state.all ? row.index : row.representative;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(row);
  }
  return [...groups.values()].map((members) => {
    const measured = sum(members, 'measured_us');
    const shares = members.every((row) => row.share != null);
    return {...members[0], members, measured_us: measured, predicted_us: sum(members, 'predicted_us'),
            bytes: sum(members, 'bytes'), flops: sum(members, 'flops'),
            share: shares ? members.length / members.reduce((s, row) => s + 1 / row.share, 0) : null};
  });
}

function layerName(members) {
  if (members[0].layer < 0) return '';
  if (members.length === 1) return `layer ${members[0].layer}`;
  const layers = members.map((row) => row.layer);
  const isRange = layers.every((layer, i) => layer === layers[0] + i);
  return `layers ${isRange ? `${layers[0]}–${layers.at(-1)}` : layers.join(', ')} × ${layers.length}`;
}

const key = (row) => state.all ? row.index : row.representative;

/** Makes an element stand for a row: it is marked with it, and marks it. */
function standsFor(made, row) {
  made.dataset.key = key(row);
  made.addEventListener('mouseenter', () => mark(row));
  made.addEventListener('mouseleave', () => mark(state.selected));
  made.addEventListener('click', () => { state.selected = row; mark(row); history.replaceState(null, '', `#${state.step.step}/${row.index}`); });
  return made;
}

function mark(row) {
  for (const marked of document.querySelectorAll('.on')) marked.classList.remove('on');
  for (const view of ['timeline', 'roofline']) byId(view).classList.toggle('dim', row != null);
  if (row != null)
    for (const made of document.querySelectorAll(`[data-key="${key(row)}"], [data-ends~="${key(row)}"]`)) made.classList.add('on');
  showDetails(row);
}

// --- views ---

function showHeader(step) {
  const what = step.step === 'decode'
      ? `Decode step: ${step.sequences} sequence${step.sequences === 1 ? '' : 's'} at a context of ${step.context}`
      : `Prefill step: ${step.tokens} tokens${step.context > step.tokens ? `, the last of a prompt of ${step.context}` : ''}`;
  byId('title').textContent = what;
  const devices = data.devices.map((device) => `${device.name}: ${device.description}`).join(' · ');
  byId('subtitle').textContent =
      `${data.model} · ${data.architecture}, ${data.layers} layers, ${scaled(data.parameters)} parameters · ${devices}`;
  byId('tabs').replaceChildren(...data.steps.map((each) => {
    const button = element('button', {'aria-pressed': each === step}, each.step);
    button.addEventListener('click', () => { state.step = each; state.selected = null; show(); });
    return button;
  }));
}

function showTiles(step) {
  const tiles = [
    [step.step_us == null ? time(step.predicted_us) : time(step.step_us),
     step.step_us == null ? 'predicted, not measured' : 'the real step'],
    [time(step.measured_us), `${step.launches} launches, each alone`],
    [`${step.launches_before} → ${step.launches}`, 'launches, before and after fusion'],
    [step.prediction_error == null ? '–' : percent(step.prediction_error),
     step.prediction_error == null ? 'no prediction to compare'
         : `median error of the prediction (${step.prediction_error_rows} launches, 90 % of the time)`],
    ...step.memory.filter((memory) => memory.live_bytes > 0).map((memory) =>
        [`${(memory.arena_bytes / 1024).toFixed(0)} KiB`,
         `arena on ${memory.device}; ${(memory.live_bytes / 1024).toFixed(0)} KiB alive at once`]),
  ];
  byId('tiles').replaceChildren(...tiles.map(([value, name]) =>
      element('div', {class: 'tile'}, element('b', {}, value), element('span', {}, name))));
}

/** Ticks at 1, 2 or 5 times a power of ten, about `count` of them. */
function ticks(end, count) {
  const raw = end / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  return Array.from({length: Math.floor(end / step) + 1}, (_, i) => i * step);
}

function showTimeline(step) {
  const isMeasured = step.measured_us != null, isPredicted = step.predicted_us != null;
  const width = (row) => isMeasured ? row.measured_us : isPredicted ? row.predicted_us ?? 0 : 1;
  byId('timeline-note').textContent = isMeasured ? 'launches in order, each as long as it was measured alone'
      : isPredicted ? 'launches in order, each as long as predicted' : 'launches in order; no times were taken';
  const lanes = [...new Set(step.rows.map((row) => row.device))];
  const total = step.rows.reduce((s, row) => s + width(row), 0) || 1;
  const left = lanes.length > 1 ? 64 : 4, inner = 1360 - left - 8, lane = 40;
  const bottom = lanes.length * lane + 6;
  const x = (us) => left + us / total * inner;
  const svg = element('svg', {viewBox: `0 0 1360 ${bottom + 38}`, width: 1360});
  for (const tick of isMeasured || isPredicted ? ticks(total, 10) : []) {
    svg.append(element('line', {class: 'grid', x1: x(tick), x2: x(tick), y1: 0, y2: bottom}),
               element('text', {class: 'muted', x: x(tick), y: bottom + 14, 'text-anchor': x(tick) > 1310 ? 'end' : 'start'}, time(tick).replace('.0 µs', ' µs')));
  }
  let at = 0, layerStart = 0, layer = -1;
  const closeLayer = () => {
    if (layer >= 0 && x(at) - x(layerStart) > 3) {
      svg.append(element('line', {class: 'axis', x1: x(layerStart) + 1, x2: x(at) - 1, y1: bottom + 21, y2: bottom + 21}));
      if (x(at) - x(layerStart) > 42)
        svg.append(element('text', {class: 'muted', x: (x(layerStart) + x(at)) / 2, y: bottom + 34, 'text-anchor': 'middle'}, `layer ${layer}`));
    }
    layerStart = at;
  };
  for (const row of step.rows) {
    if (row.layer !== layer) closeLayer(), layer = row.layer;
    const bar = element('rect', {class: 'bar', x: x(at), width: Math.max(0.75, x(at + width(row)) - x(at)), y: lanes.indexOf(row.device) * lane + 4,
                                 height: lane - 6, rx: 2, fill: colour(row)});
    svg.append(standsFor(bar, row));
    at += width(row);
  }
  closeLayer();
  if (lanes.length > 1)
    lanes.forEach((name, i) => svg.append(element('text', {x: 2, y: i * lane + 26}, name)));
  byId('timeline').replaceChildren(svg);
  byId('legend').replaceChildren(...step.totals.map((part) => element('span', {},
      element('i', {style: `background: ${colours.get(part.op)}`}),
      part.op + (isMeasured ? `  ${percent(part.measured_us / step.measured_us)}` : ''))));
}

/** Ranks by longest path; edges that lead back to a folded layer are left out. */
function layOut(rows) {
  const nodes = new Map(rows.map((row) => [key(row), {row, rank: 0, inputs: []}]));
  for (const node of nodes.values()) {
    for (const input of node.row.inputs) {
      const producer = state.step.rows[input];
      const from = nodes.get(key(producer));
      const isLoop = producer.layer !== node.row.layer && from.row.layer === node.row.layer && producer.layer >= 0;
      if (from.row.index >= node.row.index || isLoop) continue;
      node.inputs.push(from);
      node.rank = Math.max(node.rank, from.rank + 1);
    }
  }
  // A folded layer's results leave it from the last of its like.
  for (const row of state.step.rows) {
    const node = nodes.get(key(row));
    for (const input of row.inputs) {
      const from = nodes.get(key(state.step.rows[input]));
      if (from.row.index < node.row.index && from.row.layer !== node.row.layer && !node.inputs.includes(from)) {
        node.inputs.push(from);
      }
    }
  }
  for (const node of nodes.values()) for (const from of node.inputs) node.rank = Math.max(node.rank, from.rank + 1);
  return [...nodes.values()];
}

function showGraph(step) {
  const nodes = layOut(visibleRows(step));
  const width = 208, height = 50, gapX = 16, gapY = 24;
  const ranks = [];
  for (const node of nodes) (ranks[node.rank] ??= []).push(node);
  const widest = Math.max(1, ...ranks.map((rank) => rank?.length ?? 0));
  const centre = 44 + widest * (width + gapX) / 2;
  let y = 30, layer = -1;
  for (const rank of ranks) {
    if (!rank) continue;
    const inLayer = Math.max(...rank.map((node) => node.row.layer));
    if (inLayer !== layer) y += 24, layer = inLayer;
    rank.forEach((node, i) => {
      node.x = centre + (i - (rank.length - 1) / 2) * (width + gapX);
      node.y = y;
    });
    y += height + gapY;
  }
  const svg = element('svg', {width: 2 * centre, height: y + 50, viewBox: `0 0 ${2 * centre} ${y + 50}`});
  const names = [];
  for (const each of new Set(nodes.map((node) => node.row.layer))) {
    const members = nodes.filter((node) => node.row.layer === each);
    if (each < 0) continue;
    const top = Math.min(...members.map((node) => node.y)) - 28;
    const left = Math.min(...members.map((node) => node.x)) - width / 2 - 18;
    svg.append(element('rect', {class: 'layer', x: left, y: top, rx: 8, width: 2 * (centre - left),
                                height: Math.max(...members.map((node) => node.y)) + height + 10 - top}));
    names.push(element('text', {class: 'muted name', x: left + 10, y: top + 17}, layerName(members[0].row.members)));
  }
  for (const node of nodes) for (const from of node.inputs) svg.append(edge(from, node, height, width));
  for (const output of step.outputs) {
    const from = nodes.find((node) => output.row >= 0 && key(step.rows[output.row]) === key(node.row));
    if (!from) continue;
    svg.append(element('path', {class: 'edge', d: `M${from.x},${from.y + height} V${y + 6}`}),
               element('rect', {class: 'pill', x: from.x - 45, y: y + 6, width: 90, height: 26, rx: 13}),
               element('text', {x: from.x, y: y + 23, 'text-anchor': 'middle'}, output.name));
  }
  svg.append(...names);
  for (const node of nodes) svg.append(drawNode(node, width, height));
  byId('graph').replaceChildren(svg);
}

function edge(from, to, height, width) {
  const x1 = from.x, y1 = from.y + height, x2 = to.x, y2 = to.y;
  const span = to.rank - from.rank, middle = (y1 + y2) / 2;
  // Long edges bow around what lies between: from outside the layers on the left, else on the right.
  const bow = (width / 2 + 12 + Math.min(28, 6 * span)) * (from.row.layer < 0 && to.row.layer >= 0 && from.x <= to.x ? -1 : 1);
  const path = span === 1 ? `M${x1},${y1} C${x1},${middle} ${x2},${middle} ${x2},${y2}`
      : `M${x1},${y1} C${x1},${y1 + 18} ${x2 + bow},${y1} ${x2 + bow},${y1 + 34} V${y2 - 34} C${x2 + bow},${y2 - 4} ${x2},${y2 - 18} ${x2},${y2}`;
  return element('path', {class: 'edge', d: path, 'data-ends': `${key(from.row)} ${key(to.row)}`});
}

function drawNode({row, x, y}, width, height) {
  const left = x - width / 2, shown = Math.min(1, row.share ?? 0);
  const details = `${row.shape}  ${row.kernel}`;
  return standsFor(element('g', {class: 'node'},
      element('rect', {class: 'box', x: left, y, width, height, rx: 7}),
      element('rect', {x: left + 1, y: y + 6, width: 4, height: height - 12, rx: 2, fill: colour(row)}),
      element('text', {class: 'op', x: left + 13, y: y + 19}, row.op),
      element('text', {x: left + width - 10, y: y + 19, 'text-anchor': 'end'}, time(row.measured_us ?? row.predicted_us)),
      element('text', {class: 'muted', x: left + 13, y: y + 35}, details.length > 31 ? details.slice(0, 30) + '…' : details),
      element('rect', {class: 'track', x: left + 13, y: y + height - 8, width: width - 26, height: 3, rx: 1.5}),
      element('rect', {x: left + 13, y: y + height - 8, width: shown * (width - 26), height: 3, rx: 1.5, fill: colour(row)})), row);
}

function showRoofline(step) {
  const devices = data.devices.filter((device) => device.read_gbps > 0 && device.f32_gflops > 0);
  const rows = step.rows.filter((row) => row.measured_us > 0 && row.bytes > 0 && !row.transfer);
  if (!devices.length || !rows.length) {
    byId('roofline').replaceChildren(element('p', {class: 'muted'}, 'Nothing was measured (--no-profile).'));
    return;
  }
  // Launches without arithmetic stand at the left edge, as high above or below the memory roof as they are.
  const counted = rows.filter((row) => row.flops > 0).map((row) => row.flops / row.bytes);
  const ridges = devices.map((device) => device.f32_gflops / device.read_gbps);
  const xFrom = Math.floor(Math.log10(Math.min(...counted, 0.1)) - 0.3), xTo = Math.ceil(Math.log10(Math.max(...counted, ...ridges)) + 0.3);
  const place = (row) => {
    const intensity = row.flops > 0 ? row.flops / row.bytes : 10 ** xFrom;
    return [Math.log10(intensity), Math.log10(row.bytes * intensity / row.measured_us / 1e3)];
  };
  const heights = rows.map((row) => place(row)[1]);
  const yTo = Math.ceil(Math.max(...heights, ...devices.map((device) => Math.log10(device.f32_gflops))) + 0.15);
  const yFrom = Math.floor(Math.min(...heights) - 0.1);
  const [left, right, top, bottom] = [58, 708, 10, 368];
  const x = (log) => left + (log - xFrom) / (xTo - xFrom) * (right - left);
  const y = (log) => bottom - (log - yFrom) / (yTo - yFrom) * (bottom - top);
  const svg = element('svg', {viewBox: '0 0 720 412', width: 720});
  const power = (log) => log >= 0 && log < 6 ? String(10 ** log) : log < 0 && log > -4 ? (10 ** log).toFixed(-log) : `1e${log}`;
  for (let log = xFrom; log <= xTo; log++)
    svg.append(element('line', {class: 'grid', x1: x(log), x2: x(log), y1: top, y2: bottom}),
               element('text', {class: 'muted', x: x(log), y: bottom + 16, 'text-anchor': 'middle'}, power(log)));
  for (let log = yFrom; log <= yTo; log++)
    svg.append(element('line', {class: 'grid', x1: left, x2: right, y1: y(log), y2: y(log)}),
               element('text', {class: 'muted', x: left - 8, y: y(log) + 4, 'text-anchor': 'end'}, power(log)));
  svg.append(element('text', {class: 'muted', x: (left + right) / 2, y: bottom + 36, 'text-anchor': 'middle'}, 'operations per byte'),
             element('text', {class: 'muted', transform: `translate(12 ${(top + bottom) / 2}) rotate(-90)`, 'text-anchor': 'middle'}, 'GFLOP/s'));
  for (const device of devices) {
    const memory = Math.log10(device.read_gbps), compute = Math.log10(device.f32_gflops);
    // From where the memory roof enters the plot.
    const enters = Math.max(xFrom, yFrom - memory);
    svg.append(element('path', {class: 'roof', d: `M${x(enters)},${y(enters + memory)} L${x(compute - memory)},${y(compute)} H${right}`}),
               element('text', {class: 'muted', x: right, y: y(compute) - 6, 'text-anchor': 'end'}, `${device.name} ${device.f32_gflops.toFixed(0)} GFLOP/s`));
    const half = (enters + compute - memory) / 2;
    const slope = Math.atan2(y(half + memory + 1) - y(half + memory), x(half + 1) - x(half)) * 180 / Math.PI;
    svg.append(element('text', {class: 'muted', 'text-anchor': 'middle', transform: `translate(${x(half) - 6} ${y(half + memory) - 6}) rotate(${slope})`},
                       `${device.name} ${device.read_gbps.toFixed(1)} GB/s`));
  }
  const longest = Math.max(...rows.map((row) => row.measured_us));
  for (const row of rows.toSorted((a, b) => b.measured_us - a.measured_us)) {
    const [intensity, rate] = place(row);
    const point = element('circle', {class: 'point', cx: x(intensity), cy: y(rate), r: 3 + 7 * Math.sqrt(row.measured_us / longest), fill: colour(row)});
    svg.append(standsFor(point, row));
  }
  const note = 'A point\'s size is its time. ' + (rows.some((row) => row.limit === 'memory' && row.share > 1)
      ? 'Above the memory roof: a cache holds what the launch reads; the roof is memory\'s.' : '');
  byId('roofline').replaceChildren(svg, element('p', {class: 'muted'}, note));
}

function showDetails(row) {
  const card = byId('details');
  if (row == null) {
    card.replaceChildren(element('h2', {}, 'A launch'), element('p', {class: 'muted'}, 'Point at one to see it, click to keep it.'));
    return;
  }
  const like = state.step.rows.filter((other) => key(other) === key(row));
  const entries = [
    ['output', row.shape + (row.type === row.shape ? '' : `  (${row.type})`)], ['where', [layerName([row]), row.label].filter(Boolean).join(', ')],
    ['runs on', `${row.device}, kernel ${row.kernel}`], ['why', row.reason], ['attributes', row.attributes],
    ['reads', [...row.inputs.map((input) => `#${input} ${state.step.rows[input].op}`), ...row.reads].join(', ')],
    ['work', `${scaled(row.bytes, 'B')}, ${scaled(row.flops, 'flop')}`],
    ['time', `${time(row.measured_us)} measured, ${time(row.predicted_us)} predicted`],
    ['limit', row.share == null ? '' : `${percent(row.share)} of ${row.limit === 'memory' ? 'memory bandwidth' : 'the arithmetic peak'}`],
    ['all alike', like.length < 2 ? '' : `${like.length} launches, ${time(sum(like, 'measured_us'))} together`],
  ].filter(([, value]) => value);
  card.replaceChildren(element('h2', {}, `#${row.index} ${row.op}`),
                       element('dl', {}, ...entries.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)])));
}

const columns = [
  ['#', 'index', (row) => row.index, true], ['op', 'op', (row) => row.op], ['layer', 'layer', (row) => layerName(row.members).replace(/layers? /, '')],
  ['output', 'shape', (row) => row.shape], ['device', 'device', (row) => row.device], ['kernel', 'kernel', (row) => row.kernel],
  ['bytes', 'bytes', (row) => scaled(row.bytes), true], ['flops', 'flops', (row) => scaled(row.flops), true],
  ['predicted', 'predicted_us', (row) => time(row.predicted_us), true], ['measured', 'measured_us', (row) => time(row.measured_us), true],
  ['share of limit', 'share', (row) => row.share == null ? '–' : `${percent(row.share)} ${row.limit === 'memory' ? 'mem' : 'alu'}`, true],
  ['why', 'reason', (row) => row.reason], ['label', 'label', (row) => row.label],
];

function showTable(step) {
  const order = (a, b) => a == null ? -1 : b == null ? 1 : typeof a === 'number' ? a - b : String(a).localeCompare(String(b));
  const rows = visibleRows(step).sort((a, b) => (state.descending ? -1 : 1) * order(a[state.sort], b[state.sort]));
  const head = columns.map(([name, field, , isNumber]) => {
    const cell = element('th', isNumber ? {class: 'number'} : {}, name + (state.sort === field ? (state.descending ? ' ↓' : ' ↑') : ''));
    cell.addEventListener('click', () => {
      state.descending = state.sort === field ? !state.descending : Boolean(isNumber) && field !== 'index';
      state.sort = field;
      showTable(step);
      mark(state.selected);
    });
    return cell;
  });
  const body = rows.map((row) => standsFor(element('tr', {}, ...columns.map(([, field, text, isNumber]) => {
    const kind = isNumber ? 'number' : field === 'reason' || field === 'label' ? 'wide' : '';
    const cell = element('td', {class: kind}, text(row));
    if (field === 'op') cell.prepend(element('i', {style: `background: ${colour(row)}`}));
    return cell;
  })), row));
  byId('table').replaceChildren(element('thead', {}, element('tr', {}, ...head)), element('tbody', {}, ...body));
  byId('table-note').textContent = state.all ? 'click a heading to sort' : 'equal layers are one row with their sums; click a heading to sort';
}

function fillTable(id, head, rows) {
  const line = (tag, cells) => element('tr', {}, ...cells.map((cell, i) => element(tag, i ? {class: 'number'} : {}, cell)));
  byId(id).replaceChildren(element('thead', {}, line('th', head)), element('tbody', {}, ...rows.map((row) => line('td', row))));
}

function showRest(step) {
  fillTable('totals', ['op', 'launches', 'bytes', 'flops', 'predicted', 'measured', 'of the time'], step.totals.map((total) =>
      [total.op, total.launches, scaled(total.bytes), scaled(total.flops), time(total.predicted_us), time(total.measured_us),
       percent(step.measured_us ? total.measured_us / step.measured_us : null)]));
  fillTable('passes', ['pass', 'rewrites', 'nodes before', 'nodes after', 'took'], step.passes.map((pass) =>
      pass.ran ? [pass.name, pass.rewrites, pass.nodes_before, pass.nodes_after, time(pass.microseconds)] : [pass.name, 'off', '', '', '']));
  byId('notes').replaceChildren(element('h2', {}, 'Notes'), element('ul', {}, ...[
    ...step.notes, step.calibration ? `Predictions come from calibration ${step.calibration}.` : 'The devices are not calibrated.',
    'Bytes count each operand once, flops two a multiply-add; a launch measured alone also pays for its own submission.',
  ].map((note) => element('li', {}, note))));
  byId('before').textContent = step.graph_before;
  byId('after').textContent = step.graph_after;
}

function show() {
  const step = state.step;
  for (const view of [showHeader, showTiles, showTimeline, showGraph, showRoofline, showTable, showRest]) view(step);
  mark(state.selected);
}

// "#decode/12" names a step and a row of it.
const [name, row] = decodeURIComponent(location.hash.slice(1)).split('/');
state.step = data.steps.find((step) => step.step === name) ?? data.steps[0];
state.selected = row === undefined ? null : state.step.rows[Number(row)] ?? null;
byId('all').addEventListener('change', (event) => { state.all = event.target.checked; show(); });
show();
