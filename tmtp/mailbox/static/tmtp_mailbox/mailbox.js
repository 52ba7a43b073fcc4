// What the mailbox is nicer with and works without: what comes appears by itself, and Ctrl+Enter sends.
// The site says "news" over a WebSocket; parts of the page then ask for theirs (htmx, event "mailbox" on <body>).
"use strict";

(() => {
  const NEWS = new URL(document.currentScript.dataset.news, location.href).href.replace(/^http/, "ws");
  const SIGN_IN = 4401, PATIENCE = 30_000;
  let wait = 1000;

  function refresh() {
    htmx.trigger(document.body, "mailbox");
  }

  function listen() {
    const socket = new WebSocket(NEWS);
    socket.addEventListener("open", () => { wait = 1000; });
    socket.addEventListener("message", refresh);  // the first comes at once: something may have come meanwhile
    socket.addEventListener("close", (event) => {
      if (event.code === SIGN_IN) return;
      setTimeout(listen, wait + Math.random() * 1000);  // not all pages at once when the site is back
      wait = Math.min(wait * 2, PATIENCE);
    });
  }

  // Load htmx unless the site's base template has done so. Nothing listens when the site has no htmx at all.
  function loadHtmx(then) {
    if (window.htmx) return then();
    const tags = document.getElementById("mailbox-htmx").content.cloneNode(true);
    const script = tags.querySelector("script");
    if (!script) return;
    if (!document.querySelector('meta[name="htmx-config"]')) {
      const config = document.createElement("meta");
      config.name = "htmx-config";
      config.content = '{"includeIndicatorStyles": false, "allowEval": false, "historyCacheSize": 0}';
      document.head.append(config);
    }
    script.addEventListener("load", then);
    document.head.append(tags);
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches("[data-send]")) {
      event.target.form.requestSubmit();
    }
  });

  // The number of unread threads, in the title and wherever the site's own template shows it.
  document.addEventListener("htmx:afterSettle", () => {
    const unread = document.querySelector("[data-unread]")?.dataset.unread;
    if (unread === undefined) return;
    const some = unread !== "0";
    document.title = (some ? `(${unread}) ` : "") + document.title.replace(/^\(\d+\+?\) /, "");
    for (const place of document.querySelectorAll("[data-unread-count]")) {
      place.textContent = some ? unread : "";
      place.hidden = !some;
    }
  });

  window.addEventListener("load", () => {
    if (document.querySelector("[data-live]")) loadHtmx(listen);
  });
})();
