// The selected runs side by side: only what differs.

const OUTCOME = new Set(["status", "duration", "verdict", "tags", "commit", "seed"]);
// Always different, or shown at the head: they would say nothing.
const NOT_COMPARED = new Set(["name", "run", "started"]);

function comparedColumns() {
  return columns.filter((column) => !NOT_COMPARED.has(column.key) &&
    (!column.statistic || ["best", "last", "step"].includes(column.statistic)));
}

function comparedGroup(column) {
  if (column.group !== "about") return column.group;
  return OUTCOME.has(column.key) ? "outcome" : "surroundings";
}

/** Returns the texts of a column for runs that differ in it: with more digits if need be. */
function differentTexts(column, indexes) {
  const texts = indexes.map((index) => cellText(column, index));
  if (!column.numeric || new Set(texts).size > 1) return texts;
  return indexes.map((index) => String(column.values[index]));
}

function drawComparison(panel) {
  const indexes = state.selected;
  if (indexes.length < 2) {
    panel.append(hint("Select two or more runs in the table to see what differs."));
    return;
  }
  const all = comparedColumns();
  const different = all.filter((column) => varies(column, indexes));
  const table = element("table", { className: "grid comparison" }, comparisonHead(indexes));
  for (const group of ["outcome", "metrics", "parameters", "metadata", "surroundings"]) {
    const rows = different.filter((column) => comparedGroup(column) === group);
    if (rows.length) table.append(comparisonGroup(group, rows, indexes));
  }
  const same = all.filter((column) => column.group !== "about" && !different.includes(column) &&
    column.values[indexes[0]] !== undefined);
  panel.append(element("div", { className: "scroller fitted", tabIndex: 0, role: "region",
    "aria-label": "Comparison" }, table), sameNote(same, indexes));
}

function comparisonHead(indexes) {
  const cells = indexes.map((index) => element("th", { scope: "col" },
    swatch(index), runLink(index),
    element("span", { className: "note", textContent: shortId(runs[index].run) })));
  return element("thead", {}, element("tr", {}, element("td"), ...cells));
}

function comparisonGroup(group, rows, indexes) {
  const head = group === "outcome" ? [] : [element("tr", { className: "groups" },
    element("th", { scope: "rowgroup", colSpan: indexes.length + 1, textContent: group }))];
  return element("tbody", {}, ...head, ...rows.map((column) => comparisonRow(column, indexes)));
}

function comparisonRow(column, indexes) {
  const label = element("th", { scope: "row" },
    element("bdi", { textContent: visible(column.label) }));
  const note = element("span", { className: "note", textContent: column.note });
  if (column.note) label.append(" ", note);
  const winner = column.goal ? bestIndex(column, indexes) : -1;
  const texts = differentTexts(column, indexes);
  const cells = indexes.map((index, i) => {
    const cell = element("td", { className: column.numeric ? "number" : column.kind },
      element("bdi", { textContent: texts[i].slice(0, MAX_CELL) || "–" }));
    if (column.kind === "status") cell.dataset.status = texts[i];
    if (index === winner) {
      cell.classList.add("best");
      cell.append(element("span", { className: "unseen", textContent: " (best)" }));
    }
    return cell;
  });
  const row = element("tr", {}, label, ...cells);
  row.dataset.key = column.key;
  return row;
}

function sameNote(same, indexes) {
  if (!same.length) return "";
  const names = same.map((column) =>
    `${visible(column.label)} ${cellText(column, indexes[0]).slice(0, MAX_CELL)}`);
  return element("details", { className: "same" },
    element("summary", { textContent: `${same.length} alike in all of them` }),
    element("p", { textContent: names.join(", ") }));
}
