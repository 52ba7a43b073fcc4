// Single keys for lists and threads, unless a field has the focus or the member has turned them off: then there is no
// dialog that lists them. A key does what a link or button of the page does.
"use strict";

(() => {
  const dialog = document.getElementById("shortcuts");
  if (!dialog) return;
  const LAST = "tmtp-mailbox-row";
  const FIELDS = "textarea, select, input:not([type=checkbox], [type=radio]), [contenteditable]";
  const ACTIONS = { e: ["archive", "inbox"], s: ["star", "unstar"], m: ["mute", "unmute"], u: ["unread", "read"], "#": ["delete"] };
  const MARKS = { inbox: "archived", unstar: "starred", unmute: "muted", read: "unreadThread" };
  const find = (what) => document.querySelector(what);

  // What has a turn: the rows of a list, the messages of a thread, and the link to more of them.
  function items() {
    return [...document.querySelectorAll(".threads .row .title a, .threads .more a, .thread article, .thread .more a")];
  }
  function current() {
    const here = document.activeElement.closest(".row, .more, article");
    const there = sessionStorage.getItem(LAST);
    return items().find((item) => here?.contains(item)) ?? items().find((item) => there && item.id === there);
  }
  function move(step) {
    const every = items(), at = every.indexOf(current());
    const item = every[Math.min(Math.max(at + step, 0), every.length - 1)];
    item?.focus();
    item?.closest("li")?.scrollIntoView({ block: "nearest" });
  }
  document.addEventListener("focusin", (event) => {
    if (event.target.matches(".threads .title a")) sessionStorage.setItem(LAST, event.target.id);
  });

  // Press the button for an action, or the one that takes it back if it has been done to all rows that are meant.
  function act([action, back]) {
    const form = find("#of-thread") ?? find("#selection");
    if (!form) return;
    if (form.id === "selection") {
      const row = current()?.closest(".row"), box = row?.querySelector("[name=thread]");
      if (!form.querySelector("[name=thread]:checked") && box) box.checked = true;
      const meant = [...form.querySelectorAll(".row:has([name=thread]:checked)")];
      if (!meant.length) return;
      if (back && meant.every((one) => MARKS[back] in one.dataset)) action = back;
    }
    const button = form.querySelector(`button[value="${action}"]`) ?? (form.id === "of-thread" ? form.querySelector(`button[value="${back}"]`) : null);
    button?.click();  // htmx learns from a click which button it was
  }

  function reply() {
    const row = current();
    if (row?.matches(".title a")) location.assign(row.href.split("#")[0] + "#reply");
    else find("form[data-writing] textarea")?.focus();
  }

  const KEYS = {
    j: () => move(1),
    k: () => move(-1),
    o: () => current()?.matches("a") && current().click(),
    x: () => current()?.closest(".row")?.querySelector("[name=thread]")?.click(),
    c: () => location.assign(dialog.dataset.write),
    r: reply,
    z: () => [...document.querySelectorAll("[data-undo]")].at(-1)?.click(),
    "/": () => find("[type=search]") ? find("[type=search]").focus() : location.assign(dialog.dataset.search),
    "?": () => dialog.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
    if (event.target.closest(FIELDS) || find("dialog[open]")) return;
    if (event.repeat && !"jk".includes(event.key)) return;
    const done = KEYS[event.key] ?? (ACTIONS[event.key] && (() => act(ACTIONS[event.key])));
    if (!done) return;
    event.preventDefault();
    done();
  });

  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-opens=shortcuts]")) return;
    event.preventDefault();
    dialog.showModal();
  });

  if (location.hash === "#reply") find("form[data-writing] textarea")?.focus();
})();
