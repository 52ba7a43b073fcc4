// Rows that are added to a form of the admin, and removed: the reader goes on in the new one, or where another can be added.
"use strict";

document.addEventListener("formset:added", (event) => {
  event.target.querySelector("input:not([type=hidden]), select, textarea")?.focus();
});
document.addEventListener("formset:removed", (event) => {
  document.querySelector(`#${event.detail.formsetName}-group .add-row a`)?.focus();
});
