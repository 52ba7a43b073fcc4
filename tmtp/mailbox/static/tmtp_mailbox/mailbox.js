// What the mailbox is nicer with and works without: what comes appears by itself, and Ctrl+Enter sends.
// The site says "news" over a WebSocket; parts of the page then ask for theirs (htmx, event "mailbox" on <body>).
"use strict";

(() => {
  const SIGN_IN = 4401, PATIENCE = 30_000;
  let wait = 1000;

  function refresh() {
    if (window.htmx) htmx.trigger(document.body, "mailbox");
  }

  function listen() {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live/mailbox`);
    socket.addEventListener("open", () => { wait = 1000; });
    socket.addEventListener("message", refresh);  // the first comes at once: something may have come meanwhile
    socket.addEventListener("close", (event) => {
      if (event.code === SIGN_IN) return;
      setTimeout(listen, wait + Math.random() * 1000);  // not all pages at once when the site is back
      wait = Math.min(wait * 2, PATIENCE);
    });
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches("[data-send]")) {
      event.target.form.requestSubmit();
    }
  });

  document.addEventListener("DOMContentLoaded", () => {
    if (document.querySelector("[data-live]")) listen();
  });
})();
