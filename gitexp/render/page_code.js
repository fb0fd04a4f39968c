// What the code of each selected run changed on the commit that it was made on.

const MAX_LINES = 4000;
const LINE_KINDS = { "+": "added", "-": "deleted", "@": "hunk", "\\": "remark" };
// Said by the title of a file already.
const REDUNDANT = /^(?:diff --git |index |--- |\+\+\+ )/;

/** Returns a patch as files: {path, lines, added, deleted}. */
function splitPatch(patch) {
  const files = [];
  for (const line of patch.replace(/\n$/, "").split("\n")) {
    if (line.startsWith("diff --git ") || !files.length) {
      const path = line.replace(/^diff --git .* "?b\//, "").replace(/"$/, "");
      files.push({ path, lines: [], added: 0, deleted: 0, body: false });
    }
    const file = files[files.length - 1];
    if (line.startsWith("@@")) file.body = true;
    if (file.body && line.startsWith("+")) file.added += 1;
    if (file.body && line.startsWith("-")) file.deleted += 1;
    if (file.body || !REDUNDANT.test(line)) {
      file.lines.push({ text: line, kind: file.body ? LINE_KINDS[line[0]] || "" : "head" });
    }
  }
  return files;
}

function drawCode(panel) {
  const indexes = state.selected.length || state.run < 0 ? state.selected : [state.run];
  if (!indexes.length) {
    panel.append(hint("Select runs in the table to see what their code changed."));
    return;
  }
  const patches = indexes.map(patchOf);
  const same = indexes.length > 1 && sameCode(indexes);
  if (same) panel.append(hint("These runs have the same code."));
  const drawn = same ? [0] : [...indexes.keys()];
  const parsed = drawn.map((i) => (patches[i] ? splitPatch(patches[i]) : []));
  panel.append(element("div", { className: `patches${drawn.length === 2 ? " pair" : ""}` },
    ...drawn.map((i) => drawPatch(indexes[i], patches[i], parsed, i))));
}

/** Returns whether runs are known to have the same code: one commit, one whole patch. */
function sameCode(indexes) {
  const heads = new Set(indexes.map((index) => runs[index].git && runs[index].git.head));
  const patches = new Set(indexes.map(patchOf));
  return heads.size === 1 && patches.size === 1 && ![...heads, ...patches].includes(undefined) &&
    !indexes.some((index) => cutPatches.has(runs[index].run));
}

function drawPatch(index, patch, parsed, place) {
  const head = runs[index].git && runs[index].git.head;
  const base = head ? `on commit ${shortId(head)}` : "";
  const title = element("h2", {}, runLink(index), " ",
    element("span", { className: "note", textContent: base }));
  if (slots.has(index)) title.prepend(swatch(index));
  const section = element("section", { className: "patch" }, title);
  if (patch === undefined) section.append(hint("This page does not include its patch."));
  if (patch === "") section.append(hint("The code is that of the commit, unchanged."));
  for (const file of parsed[place]) section.append(drawFile(file, parsed, place));
  if (cutPatches.has(runs[index].run)) {
    section.append(hint("The patch is longer than what this page includes: its end is missing."));
  }
  return section;
}

/** Returns one file of a patch; closed where all the other runs changed it just so. */
function drawFile(file, parsed, place) {
  const text = (one) => one.lines.map((line) => line.text).join("\n");
  const same = parsed.length > 1 && parsed.every((files, i) => i === place ||
    files.some((other) => other.path === file.path && text(other) === text(file)));
  const code = element("div", { className: "lines" });
  const summary = element("summary", {},
    element("bdi", { className: "path", textContent: visible(file.path) }),
    element("span", { className: "added", textContent: ` +${file.added}` }),
    element("span", { className: "deleted", textContent: ` −${file.deleted}` }));
  const note = " same in the other code";
  if (same) summary.append(element("span", { className: "note", textContent: note }));
  appendLines(code, file.lines, 0);
  return element("details", { open: !same }, summary,
    element("div", { className: "code", tabIndex: 0, role: "region", "aria-label":
      `Changes of ${visible(file.path)}` }, code));
}

/** Appends lines from one on; where there are very many, a button for the rest. */
function appendLines(code, lines, start) {
  for (const line of lines.slice(start, start + MAX_LINES)) {
    code.append(element("span", { className: `line ${line.kind}`,
      textContent: `${visibleLines(line.text)}\n` }));
  }
  const rest = lines.length - start - MAX_LINES;
  if (rest <= 0) return;
  const more = element("button", { type: "button", textContent: `Show ${rest} more lines` });
  more.addEventListener("click", () => {
    more.remove();
    appendLines(code, lines, start + MAX_LINES);
  });
  code.append(more);
}
