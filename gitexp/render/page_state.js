// What the reader has chosen. It lives in the address behind the #, so that a view can be linked.

const MAX_SELECTED = 50;
const TABS = ["curves", "compare", "code", "details"];

const state = {
  sort: "", // key of a column, after a "-" for downwards; empty: the order of the data
  filter: "",
  columns: [],
  selected: [], // indexes of runs
  run: -1, // index of the run whose details were asked for
  tab: TABS[0],
  metric: "",
  x: "step",
  log: false,
};
const slots = new Map(); // index of a selected run -> number of its colour, kept while selected
const handles = new Map(); // short id -> index
runs.forEach((run, index) => {
  const short = shortId(run.run);
  handles.set(handles.has(short) ? run.run : short, index);
});

function handleOf(index) {
  const short = shortId(runs[index].run);
  return handles.get(short) === index ? short : runs[index].run;
}

/** Returns the index of the run with an id, or one that begins so; or -1. */
function findRun(id) {
  if (!id) return -1;
  if (handles.has(id)) return handles.get(id);
  return runs.findIndex((run) => run.run.startsWith(id));
}

function splitList(text) {
  return (text || "").split(",").filter(Boolean).map(decodeURIComponent);
}

function joinList(items) {
  return items.map((item) => item.replace(/[%,]/g, encodeURIComponent)).join(",");
}

function select(indexes) {
  state.selected = [...new Set(indexes)].filter((index) => index >= 0).slice(0, MAX_SELECTED);
  for (const index of slots.keys()) {
    if (!state.selected.includes(index)) slots.delete(index);
  }
  for (const index of state.selected) {
    const taken = new Set(slots.values());
    let slot = 0;
    while (taken.has(slot)) slot += 1;
    if (!slots.has(index)) slots.set(index, slot);
  }
}

/** Takes the choices from the address; what it does not name, or names wrongly, is the default. */
function readAddress() {
  const given = new URLSearchParams(window.location.hash.slice(1));
  const chosen = splitListSafely(given.get("columns")).filter((key) => columnOf.has(key));
  state.sort = given.get("sort") || "";
  if (!columnOf.has(state.sort.replace(/^-/, ""))) state.sort = "";
  state.filter = given.get("filter") || "";
  state.columns = chosen.length ? chosen : defaultColumns();
  state.run = findRun(given.get("run"));
  state.tab = TABS.includes(given.get("tab")) ? given.get("tab") : TABS[0];
  state.metric = given.get("metric");
  if (!curveMetrics.includes(state.metric)) state.metric = curveMetrics[0] || "";
  state.x = given.get("x") === "time" ? "time" : "step";
  state.log = given.get("y") === "log";
  select((given.get("select") || "").split(",").map(findRun));
}

/** Returns a list from the address, empty where somebody cut an escape in two. */
function splitListSafely(text) {
  try {
    return splitList(text);
  } catch (error) {
    if (error instanceof URIError) return [];
    throw error;
  }
}

/** Puts the choices that are not the default into the address. */
function writeAddress() {
  const wanted = new URLSearchParams();
  const put = (name, value, usual = "") => value !== usual && wanted.set(name, value);
  put("sort", state.sort);
  put("filter", state.filter);
  put("columns", joinList(state.columns), joinList(defaultColumns()));
  put("select", state.selected.map(handleOf).join(","));
  put("run", state.run < 0 ? "" : handleOf(state.run));
  put("tab", state.tab, TABS[0]);
  put("metric", state.metric, curveMetrics[0] || "");
  put("x", state.x, "step");
  put("y", state.log ? "log" : "");
  const hash = `#${wanted}`.replace(/%2C/g, ",").replace(/%3A/g, ":");
  if (hash !== (window.location.hash || "#")) window.history.replaceState(null, "", hash);
}
