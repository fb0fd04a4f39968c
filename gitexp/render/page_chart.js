// Scales and axes: numbers in, SVG elements out. Nothing here knows of runs.

const SVG = "http://www.w3.org/2000/svg";

function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  node.append(...children);
  return node;
}

/** Returns [least, greatest] of the finite numbers; null without any. */
function extent(numbers) {
  let [low, high] = [Infinity, -Infinity];
  for (const number of numbers) {
    if (Number.isFinite(number)) [low, high] = [Math.min(low, number), Math.max(high, number)];
  }
  return low <= high ? [low, high] : null;
}

/** Returns a linear scale from numbers to pixels, with about so many ticks. */
function linearScale([low, high], [from, to], count) {
  const flat = low === high;
  const [a, b] = flat ? [low - (Math.abs(low) * 0.05 || 1), high + (Math.abs(high) * 0.05 || 1)]
    : [low, high];
  // Halves, so that the span of the greatest floats is finite.
  const place = (number) => from + ((number / 2 - a / 2) / (b / 2 - a / 2)) * (to - from);
  const ticks = linearTicks(a, b, count);
  return { place, ticks, low: a, high: b };
}

function linearTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999);
  if (!(step > 0) || !Number.isFinite(step)) return [low, high].map(plainTick);
  const decimals = Math.min(20, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  const plain = Math.max(Math.abs(low), Math.abs(high)) < 1e6 && decimals <= 6;
  const ticks = [];
  const first = Math.ceil(low / step - 1e-9);
  for (let i = 0; i <= 2 * count && (first + i) * step <= high + step * 1e-9; i += 1) {
    const value = (first + i) * step;
    const text = plain ? value.toFixed(decimals) : formatNumber(Number(value.toPrecision(12)));
    ticks.push({ value, text });
  }
  return ticks;
}

function plainTick(value) {
  return { value, text: formatNumber(value) };
}

/** Returns a logarithmic scale for numbers above zero; ticks at powers of ten, or finer. */
function logScale([low, high], range, count) {
  const inner = linearScale([Math.log10(low), Math.log10(high)], range, count);
  const decades = inner.high - inner.low;
  const finer = decades > count / 2 ? [1] : decades > 1 ? [1, 2, 5] : [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const every = Math.max(1, Math.ceil(decades / count));
  let ticks = [];
  for (let e = Math.floor(inner.low); e <= inner.high; e += 1) {
    if (e % every === 0) ticks.push(...finer.map((n) => plainTick(n * 10 ** e)));
  }
  ticks = ticks.filter(({ value }) =>
    Math.log10(value) >= inner.low - 1e-9 && Math.log10(value) <= inner.high + 1e-9);
  if (ticks.length < 2) ticks = linearTicks(10 ** inner.low, 10 ** inner.high, count);
  return { ...inner, ticks, place: (number) => inner.place(Math.log10(number)) };
}

/** Returns the path through points, interrupted where one cannot be drawn; "" without any. */
function linePath(xs, ys) {
  const parts = [];
  let pen = "M";
  for (let i = 0; i < xs.length; i += 1) {
    if (Number.isFinite(xs[i]) && Number.isFinite(ys[i])) {
      const lone = pen === "M" && !(Number.isFinite(xs[i + 1]) && Number.isFinite(ys[i + 1]));
      parts.push(`${pen}${xs[i].toFixed(1)} ${ys[i].toFixed(1)}${lone ? "h.01" : ""}`);
      pen = "L";
    } else pen = "M";
  }
  return parts.join("");
}

/** Returns the axes of a plot: lines across for y, ticks below for x, and their texts. */
function drawAxes(frame, x, y, xTitle) {
  const group = svg("g", { class: "axes" });
  for (const { value, text } of y.ticks) {
    const at = y.place(value).toFixed(1);
    group.append(svg("line", { x1: frame.left, x2: frame.right, y1: at, y2: at, class: "rule" }),
      svg("text", { x: frame.left - 8, y: at, dy: "0.32em", "text-anchor": "end" }, text));
  }
  for (const { value, text } of x.ticks) {
    const at = x.place(value).toFixed(1);
    group.append(
      svg("line", { x1: at, x2: at, y1: frame.bottom, y2: frame.bottom + 4, class: "base" }),
      svg("text", { x: at, y: frame.bottom + 17, "text-anchor": "middle" }, text));
  }
  group.append(
    svg("line", { x1: frame.left, x2: frame.right, y1: frame.bottom, y2: frame.bottom,
      class: "base" }),
    svg("text", { x: frame.right, y: frame.bottom + 33, "text-anchor": "end", class: "title" },
      xTitle));
  return group;
}
