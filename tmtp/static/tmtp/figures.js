// Refreshes the figures every ten seconds while the page is visible. Without JavaScript there is a link.
"use strict";

const figures = document.getElementById("figures");

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(figures.dataset.url, { redirect: "error" }).catch(() => null);
  if (answer === null || !answer.ok) return;
  const left = document.querySelector(".tmtp-scroll")?.scrollLeft ?? 0;
  figures.innerHTML = await answer.text();
  const table = document.querySelector(".tmtp-scroll");
  if (table) table.scrollLeft = left;
}

if (figures) setInterval(refresh, 10000);
