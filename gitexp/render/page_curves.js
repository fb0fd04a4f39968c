// Curves of one metric for the selected runs, with a legend that reads out values.

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const PLOT_HEIGHT = 340;

/** Returns what is to be drawn: for each selected run with a curve, its numbers. */
function selectedSeries() {
  const series = [];
  for (const index of state.selected) {
    const curve = curveOf(index, state.metric);
    if (!curve || !curve.steps.length) continue;
    const began = Math.min(Date.parse(runs[index].started) || Infinity, curve.times[0]);
    const elapsed = curve.times.map((time) => (time - began) / 1000);
    series.push({ index, slot: slots.get(index), steps: curve.steps, elapsed,
      xs: state.x === "time" ? elapsed : curve.steps, ys: curve.values });
  }
  return series;
}

/** Returns [divisor, title, text of a place] of the x axis. */
function xAxis(series) {
  if (state.x === "step") return [1, "step", (x) => `step ${formatNumber(x)}`];
  const [, high] = extent(series.flatMap((one) => one.elapsed)) || [0, 0];
  const [divisor, unit] = UNITS.find(([size]) => high >= 2 * size) || [1, "s"];
  return [divisor, `time since the start (${unit})`, (x) => formatDuration(x)];
}

/** Returns the y scale, or null when nothing can be shown on it. */
function yScale(series, range) {
  const values = series.flatMap((one) => one.ys);
  const found = extent(state.log ? values.filter((value) => value > 0) : values);
  if (!found) return null;
  return (state.log ? logScale : linearScale)(found, range, 6);
}

function drawCurves(panel) {
  if (!curveMetrics.length) {
    panel.append(hint("This page includes no curves."));
    return;
  }
  if (!state.selected.length) {
    panel.append(hint("Select runs in the table to see their curves."));
    return;
  }
  const series = selectedSeries();
  const figure = element("figure", { className: "plot" });
  const plot = element("div", { className: "drawing" });
  const legend = drawLegend(series);
  figure.append(plot, legend.node);
  panel.append(curveControls(), figure);
  if (!series.length) {
    plot.append(hint("No selected run has a curve of this metric."));
    return;
  }
  if (!yScale(series, [1, 0])) {
    plot.append(hint("No value can be shown here: all are zero or less, or not finite."));
    return;
  }
  drawPlot(plot, series, legend);
  observeWidth(plot, () => drawPlot(plot, series, legend));
}

/** Draws anew whenever the width changes, until the plot leaves the document. */
function observeWidth(plot, draw) {
  let width = plot.clientWidth;
  const observer = new ResizeObserver(() => {
    if (!plot.isConnected) observer.disconnect();
    else if (plot.clientWidth !== width) {
      width = plot.clientWidth;
      draw();
    }
  });
  observer.observe(plot);
}

function curveControls() {
  const choices = (id, names) => element("select", { id }, ...names.map((name) =>
    element("option", { value: name, textContent: visible(name), selected: name === state[id] })));
  const metric = choices("metric", curveMetrics);
  metric.addEventListener("change", () => change({ metric: metric.value }));
  const x = choices("x", ["step", "time"]);
  x.addEventListener("change", () => change({ x: x.value }));
  const log = element("input", { type: "checkbox", id: "log", checked: state.log });
  log.addEventListener("change", () => change({ log: log.checked }));
  return element("div", { className: "bar" },
    element("label", {}, "Metric ", metric), element("label", {}, "over ", x),
    element("label", {}, log, " logarithmic"));
}

// The legend

/** Returns {node, read}: read(place) shows the values near a place on the x axis, or none. */
function drawLegend(series) {
  const at = element("th", { scope: "col", className: "number at" });
  const goal = goals.get(state.metric);
  const head = element("tr", {}, element("th", { scope: "col", textContent: "run" }),
    element("th", { scope: "col", className: "number", textContent: goal || "" }),
    element("th", { scope: "col", className: "number", textContent: "last" }), at);
  const cells = new Map();
  const rows = state.selected.map((index) => {
    const cell = element("td", { className: "number at" });
    cells.set(index, cell);
    return legendRow(index, cell, series.some((one) => one.index === index));
  });
  const node = element("div", { className: "legend" }, element("table", {},
    element("thead", {}, head), element("tbody", {}, ...rows)));
  const read = (title, nearest) => {
    at.textContent = title;
    for (const [index, cell] of cells) cell.textContent = nearest.get(index) || "";
  };
  return { node, read };
}

function legendRow(index, cell, hasCurve) {
  const summary = (runs[index].metrics || {})[state.metric] || {};
  const number = (value) => element("td", { className: "number",
    textContent: hasCurve ? formatValue(asNumber(value)) : "" });
  const row = element("tr", {}, element("td", { className: "name" }, swatch(index), runLink(index)),
    number(summary[goals.get(state.metric)]), number(summary.last), cell);
  if (!hasCurve) cell.textContent = "no curve";
  const strong = (on) => document.querySelectorAll(`.curve[data-run="${index}"]`)
    .forEach((line) => line.classList.toggle("strong", on));
  row.addEventListener("pointerenter", () => strong(true));
  row.addEventListener("pointerleave", () => strong(false));
  return row;
}

/** Returns a short line in the colour of a selected run. */
function swatch(index) {
  return svg("svg", { class: `swatch ${slotClass(slots.get(index))}`, viewBox: "0 0 20 10",
    "aria-hidden": "true" }, svg("line", { x1: 0, x2: 20, y1: 5, y2: 5, class: "curve" }));
}

function runLink(index) {
  const name = visible(String(runs[index].name).slice(0, MAX_CELL));
  const link = element("button", { type: "button", className: "link", textContent: name });
  link.addEventListener("click", () => showDetails(index));
  return link;
}

// The plot

function drawPlot(plot, series, legend) {
  const width = Math.max(280, plot.clientWidth);
  const [divisor, title, describe] = xAxis(series);
  const frame = { left: 64, right: width - 12, top: 10, bottom: PLOT_HEIGHT - 40 };
  const y = yScale(series, [frame.bottom, frame.top]);
  const widest = Math.max(...y.ticks.map((tick) => tick.text.length));
  frame.left = Math.max(40, widest * 7 + 14);
  const span = extent(series.flatMap((one) => one.xs)) || [0, 1];
  const x = linearScale(span.map((value) => value / divisor), [frame.left, frame.right],
    Math.max(2, Math.floor(width / 110)));
  const inner = { ...x, place: (value) => x.place(value / divisor) };
  const lines = series.map((one) => drawSeries(one, inner, y, frame));
  const cursor = svg("g", { class: "cursor" });
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${PLOT_HEIGHT}`, width, height: PLOT_HEIGHT,
    role: "img", tabindex: "0",
    "aria-label": `${visible(state.metric)} over ${state.x}, ${series.length} curves. ` +
      "The arrow keys read out values." },
  drawAxes(frame, x, y, title), ...lines, cursor);
  plot.replaceChildren(drawing, ...hiddenNote(series));
  readOut(drawing, cursor, { series, x: inner, y, frame, describe, legend });
}

function hiddenNote(series) {
  const count = series.flatMap((one) => one.ys).filter((value) => value <= 0).length;
  if (!state.log || !count) return [];
  const values = count === 1 ? "value" : "values";
  return [hint(`${count} ${values} of zero or less cannot be shown here.`)];
}

/** Returns the line of one run, with crosses at the edge where its values are not finite. */
function drawSeries(one, x, y, frame) {
  const xs = one.xs.map(x.place);
  const ys = one.ys.map((value) => (Number.isFinite(value) ? y.place(value) : NaN));
  const line = svg("path", { d: linePath(xs, ys), class: "curve" });
  line.dataset.run = one.index;
  const group = svg("g", { class: slotClass(one.slot) }, line);
  one.ys.forEach((value, i) => {
    if (Number.isFinite(value) || (i && !Number.isFinite(one.ys[i - 1]))) return;
    const edge = value === -Infinity ? frame.bottom - 5 : frame.top + 5;
    const cross = svg("path", { class: "cross",
      d: `M${(xs[i] - 3.5).toFixed(1)} ${edge - 3.5}l7 7m-7 0l7 -7` });
    cross.append(svg("title", {}, `${value} at step ${one.steps[i]}`));
    group.append(cross);
  });
  return group;
}

// Reading out values

/** Returns the number of the point of a series that is nearest to a place on the x axis. */
function nearestPoint(xs, place) {
  let nearest = 0;
  for (let i = 1; i < xs.length; i += 1) {
    if (Math.abs(xs[i] - place) < Math.abs(xs[nearest] - place)) nearest = i;
  }
  return nearest;
}

/** Lets pointer and arrow keys move a line over the plot; the legend says the values there. */
function readOut(drawing, cursor, view) {
  const { series, x, legend } = view;
  const all = [...new Set(series.flatMap((one) => one.xs))].sort((a, b) => a - b);
  let place = -1;
  const show = (next) => {
    place = Math.max(0, Math.min(all.length - 1, next));
    drawCursor(cursor, view, all[place]);
  };
  const hide = () => {
    place = -1;
    cursor.replaceChildren();
    legend.read("", new Map());
  };
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const at = (event.clientX - box.left) * (drawing.viewBox.baseVal.width / box.width);
    show(nearestPoint(all.map(x.place), at));
  });
  drawing.addEventListener("pointerleave", hide);
  drawing.addEventListener("blur", hide);
  drawing.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!move) return;
    event.preventDefault();
    show(place + move);
  });
}

function drawCursor(cursor, { series, x, y, frame, describe, legend }, place) {
  const at = x.place(place);
  const reach = (frame.right - frame.left) / 50;
  const found = new Map();
  cursor.replaceChildren(svg("line", { x1: at, x2: at, y1: frame.top, y2: frame.bottom }));
  for (const one of series) {
    const i = nearestPoint(one.xs, place);
    const [value, px] = [one.ys[i], x.place(one.xs[i])];
    if (Math.abs(px - at) > reach) continue;
    found.set(one.index, formatNumber(value));
    const py = Number.isFinite(value) ? y.place(value) : NaN;
    if (Number.isFinite(py)) {
      cursor.append(svg("circle", { cx: px, cy: py, r: 3.5, class: slotClass(one.slot) }));
    }
  }
  legend.read(describe(place), found);
}
