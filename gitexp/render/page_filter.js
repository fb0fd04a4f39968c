// Which runs are shown, and in what order. A filter is terms separated by spaces, all of which
// must hold: words that occur in any cell, and comparisons such as lr<0.01 or status=failed.

const TERM = /(?:[^\s"]|"[^"]*"?)+/g;
const COMPARISON = /^([^<>=!]+)(<=|>=|!=|=|<|>)(.*)$/;
const STATISTIC = /^(best|last|mean|step|count):(.*)$/;
const HOLDS = {
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "=": (a, b) => a === b || (Number.isNaN(a) && Number.isNaN(b)),
  "!=": (a, b) => !HOLDS["="](a, b),
};
const COLLATOR = new Intl.Collator("en", { numeric: true });

let haystacks = null;

/** Returns all that a run's cells say, in lower case. */
function haystack(index) {
  if (!haystacks) {
    haystacks = runs.map((run, i) =>
      [run.run, ...columns.map((column) => cellText(column, i))].join("\n").toLowerCase());
  }
  return haystacks[index];
}

/** Returns the columns that a name stands for: by key or full path, else by its last parts. */
function resolveName(text) {
  const match = STATISTIC.exec(text);
  const statistic = match ? match[1] : "best";
  const name = (match ? match[2] : text).toLowerCase();
  const named = columns.filter((c) => (c.goal || c.statistic ? c.statistic === statistic : !match));
  const exact = named.filter((c) => [c.name, c.label, c.key].some((n) => n.toLowerCase() === name));
  return exact.length ? exact : named.filter((c) => c.name.toLowerCase().endsWith(`.${name}`));
}

/** Returns the number that was typed; undefined if it is none. */
function parseNumber(text) {
  if (NON_FINITE.has(text)) return NON_FINITE.get(text);
  const number = Number(text);
  return Number.isNaN(number) ? undefined : number;
}

/** Returns a time in ms since 1970; a day begins in the reader's zone. */
function parseTime(text) {
  return Date.parse(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00` : text);
}

/** Returns whether a column's cell for a run says just this text, or one of its items does. */
function says(column, index, text) {
  const shown = cellText(column, index).toLowerCase();
  const wanted = text.toLowerCase();
  if (column.kind === "time") return shown.startsWith(wanted);
  const items = column.kind === "list" ? column.values[index].map(formatValue) : [];
  return shown === wanted || items.some((item) => item.toLowerCase() === wanted);
}

/** Returns whether a column's value for a run compares like that to what was typed. */
function compares(column, index, operator, text) {
  const value = column.values[index];
  if (value === undefined) return operator === "!=";
  const equality = operator === "=" || operator === "!=";
  const time = column.kind === "time";
  const number = time ? Date.parse(value) : asNumber(value);
  const operand = time ? parseTime(text) : parseNumber(text);
  if (number !== undefined && operand !== undefined && !(time && equality)) {
    return HOLDS[operator](number, operand);
  }
  return equality && says(column, index, text) === (operator === "=");
}

/** Returns a function that says whether the run of an index fulfils one term. */
function parseTerm(term) {
  const plain = term.replace(/"/g, "");
  const match = term.startsWith('"') ? null : COMPARISON.exec(plain);
  const found = match ? resolveName(match[1].trim()) : [];
  if (found.length) {
    const [, , operator, text] = match;
    if (text === "") return () => true; // being typed
    const check = (index) => (column) => compares(column, index, operator, text);
    if (operator === "!=") return (index) => found.every(check(index));
    return (index) => found.some(check(index));
  }
  const word = plain.toLowerCase();
  return (index) => haystack(index).includes(word);
}

/** Returns the indexes of the runs that fulfil a filter, in the order of the data. */
function filterRuns(text) {
  const terms = (text.match(TERM) || []).map(parseTerm);
  const found = [];
  runs.forEach((_, index) => {
    if (terms.every((holds) => holds(index))) found.push(index);
  });
  return found;
}

/** Returns what to sort a value by: its rank (numbers, texts, NaN, missing), then itself. */
function sortKey(column, index) {
  const value = column.values[index];
  if (value === undefined) return [3, 0];
  const number = column.kind === "time" ? Date.parse(value) : asNumber(value);
  if (number === undefined) return [1, cellText(column, index)];
  return Number.isNaN(number) ? [2, 0] : [0, number];
}

/** Returns indexes sorted by a column; what has no place in the order is last both ways. */
function sortRuns(indexes, column, descending) {
  const keys = new Map(indexes.map((index) => [index, sortKey(column, index)]));
  const sign = descending ? -1 : 1;
  return [...indexes].sort((left, right) => {
    const [rank, a] = keys.get(left);
    const [otherRank, b] = keys.get(right);
    if (rank !== otherRank) return rank - otherRank;
    if (rank === 1) return sign * COLLATOR.compare(a, b);
    return a === b ? 0 : sign * (a < b ? -1 : 1);
  });
}

/** Returns whether the first click on a column's header sorts it downwards. */
function sortsDown(column) {
  return column.goal ? column.goal === "max" : column.kind === "time";
}
