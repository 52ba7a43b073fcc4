// Where the focus is and whether it can be seen, for tmtp/tests/keyboard.py.
const CONTROLS = "a[href], button, input, select, textarea, summary, [tabindex='0']";

// What a person would call an element.
function nameOf(one) {
  const said = [one.getAttribute("aria-label"), one.labels?.[0]?.textContent, one.textContent, one.value, one.name].find(Boolean) ?? "";
  return `${one.localName} “${said.trim().replace(/\s+/g, " ").slice(0, 60)}”`;
}

function hasOutline(one) {
  const style = getComputedStyle(one);
  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 && !/, 0\)$/.test(style.outlineColor);
}

// What is wrong with how an element shows that it has the focus, or "". What is around it may show it instead.
function problemOf(one) {
  let shown = one;
  while (shown && !hasOutline(shown)) shown = shown.parentElement;
  if (!shown) return "does not show that it has the focus";
  const box = one.getClientRects()[0] ?? one.getBoundingClientRect();
  const left = Math.max(box.left, 0), right = Math.min(box.right, innerWidth);
  const top = Math.max(box.top, 0), bottom = Math.min(box.bottom, innerHeight);
  if (left > right || top > bottom) return "is not on the screen";
  const above = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
  const own = [one, ...(one.labels ?? [])].some((it) => it.contains(above) || above?.contains(it));
  return above && !own ? `is covered by ${nameOf(above)}` : "";
}

const isThere = (one) => !one.disabled && one.checkVisibility({ visibilityProperty: true }) && one.getClientRects().length > 0;
const follows = (one, other) => Boolean(one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING);

const groupOf = (one) => (one.type === "radio" ? one.name : one);  // Tab stops once at radio buttons of one name

// How often Tab leads from one element to another that is further down.
function distance(from, to) {
  const between = [...document.querySelectorAll(CONTROLS)].filter(
    (one) => one !== from && one !== to && one.tabIndex >= 0 && isThere(one) && follows(from, one) && follows(one, to));
  const stops = new Set(between.map(groupOf));
  stops.delete(groupOf(from));
  stops.delete(groupOf(to));
  return stops.size + 1;
}

// Note what has the focus, each time before Tab takes it elsewhere.
function watch() {
  document.seen = { names: [], problems: [] };
  document.addEventListener("keydown", (event) => event.key === "Tab" && see(), true);
}
function see() {
  const one = document.activeElement, { names, problems } = document.seen;
  if (one === document.body) return;
  names.push(nameOf(one));
  const problem = problemOf(one);
  if (problem) problems.push(`${nameOf(one)} ${problem}`);
}

// What Playwright finds with `focus=aim`, within an element that is to get the focus, and with `focus=state`: an element
// with what `focusState` returns. It finds none as long as that element cannot have the focus.
const focusEngine = {
  queryAll(root, what) {
    if (what === "aim") {
      if (!isReady(root)) return [];
      document.aim = root;
    }
    const said = document.createElement("p");
    said.textContent = JSON.stringify(focusState(document.aim));
    return [said];
  },
};

// Whether an element can have the focus, and the page's scripts listen.
function isReady(target) {
  return isThere(target) && document.readyState === "complete";
}

// Where the focus is, as seen from the element to which it is to come.
function focusState(target) {
  const here = document.activeElement, nowhere = here === document.body, lost = nowhere && "seen" in document;
  if (!document.seen) watch();
  if (here === target) see();
  const back = follows(target, here) && !here.contains(target);
  return {
    lost, nowhere, back, arrived: here === target, gone: !target.isConnected,
    skips: here.matches('a[href^="#"]') && Boolean(document.getElementById(here.hash.slice(1))?.contains(target)),
    distance: back ? distance(target, here) : distance(here, target),
    way: document.seen.names.slice(-PATIENCE), wrong: document.seen.problems,
  };
}

// Focus each control of the page. Return those that do not show it, and what only a mouse can use.
function focusProblems() {
  const wrong = [];
  for (const one of [...document.querySelectorAll(CONTROLS)].filter(isThere)) {
    one.focus();
    const problem = document.activeElement === one ? problemOf(one) : "";
    if (problem) wrong.push(`${nameOf(one)} ${problem}`);
  }
  for (const one of document.querySelectorAll("body *")) {
    if (getComputedStyle(one).cursor !== "pointer" || one.closest(`${CONTROLS}, label, [role=option], [tabindex]`)) continue;
    wrong.push(`${nameOf(one)} is only for the mouse`);
  }
  document.activeElement.blur();
  scrollTo(0, 0);
  return wrong;
}
