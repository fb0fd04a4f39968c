// The table. Only the rows in sight, and some around them, are in the document: two empty rows
// stand for those above and below. Widths are set once per choice of columns, so that nothing
// moves while scrolling.

const ROWS_AROUND = 20;
const WIDTH_SAMPLE = 1000;
const WIDEST_CELL = 28;

const scroller = document.getElementById("scroller");
const table = document.getElementById("runs");
const body = table.tBodies[0];
const drawn = new Map(); // index of a run -> its row in the document

let shown = []; // indexes of the runs that pass the filter, sorted
let best = new Map(); // key of a column -> index of the run that is best in it
let rowHeight = 28;
let printing = false;

/** Returns a new element. What it says is always set as text, never as HTML. */
function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role") node.setAttribute(key, value);
    else node[key] = value;
  }
  node.append(...children);
  return node;
}

function shownColumns() {
  return state.columns.map((key) => columnOf.get(key));
}

// The head

/** Returns how many digits wide a column must be. */
function columnWidth(column) {
  const stride = Math.max(1, Math.floor(runs.length / WIDTH_SAMPLE));
  // Letters are narrower than digits; two more for the arrow of the sorted column.
  let widest = Math.max(4, 0.85 * (column.label.length + column.note.length) + 2.5);
  for (let index = 0; index < runs.length; index += stride) {
    widest = Math.max(widest, cellText(column, index).length);
  }
  // The dot of a status, and the bold digits of the best value, take more room.
  const more = column.kind === "status" ? 2 : column.goal ? 1 : 0;
  return Math.min(widest, WIDEST_CELL) + more;
}

function headCell(column) {
  const button = element("button", { type: "button", className: "sort" },
    element("span", { className: "label", textContent: visible(column.label) }));
  if (column.note) {
    button.append(" ", element("span", { className: "note", textContent: column.note }));
  }
  button.title = visible(column.name) + (column.note ? `, ${column.note}` : "");
  button.addEventListener("click", () => sortBy(column));
  const cell = element("th", { scope: "col", className: cellClass(column) }, button);
  cell.dataset.key = column.key;
  return cell;
}

function sortBy(column) {
  const [up, down] = [column.key, `-${column.key}`];
  const order = sortsDown(column) ? [down, up] : [up, down];
  state.sort = state.sort === order[0] ? order[1] : order[0];
  update();
}

/** Returns the row that names groups of columns: metrics, parameters, metadata. */
function groupRow(shownNow) {
  const row = element("tr", { className: "groups" }, element("td", { className: "pick" }));
  let last = null;
  for (const column of shownNow) {
    if (last && last.dataset.group === column.group) last.colSpan += 1;
    else {
      const text = column.group === "about" ? "" : column.group;
      last = element(text ? "th" : "td", { textContent: text });
      if (text) last.scope = "colgroup";
      last.dataset.group = column.group;
      row.append(last);
    }
  }
  row.append(element("td"));
  return row;
}

function selectAllCell() {
  const box = element("input", { type: "checkbox", "aria-label": "Select all shown runs" });
  box.id = "all";
  box.addEventListener("change", () => {
    const others = state.selected.filter((index) => !shown.includes(index));
    select(box.checked ? [...state.selected, ...shown] : others);
    update();
  });
  return element("th", { scope: "col", className: "pick" }, box);
}

/** Draws the head anew: after another choice of columns. */
function drawHead() {
  const shownNow = shownColumns();
  const widths = table.querySelector("colgroup");
  widths.replaceChildren(element("col"));
  for (const column of shownNow) {
    const col = element("col");
    const width = `calc(${columnWidth(column)}ch + 1.25rem)`;
    col.style.width = column.key === "name" ? `min(${width}, 45vw)` : width;
    widths.append(col);
  }
  widths.append(element("col"));
  widths.firstChild.className = "pick";
  const names = element("tr", {}, selectAllCell(), ...shownNow.map(headCell), element("td"));
  table.tHead.replaceChildren(groupRow(shownNow), names);
  table.setAttribute("aria-colcount", String(shownNow.length + 1));
}

function markSorted() {
  const key = state.sort.replace(/^-/, "");
  for (const cell of table.tHead.querySelectorAll("th[data-key]")) {
    cell.removeAttribute("aria-sort");
    if (cell.dataset.key === key) {
      cell.setAttribute("aria-sort", state.sort.startsWith("-") ? "descending" : "ascending");
    }
  }
}

// The rows

function cellClass(column) {
  return [column.numeric ? "number" : column.kind, column.key === "name" ? "name" : ""]
    .filter(Boolean).join(" ");
}

function drawCell(column, index) {
  const full = cellText(column, index);
  const text = full.length > MAX_CELL ? `${full.slice(0, MAX_CELL)}…` : full;
  const cell = element("td", { className: cellClass(column) });
  if (column.key === "name") {
    const link = element("button", { type: "button", className: "link", textContent: text });
    link.addEventListener("click", () => showDetails(index));
    cell.append(link);
  } else {
    cell.append(element("bdi", { textContent: text }));
  }
  if (column.kind === "status") cell.dataset.status = text;
  if (text.length > WIDEST_CELL) cell.title = text;
  if (best.get(column.key) === index) {
    cell.classList.add("best");
    cell.append(element("span", { className: "unseen", textContent: " (best)" }));
  }
  return cell;
}

function drawRow(index, place) {
  const box = element("input", { type: "checkbox" });
  box.setAttribute("aria-label", `Select ${visible(String(runs[index].name)).slice(0, MAX_CELL)}`);
  box.addEventListener("change", () => {
    const rest = state.selected.filter((other) => other !== index);
    select(box.checked ? [...rest, index] : rest);
    update();
  });
  const row = element("tr", { "aria-rowindex": String(place + 3) },
    element("td", { className: "pick" }, box),
    ...shownColumns().map((column) => drawCell(column, index)), element("td"));
  row.dataset.run = runs[index].run;
  markSelected(row, index);
  return row;
}

function markSelected(row, index) {
  const slot = slots.get(index);
  row.querySelector("input").checked = slot !== undefined;
  row.className = slot === undefined ? "" : `selected ${slotClass(slot)}`;
}

/** Returns the classes that colour, and beyond eight dash, what belongs to a selected run. */
function slotClass(slot) {
  return `c${slot % 8} d${Math.floor(slot / 8) % 3}`;
}

function gap(count) {
  const row = element("tr", { className: "gap", "aria-hidden": "true" });
  row.style.height = `${count * rowHeight}px`;
  return row;
}

/** Puts the rows in sight into the document; rows that are there already stay as they are. */
function drawRows() {
  const headHeight = table.tHead.offsetHeight;
  const first = printing ? 0 : Math.floor(scroller.scrollTop / rowHeight) - ROWS_AROUND;
  const room = Math.ceil((scroller.clientHeight - headHeight) / rowHeight) + 2 * ROWS_AROUND;
  const start = Math.max(0, Math.min(first, shown.length - room));
  const end = printing ? shown.length : Math.min(shown.length, start + room);
  const wanted = new Set(shown.slice(start, end));
  for (const index of drawn.keys()) if (!wanted.has(index)) drawn.delete(index);
  const rows = [...wanted].map((index, i) => {
    if (!drawn.has(index)) drawn.set(index, drawRow(index, start + i));
    return drawn.get(index);
  });
  const focused = document.activeElement;
  body.replaceChildren(gap(start), ...rows, gap(shown.length - end));
  if (body.contains(focused)) focused.focus({ preventScroll: true });
  measureRow(rows[0]);
}

function measureRow(row) {
  const height = row && !printing ? row.getBoundingClientRect().height : 0;
  if (height && Math.abs(height - rowHeight) > 0.01) {
    rowHeight = height;
    drawRows();
  }
}

/** Draws the table anew: after another filter, order or choice of columns. */
function drawTable() {
  const found = filterRuns(state.filter);
  const column = columnOf.get(state.sort.replace(/^-/, ""));
  shown = column ? sortRuns(found, column, state.sort.startsWith("-")) : found;
  best = new Map(columns.filter((c) => c.goal).map((c) => [c.key, bestIndex(c, shown)]));
  drawn.clear();
  table.setAttribute("aria-rowcount", String(shown.length + 2));
  markSorted();
  drawRows();
}

/** Shows what is selected: boxes, colours, and how many. */
function drawSelection() {
  for (const [index, row] of drawn) markSelected(row, index);
  const all = document.getElementById("all");
  const picked = shown.filter((index) => slots.has(index)).length;
  all.checked = picked > 0 && picked === shown.length;
  all.indeterminate = picked > 0 && picked < shown.length;
  const total = runs.length === 1 ? "1 run" : `${runs.length.toLocaleString("en")} runs`;
  const part = shown.length === runs.length ? total
    : `${shown.length.toLocaleString("en")} of ${total}`;
  const limit = state.selected.length === MAX_SELECTED ? " (the most there can be)" : "";
  const chosen = state.selected.length ? `, ${state.selected.length} selected${limit}` : "";
  document.getElementById("count").textContent = part + chosen;
  document.getElementById("clear").hidden = !state.selected.length;
}

// The choice of columns

function drawChooser() {
  const sheet = document.querySelector("#chooser .sheet");
  const groups = new Map();
  for (const column of columns) {
    if (!groups.has(column.group)) {
      groups.set(column.group, element("fieldset", {}, element("legend",
        { textContent: column.group })));
    }
    groups.get(column.group).append(choice(column));
  }
  sheet.replaceChildren(...groups.values());
}

function choice(column) {
  const box = element("input", { type: "checkbox", checked: state.columns.includes(column.key) });
  box.addEventListener("change", () => {
    const order = columns.map((other) => other.key);
    const rest = state.columns.filter((key) => key !== column.key);
    state.columns = box.checked ? insertInOrder(rest, column.key, order) : rest;
    if (!state.columns.length) state.columns = defaultColumns();
    drawHead();
    update();
  });
  const note = element("span", { className: "note", textContent: column.note });
  return element("label", {}, box, element("bdi", { textContent: visible(column.label) }), note);
}

/** Returns a list with an item put before the first that comes after it in the natural order. */
function insertInOrder(items, item, order) {
  const place = items.findIndex((other) => order.indexOf(other) > order.indexOf(item));
  return place < 0 ? [...items, item] : [...items.slice(0, place), item, ...items.slice(place)];
}
