// Everything that is known of one run.

// Shown by parts of their own; whatever else a run holds is listed at the end.
const SHOWN_APART = new Set(["name", "status", "started", "ended", "duration", "error",
  "description", "hypothesis", "comments", "parameters", "metadata", "metrics", "tags", "family",
  "verdict", "verdict_by", "by", "run", "exit_code", "inputs", "git", "command", "cwd", "parent",
  "lost_bytes"]);

function drawDetails(panel) {
  const index = state.run >= 0 ? state.run : state.selected[0];
  if (index === undefined) {
    panel.append(hint("Select a run, or its name in the table, to see all that is known of it."));
    return;
  }
  const run = runs[index];
  panel.append(detailsTitle(run, index), element("div", { className: "details" },
    block("", pairs(aboutPairs(run))),
    errorBlock(run),
    textBlock("description", run.description),
    textBlock("hypothesis", run.hypothesis),
    commentsBlock(run),
    metricsBlock(run),
    block("parameters", pairs(leaves(run.parameters))),
    block("metadata", pairs(leaves(run.metadata))),
    block("code", pairs(codePairs(run))),
    block("inputs", pairs((run.inputs || []).map(inputPair))),
    block("surroundings", pairs(restPairs(run)))));
}

function detailsTitle(run, index) {
  const title = element("h2", { textContent: visible(String(run.name)) });
  if (slots.has(index)) title.prepend(swatch(index));
  const others = state.selected.filter((other) => other !== index);
  const links = others.flatMap((other) => [" ", runLink(other)]);
  if (!links.length) return title;
  return element("div", { className: "heading" }, title,
    element("p", { className: "muted" }, "Also selected:", ...links));
}

/** Returns a part with a title, or nothing where there is nothing to show. */
function block(title, content) {
  if (!content) return "";
  const head = title ? [element("h3", { textContent: title })] : [];
  return element("section", {}, ...head, content);
}

function textBlock(title, text) {
  if (!text) return "";
  return block(title, element("p", { className: "prose", textContent: visibleLines(text) }));
}

/** Returns a list of labels and values; undefined and empty ones are left out. */
function pairs(items) {
  const known = items.filter(([, value]) => value !== undefined && value !== "");
  if (!known.length) return null;
  return element("dl", {}, ...known.map(([label, value]) => element("div", {},
    element("dt", { textContent: visible(label) }), element("dd", {}, asNode(value)))));
}

function asNode(value) {
  return value instanceof Node ? value : element("bdi", { textContent: formatExact(value) });
}

/** Returns a value with all its digits. */
function formatExact(value) {
  return typeof value === "number" ? String(value) : formatValue(value);
}

function leaves(tree) {
  const found = [];
  if (tree !== undefined) flatten(tree, "", (path, value) => found.push([path, value]));
  return found;
}

function aboutPairs(run) {
  const status = element("span", { className: "status", textContent: run.status });
  status.dataset.status = run.status;
  const code = run.exit_code === undefined ? "" : ` (exit code ${run.exit_code})`;
  const verdict = run.verdict && run.verdict + (run.verdict_by ? ` (by ${run.verdict_by})` : "");
  return [
    ["status", element("span", {}, status, code)],
    ["started", run.started && formatTime(run.started, true)],
    [run.status === "running" ? "last sign" : "ended", run.ended && formatTime(run.ended, true)],
    ["duration", durationText(run.duration)],
    ["by", run.by],
    ["id", idNode(run.run)],
    ["derived from", run.parent && parentNode(run.parent)],
    ["family", run.family],
    ["tags", run.tags && run.tags.join(", ")],
    ["verdict", verdict],
    ["not readable", run.lost_bytes && `${formatSize(run.lost_bytes)} of its journal`],
  ];
}

function idNode(id) {
  return element("span", { className: "id", textContent: visible(id) });
}

function durationText(seconds) {
  if (seconds === undefined) return undefined;
  const text = formatDuration(seconds);
  return text.includes(":") ? `${text} (${formatNumber(seconds)} s)` : text;
}

function parentNode(id) {
  const index = findRun(id);
  return index < 0 ? element("bdi", { textContent: visible(id) }) : runLink(index);
}

function errorBlock(run) {
  if (!run.error) return "";
  const head = element("p", { className: "failure",
    textContent: visibleLines(`${run.error.type}: ${run.error.message}`) });
  const tail = run.error.tail ? [element("pre", { tabIndex: 0,
    textContent: visibleLines(run.error.tail) })] : [];
  return element("section", { className: "wide" }, element("h3", { textContent: "error" }), head,
    ...tail);
}

function commentsBlock(run) {
  if (!run.comments) return "";
  return block("comments", element("div", {}, ...run.comments.map((comment) =>
    element("div", { className: "comment" },
      element("p", { className: "muted",
        textContent: `${formatTime(comment.time)}  ${visible(comment.by)}` }),
      element("p", { className: "prose", textContent: visibleLines(comment.text) })))));
}

function metricsBlock(run) {
  const rows = Object.entries(run.metrics || {}).map(([path, summary]) => {
    const place = (value, step) => (value === undefined ? ""
      : `${formatNumber(value)}${step === undefined ? "" : ` @ ${step}`}`);
    const texts = [formatValue(asNumber(summary.first)), formatValue(asNumber(summary.last)),
      place(summary.min, summary.step_of_min), place(summary.max, summary.step_of_max),
      formatValue(summary.mean), formatValue(summary.count)];
    const best = { min: 2, max: 3 }[goals.get(path)];
    return element("tr", {}, element("th", { scope: "row" },
      element("bdi", { textContent: visible(path) })),
    ...texts.map((text, i) => element("td", { textContent: text,
      className: i === best ? "number best" : "number" })));
  });
  if (!rows.length) return "";
  const head = ["first", "last", "min @ step", "max @ step", "mean", "values"].map((text) =>
    element("th", { scope: "col", className: "number", textContent: text }));
  const table = element("table", { className: "grid" },
    element("thead", {}, element("tr", {}, element("td"), ...head)),
    element("tbody", {}, ...rows));
  return element("section", { className: "wide" }, element("h3", { textContent: "metrics" }),
    element("div", { className: "scroller fitted", tabIndex: 0 }, table));
}

function codePairs(run) {
  const git = run.git;
  if (!git) return [];
  const leftOut = (git.left_out || []).map((file) => {
    const weight = file.size === undefined ? "" : `, ${formatSize(file.size)}`;
    return ["left out", `${file.path} (${file.reason}${weight})`];
  });
  const list = (label, items) => (items || []).map((item) => [label, item]);
  return [
    ["made on", git.head ? idNode(git.head) : "an unborn branch"],
    ["changes", git.dirty ? "yes" : "none"],
    ["branch", git.branch || "(detached)"],
    ...leftOut,
    ...list("changed submodule", git.submodules),
    ...list("repository inside", git.nested),
    ...list("changed meanwhile", git.changed),
    ["assume-unchanged", git.assume_unchanged],
    ["skip-worktree", git.skip_worktree],
  ];
}

function inputPair(input) {
  const files = input.files === undefined ? "" : `, ${input.files} files`;
  return [input.path, `${formatSize(input.size)}${files}, xxh3 ${input.digest}`];
}

/** Returns the command, and all that no other part shows: also what newer versions add. */
function restPairs(run) {
  const rest = Object.entries(run).filter(([key]) => !SHOWN_APART.has(key));
  return [["command", run.command && run.command.map(quoteWord).join(" ")],
    ["folder", run.cwd],
    ...rest.map(([key, value]) => [key.replace(/_/g, " "), value])];
}

/** Returns a word of a command line as a shell reads it. */
function quoteWord(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, "'\"'\"'")}'`;
}
