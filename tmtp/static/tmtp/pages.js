// What pages are nicer with and work without: buttons that copy what is beside them (see .secret in pages.css), passwords
// that can be shown, and the focus on a field with an error.
"use strict";

// The reader's time zone, in which the site shows times (tmtp/web/time_zone.py).
document.cookie = "tmtp_time_zone=" + encodeURIComponent(Intl.DateTimeFormat().resolvedOptions().timeZone)
  + ";path=/;max-age=31536000;samesite=lax" + (location.protocol === "https:" ? ";secure" : "");

// A button beside a password shows it.
function offerShowing(root) {
  for (const field of root.querySelectorAll("input[data-show]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button small";
    button.textContent = field.dataset.show;
    button.setAttribute("aria-controls", field.id);
    button.addEventListener("click", () => {
      const shown = field.type === "password";
      field.type = shown ? "text" : "password";
      button.textContent = shown ? field.dataset.hide : field.dataset.show;
    });
    const both = document.createElement("div");
    both.className = "with-button";
    field.replaceWith(both);
    both.append(field, button);
  }
}

function offerCopying(root) {
  for (const button of root.querySelectorAll("button[data-copy][hidden]")) {
    button.hidden = !navigator.clipboard;
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const copied = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(copied.textContent.trim());
  } catch {  // the browser forbids it: what is selected can be copied with its own command
    return getSelection().selectAllChildren(copied);
  }
  const said = button.textContent;
  button.textContent = button.dataset.copied || said;
  setTimeout(() => { button.textContent = said; }, 2000);
});

// After a mistake in a form, the reader goes on where it is. The address may have a fragment ("Skip to content"), to which
// the browser itself goes until the page is loaded.
function focusError() {
  if (document.activeElement.matches("body, main, [autofocus]")) document.querySelector("[aria-invalid=true], .errorlist.nonfield")?.focus();
}

document.addEventListener("DOMContentLoaded", () => { offerCopying(document); offerShowing(document); });
window.addEventListener("load", focusError);
document.addEventListener("htmx:load", (event) => offerCopying(event.detail.elt));
