// What pages are nicer with and work without: buttons that copy what is beside them (see .secret in pages.css).
"use strict";

function offerCopying(root) {
  for (const button of root.querySelectorAll("button[data-copy][hidden]")) {
    button.hidden = !navigator.clipboard;
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
  const said = button.textContent;
  button.textContent = button.dataset.copied || said;
  setTimeout(() => { button.textContent = said; }, 2000);
});

document.addEventListener("DOMContentLoaded", () => offerCopying(document));
document.addEventListener("htmx:load", (event) => offerCopying(event.detail.elt));
