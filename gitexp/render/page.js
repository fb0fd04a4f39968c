// The start, and what happens on every change: address, table and panel follow the state.

const PANELS = {
  curves: drawCurves, compare: drawComparison, code: drawCode, details: drawDetails,
};
const panel = document.getElementById("panel");
const filterBox = document.getElementById("filter");
const chooser = document.getElementById("chooser");
const drawnFor = { table: "", panel: "" };

function hint(text) {
  return element("p", { className: "hint", textContent: text });
}

function change(choices) {
  Object.assign(state, choices);
  update();
}

function showDetails(index) {
  change({ run: index, tab: "details" });
}

/** Draws what the state asks for and is not there yet. */
function update() {
  writeAddress();
  const forTable = JSON.stringify([state.sort, state.filter, state.columns]);
  if (forTable !== drawnFor.table) drawTable();
  drawnFor.table = forTable;
  drawSelection();
  const forPanel = JSON.stringify([state.tab, state.selected, state.run, state.metric, state.x,
    state.log]);
  if (forPanel !== drawnFor.panel) drawPanel();
  drawnFor.panel = forPanel;
}

function drawPanel() {
  for (const name of TABS) {
    const tab = document.getElementById(`tab-${name}`);
    const current = name === state.tab;
    tab.setAttribute("aria-selected", String(current));
    tab.tabIndex = current ? 0 : -1;
  }
  const focused = panel.contains(document.activeElement) ? document.activeElement.id : "";
  panel.setAttribute("aria-labelledby", `tab-${state.tab}`);
  panel.replaceChildren();
  PANELS[state.tab](panel);
  if (focused && document.getElementById(focused)) document.getElementById(focused).focus();
}

function readState() {
  readAddress();
  filterBox.value = state.filter;
  drawHead();
  drawChooser();
  update();
}

function listenToTabs() {
  for (const name of TABS) {
    document.getElementById(`tab-${name}`).addEventListener("click", () => change({ tab: name }));
  }
  document.getElementById("tabs").addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    const next = TABS[(TABS.indexOf(state.tab) + move + TABS.length) % TABS.length];
    change({ tab: next });
    document.getElementById(`tab-${next}`).focus();
  });
}

function listenToTable() {
  let waiting = false;
  const draw = () => {
    waiting = false;
    drawRows();
  };
  const soon = () => {
    if (!waiting) window.requestAnimationFrame(draw);
    waiting = true;
  };
  scroller.addEventListener("scroll", soon, { passive: true });
  window.addEventListener("resize", soon);
  filterBox.addEventListener("input", () => {
    scroller.scrollTop = 0;
    change({ filter: filterBox.value.trim() });
  });
  document.getElementById("clear").addEventListener("click", () => {
    select([]);
    update();
    filterBox.focus();
  });
}

function listenToChooser() {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && chooser.open) {
      chooser.open = false;
      chooser.querySelector("summary").focus();
    }
  });
  document.addEventListener("click", (event) => {
    if (chooser.open && !chooser.contains(event.target)) chooser.open = false;
  });
}

function listenToPrinter() {
  const print = (on) => () => {
    printing = on;
    drawRows();
  };
  window.addEventListener("beforeprint", print(true));
  window.addEventListener("afterprint", print(false));
}

function start() {
  const generated = formatTime(data.generated);
  document.getElementById("about").textContent = `as of ${generated}`;
  listenToTabs();
  listenToTable();
  listenToChooser();
  listenToPrinter();
  window.addEventListener("hashchange", readState);
  readState();
}

/** Says on the page itself that something went wrong: a page that looks whole must be whole. */
function report(message) {
  document.documentElement.dataset.error = message;
  document.getElementById("about").textContent = `This page has a fault: ${message}`;
}

window.addEventListener("error", (event) => report(event.message));
window.addEventListener("unhandledrejection", (event) => report(String(event.reason)));
document.addEventListener("securitypolicyviolation", (event) =>
  report(`${event.violatedDirective} forbids ${event.blockedURI}`));
start();
document.documentElement.dataset.ready = "yes";
