// What the lists of threads are nicer with and work without: select all of them, or a range with Shift; selection and
// focus stay when the list is refreshed; the page of a thread leads back to the same place in the list.
"use strict";

(() => {
  const PLACE = "tmtp-mailbox-list";
  const boxes = () => [...document.querySelectorAll("#threads [name=thread]")];
  const rows = () => [...document.querySelectorAll("#threads .row")];
  const linkOf = (row) => row.querySelector(".title a");
  let last = "";  // the id of the checkbox that was clicked last
  let before = null;  // what was selected and focused before the list was replaced

  function showSelection() {
    const all = document.querySelector("[data-select-all]");
    if (!all) return;
    const box = all.querySelector("input"), every = boxes(), some = every.filter((one) => one.checked);
    all.hidden = false;
    box.checked = every.length > 0 && some.length === every.length;
    box.indeterminate = some.length > 0 && !box.checked;
  }

  document.addEventListener("click", (event) => {
    const box = event.target;
    if (!box.matches?.("#threads [name=thread]")) return;
    const every = boxes(), from = every.findIndex((one) => one.id === last), to = every.indexOf(box);
    if (event.shiftKey && from >= 0) {
      for (const one of every.slice(Math.min(from, to), Math.max(from, to) + 1)) one.checked = box.checked;
    }
    last = box.id;
  });

  document.addEventListener("change", (event) => {
    if (event.target.id === "pick-all") for (const one of boxes()) one.checked = event.target.checked;
    showSelection();
  });

  document.addEventListener("htmx:beforeSwap", (event) => {
    const active = document.activeElement, every = rows();
    if (!active?.closest("#threads, .done")) return void (before = { checked: checkedIds(event) });
    let at = every.indexOf(active.closest(".row"));
    if (at < 0) at = active.closest(".more") ? every.length : every.findIndex((row) => row.querySelector(":checked"));
    before = { checked: checkedIds(event), at, ids: every.map((row) => linkOf(row).id) };
  });

  function checkedIds(event) {
    const keeps = event.detail.requestConfig.verb === "get";  // what is done is done for all that is selected
    return new Set(keeps ? boxes().filter((one) => one.checked).map((one) => one.id) : []);
  }

  document.addEventListener("htmx:afterSettle", () => {
    if (!before) return;
    const { checked, at, ids } = before;
    before = null;
    for (const one of boxes()) one.checked ||= checked.has(one.id);
    showSelection();
    if (ids && !document.activeElement.closest("#threads")) focusNear(at, ids);
  });

  for (const failure of ["htmx:responseError", "htmx:sendError"]) {
    document.addEventListener(failure, (event) => {
      const done = document.getElementById("done");
      if (done && event.detail.requestConfig.verb === "post") done.textContent = done.dataset.failed;
    });
  }

  // Focus the row that was focused, or the next that is still there, or the one before it.
  function focusNear(at, ids) {
    const every = rows().map(linkOf);
    const known = new Set(ids), place = Math.max(at, 0);
    const following = new Set(ids.slice(place)), preceding = ids.slice(0, place).reverse();
    const next = at >= ids.length ? every.find((link) => !known.has(link.id)) : every.find((link) => following.has(link.id));
    const previous = preceding.map((id) => document.getElementById(id)).find(Boolean);
    (next ?? previous ?? every[0] ?? document.querySelector("#threads a"))?.focus();
  }

  // Where the reader is in the lists, for the pages of threads.
  window.addEventListener("pagehide", () => {
    if (document.getElementById("selection")) sessionStorage.setItem(PLACE, location.search);
  });
  function leadBack() {
    const link = document.querySelector(".back a[data-list]"), place = sessionStorage.getItem(PLACE);
    if (!link || !place) return;
    link.search = place;
    const form = document.getElementById("of-thread"), fields = new URLSearchParams(place);
    if (!form || form.elements.show.value) return;
    for (const name of ["show", "before", "to"]) form.elements[name].value = fields.get(name) ?? "";
  }

  showSelection();
  leadBack();
})();
