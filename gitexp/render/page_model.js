// The data, and the columns that are made of it. A column holds one value for each run, in the
// order of the data; undefined where a run has none.

const data = JSON.parse(document.getElementById("data").textContent);
const runs = data.runs;
const goals = new Map(Object.entries(data.goals));

const NON_FINITE = new Map([["NaN", NaN], ["Infinity", Infinity], ["-Infinity", -Infinity]]);
const UNSAFE = new RegExp(
  "[\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f" +
  "\\ud800-\\udfff\\ufeff\\ufff9-\\ufffb\\u{e0000}-\\u{e007f}]", "gu");
const ESCAPES = new Map([["\t", "\\t"], ["\n", "\\n"], ["\r", "\\r"], ["\u001b", "\\e"]]);
const MAX_CELL = 160;
const DIGITS = 6;

// Values

/** Returns the number that a JSON value stands for; undefined if it is none. */
function asNumber(value) {
  return typeof value === "number" ? value : NON_FINITE.get(value);
}

/** Returns a text with control characters, and marks that reorder or hide text, made visible. */
function visible(text) {
  return text.replace(UNSAFE, (character) => {
    const code = character.codePointAt(0);
    const digits = code.toString(16);
    return ESCAPES.get(character) ||
      (code <= 0xff ? `\\x${digits.padStart(2, "0")}` : `\\u${digits.padStart(4, "0")}`);
  });
}

/** Returns a text of several lines, each made visible; line ends and tabs stay. */
function visibleLines(text) {
  return text.split(/([\n\t])/).map((part, i) => (i % 2 ? part : visible(part))).join("");
}

/** Returns a number with at most six significant digits, without trailing zeros. */
function formatNumber(number) {
  const size = Math.abs(number);
  if (!Number.isFinite(number) || (Number.isInteger(number) && size < 1e15)) return String(number);
  if (size >= 1e5 && size < 1e15) return String(Math.round(number));
  if (size >= 1e-4 && size < 1e5) return String(Number(number.toPrecision(DIGITS)));
  return number.toExponential(DIGITS - 1).replace(/\.?0+e/, "e");
}

/** Returns any JSON value as one line of text. */
function formatValue(value) {
  if (value === undefined) return "";
  if (typeof value === "number") return formatNumber(value);
  return visible(typeof value === "string" ? value : JSON.stringify(value));
}

function two(number) {
  return String(number).padStart(2, "0");
}

/** Returns a time in the reader's zone, to the minute or the second; text that is no time as is. */
function formatTime(text, seconds = false) {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) return visible(String(text));
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}`;
  return `${day} ${clock}${seconds ? `:${two(time.getSeconds())}` : ""}`;
}

/** Returns seconds as 0.35 s, 42.1 s, 3:07 or 12:03:07. */
function formatDuration(seconds) {
  if (!Number.isFinite(seconds)) return formatValue(seconds);
  if (seconds < 59.95) return `${seconds < 1 ? formatNumber(seconds) : seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const rest = `${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return whole < 3600 ? rest.replace(/^0/, "") : `${Math.floor(whole / 3600)}:${rest}`;
}

function formatSize(bytes) {
  const unit = ["B", "KiB", "MiB", "GiB"][Math.min(3, Math.floor(Math.log2(bytes || 1) / 10))];
  const value = bytes / 1024 ** ["B", "KiB", "MiB", "GiB"].indexOf(unit);
  return unit === "B" ? `${value} B` : `${value.toFixed(1)} ${unit}`;
}

/** Returns the beginning of an id, as git abbreviates it. */
function shortId(id) {
  return id.slice(0, 10);
}

/** Calls add with the dotted path of each leaf; empty objects are leaves. */
function flatten(value, prefix, add) {
  const inner = value !== null && typeof value === "object" && !Array.isArray(value);
  const entries = inner ? Object.entries(value) : [];
  if (!entries.length) add(prefix, value);
  for (const [key, item] of entries) flatten(item, prefix ? `${prefix}.${key}` : key, add);
}

/** Returns how to show the numbers of one column: all with the same number of decimals. */
function numberFormat(values) {
  const sizes = values.map(asNumber).filter((n) => Number.isFinite(n) && n !== 0).map(Math.abs);
  const least = sizes.reduce((a, b) => Math.min(a, b), Infinity);
  const greatest = sizes.reduce((a, b) => Math.max(a, b), 0);
  if (!sizes.length || greatest >= 1e6 || least < 1e-4 || greatest / least > 1e4) {
    return formatNumber;
  }
  const room = Math.max(0, DIGITS - 1 - Math.floor(Math.log10(greatest)));
  const used = sizes.reduce((most, n) => {
    const text = String(Number(n.toFixed(room)));
    return Math.max(most, text.includes(".") ? text.length - text.indexOf(".") - 1 : 0);
  }, 0);
  return (number) => (Number.isFinite(number) ? number.toFixed(used) : String(number));
}

// Columns

/**
 * Returns a column.
 *
 * kind: "text", "number", "time", "duration", "status" or "list". name: the full path by which
 * a filter finds it. note: what is said of it beside its label.
 */
function makeColumn(key, group, values, extra = {}) {
  const column = { key, group, values, name: key, label: key, kind: "text", note: "", ...extra };
  const known = values.filter((value) => value !== undefined);
  if (column.kind === "text" && known.length && known.every((v) => asNumber(v) !== undefined)) {
    column.kind = "number";
  }
  column.numeric = column.kind === "number" || column.kind === "duration";
  return column;
}

/** Returns whether the runs of these indexes differ in a column. */
function varies(column, indexes) {
  const first = JSON.stringify(column.values[indexes[0]]);
  return indexes.some((index) => JSON.stringify(column.values[index]) !== first);
}

/** Returns the text of a column's cell for the run of that index. */
function cellText(column, index) {
  const value = column.values[index];
  if (value === undefined) return "";
  if (column.kind === "time") return formatTime(value);
  if (column.kind === "duration") return formatDuration(value);
  if (column.kind === "list") return value.map((item) => formatValue(item)).join(", ");
  if (column.kind !== "number") return formatValue(value);
  // Parameters are shown as they were given; measurements are lined up.
  if (!column.format) {
    column.format = column.group === "parameters" ? formatNumber : numberFormat(column.values);
  }
  return column.format(asNumber(value));
}

function commitOf(run) {
  const head = run.git && run.git.head;
  return head ? shortId(head) + (run.git.dirty ? " + changes" : "") : undefined;
}

function aboutColumns() {
  const column = (key, get, extra) => makeColumn(key, "about", runs.map(get), extra);
  return [
    column("name", (run) => run.name),
    column("status", (run) => run.status, { kind: "status" }),
    column("started", (run) => run.started, { kind: "time" }),
    column("duration", (run) => run.duration, { kind: "duration", note: "h:m:s" }),
    column("verdict", (run) => run.verdict),
    column("tags", (run) => run.tags, { kind: "list" }),
    column("family", (run) => run.family),
    column("run", (run) => shortId(run.run), { name: "id", label: "id" }),
    column("commit", commitOf),
    column("branch", (run) => (run.git && run.git.branch) || undefined),
    column("by", (run) => run.by),
    column("seed", (run) => run.seed),
    column("exit_code", (run) => run.exit_code, { label: "exit code" }),
    column("error", (run) => run.error && `${run.error.type}: ${run.error.message}`),
    column("calls", (run) => run.calls),
    column("host", (run) => run.host),
    column("python", (run) => run.python),
    column("environment", (run) => run.environment && shortId(run.environment)),
    column("inputs", (run) => run.inputs && run.inputs.map((i) => `${i.path} ${shortId(i.digest)}`),
      { kind: "list" }),
    column("command", (run) => run.command && run.command.join(" ")),
    column("cwd", (run) => run.cwd, { label: "folder" }),
    column("parent", (run) => run.parent && shortId(run.parent)),
    column("external_id", (run) => run.external_id, { label: "external id" }),
    column("description", (run) => run.description),
    column("hypothesis", (run) => run.hypothesis),
  ];
}

/** Returns the columns of a tree of values, one for each leaf that any run has. */
function treeColumns(group, prefix, get) {
  const found = new Map();
  runs.forEach((run, index) => {
    const tree = get(run);
    if (tree === undefined || tree === null) return;
    flatten(tree, prefix, (path, value) => {
      if (!found.has(path)) found.set(path, new Array(runs.length).fill(undefined));
      found.get(path)[index] = value === null ? undefined : value;
    });
  });
  return [...found].map(([path, values]) => makeColumn(path, group, values, {
    label: path.slice(prefix.length + 1) || path,
  }));
}

const STATISTICS = [
  { key: "best", get: (summary, goal) => summary[goal] },
  { key: "last", get: (summary) => summary.last },
  { key: "mean", get: (summary) => summary.mean },
  { key: "step", get: (summary, goal) => summary[`step_of_${goal}`] },
  { key: "count", get: (summary) => summary.count },
];

/** Returns five columns for each metric: its best value and others; best only with a goal. */
function metricColumns() {
  const found = new Map();
  runs.forEach((run, index) => {
    for (const [path, summary] of Object.entries(run.metrics || {})) {
      if (!found.has(path)) found.set(path, new Array(runs.length).fill(undefined));
      found.get(path)[index] = summary;
    }
  });
  const columns = [];
  for (const [path, summaries] of found) {
    const goal = goals.get(path);
    for (const statistic of STATISTICS) {
      if (!goal && (statistic.key === "best" || statistic.key === "step")) continue;
      const values = summaries.map((summary) => summary && statistic.get(summary, goal));
      const name = { best: goal, step: "best at step", count: "values" }[statistic.key];
      columns.push(makeColumn(`${statistic.key}:${path}`, "metrics", values, {
        name: path,
        label: metricLabel(path, found),
        note: name || statistic.key,
        statistic: statistic.key,
        goal: ["best", "last", "mean"].includes(statistic.key) ? goal : undefined,
        kind: "number",
      }));
    }
  }
  return columns;
}

/** Returns the path of a metric without "metrics.", where that names no other one. */
function metricLabel(path, all) {
  const rest = path.replace(/^metrics\./, "");
  return all.has(rest) ? path : rest;
}

const columns = [
  ...aboutColumns(),
  ...metricColumns(),
  ...treeColumns("parameters", "params", (run) => run.parameters),
  ...treeColumns("metadata", "metadata", (run) => run.metadata),
].filter((column) => column.values.some((value) => value !== undefined));
const columnOf = new Map(columns.map((column) => [column.key, column]));

/** Returns the keys of the columns to show at first: what tells the runs apart. */
function defaultColumns() {
  const all = [...runs.keys()];
  const some = (keep, most) => columns.filter(keep).slice(0, most).map((column) => column.key);
  const shown = ["best", ...(goals.size ? [] : ["last"])];
  return [
    ...["name", "status", "started", "duration"].filter((key) => columnOf.has(key)),
    ...some((c) => shown.includes(c.statistic), 6),
    ...some((c) => c.group === "parameters" && (runs.length === 1 || varies(c, all)), 8),
    ...["verdict", "tags"].filter((key) => columnOf.has(key)),
  ];
}

/** Returns the index of the run with the best value of a column, among those given; or -1. */
function bestIndex(column, indexes) {
  const better = column.goal === "min" ? (a, b) => a < b : (a, b) => a > b;
  let best = -1;
  for (const index of indexes) {
    const value = asNumber(column.values[index]);
    if (!Number.isFinite(value)) continue;
    if (best < 0 || better(value, asNumber(column.values[best]))) best = index;
  }
  return best;
}

// Curves and patches

const curves = new Map(Object.entries(data.curves).map(([run, metrics]) =>
  [run, new Map(Object.entries(metrics))]));
const patchNumbers = new Map(Object.entries(data.patch_of));
const cutPatches = new Set(data.cut_patches);

/** Returns the points of a run's metric as {steps, times, values}, times in ms since 1970. */
function curveOf(index, metric) {
  const curve = (curves.get(runs[index].run) || new Map()).get(metric);
  if (!curve) return null;
  const [start, steps, times, values] = curve;
  return { steps, times: times.map((time) => start + time), values: values.map(asNumber) };
}

/** The metrics that any run has a curve of, those with a goal first. */
const curveMetrics = [...new Set([...curves.values()].flatMap((inner) => [...inner.keys()]))]
  .sort((a, b) => Number(goals.has(b)) - Number(goals.has(a)));

/** Returns the patch of a run; undefined when the page does not include it. */
function patchOf(index) {
  return data.patches[patchNumbers.get(runs[index].run)];
}
