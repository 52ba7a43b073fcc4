// Refreshes the figures every ten seconds while the page is visible. Without JavaScript there is a link.
"use strict";

const figures = document.getElementById("figures");

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(figures.dataset.url, { redirect: "error" }).catch(() => null);
  if (answer === null || !answer.ok) return;
  const before = document.querySelector(".tmtp-scroll"), left = before?.scrollLeft ?? 0;
  const hadFocus = before && before === document.activeElement;
  figures.innerHTML = await answer.text();
  const table = document.querySelector(".tmtp-scroll");
  if (table) table.scrollLeft = left;
  if (hadFocus) table?.focus();
}

if (figures) setInterval(refresh, 10000);
