// Buttons that write CommonMark around the selection, the preview, and quotes of the messages of a thread.
"use strict";

class Formatting {
  static KEYS = { b: "bold", i: "italic", k: "link" };

  constructor(form, toolbar) {
    this.form = form;
    this.area = form.querySelector("textarea");
    this.buttons = [...toolbar.querySelectorAll("button")];
    this.area.before(toolbar);
    toolbar.hidden = false;
    this.buttons.forEach((button, place) => { button.tabIndex = place ? -1 : 0; });
    toolbar.addEventListener("click", (event) => {
      const kind = event.target.closest("button")?.dataset.format;
      if (kind) this.format(kind);
    });
    toolbar.addEventListener("keydown", (event) => this.move(event));
    this.area.addEventListener("keydown", (event) => {
      const kind = Formatting.KEYS[event.key.toLowerCase()];
      if (!kind || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
      event.preventDefault();
      this.format(kind);
    });
    form.querySelector("[name=preview]").addEventListener("click", (event) => this.preview(event));
  }

  // One button has a place in the order of Tab; arrows lead to the others.
  move(event) {
    const at = this.buttons.indexOf(document.activeElement), last = this.buttons.length - 1;
    const forwards = getComputedStyle(this.area).direction === "rtl" ? "ArrowLeft" : "ArrowRight";
    const backwards = forwards === "ArrowLeft" ? "ArrowRight" : "ArrowLeft";
    const to = { [forwards]: at === last ? 0 : at + 1, [backwards]: at ? at - 1 : last, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.buttons.forEach((button, place) => { button.tabIndex = place === to ? 0 : -1; });
    this.buttons[to].focus();
  }

  format(kind) {
    const { area } = this, chosen = area.value.slice(area.selectionStart, area.selectionEnd);
    if (kind === "bold") this.around("**", chosen);
    else if (kind === "italic") this.around("*", chosen);
    else if (kind === "link") this.link(chosen);
    else if (kind === "code" && !chosen.includes("\n")) this.around("`", chosen);
    else if (kind === "code") this.replace("```\n" + chosen + "\n```");
    else this.lines(kind === "list" ? "- " : "> ");
  }

  // Put marks around the selection, or take them away. Spaces stay outside: marks beside a space mean nothing.
  around(mark, chosen) {
    const size = mark.length;
    const marked = chosen.length > 2 * size && chosen.startsWith(mark) && chosen.endsWith(mark);
    if (marked) return this.replace(chosen.slice(size, -size), 0, chosen.length - 2 * size);
    const inner = chosen.trim(), before = chosen.slice(0, chosen.indexOf(inner)), after = chosen.slice(before.length + inner.length);
    this.replace(before + mark + inner + mark + after, before.length + size, inner.length);
  }

  link(chosen) {
    const isAddress = /^https?:\/\/\S+$/.test(chosen);
    if (isAddress) this.replace(`[](${chosen})`, 1, 0);
    else this.replace(`[${chosen}](https://)`, chosen ? chosen.length + 3 : 1, chosen ? 8 : 0);
  }

  // Begin each line of the selection with a mark, or take it away from all of them.
  lines(mark) {
    const { area } = this;
    const from = area.value.lastIndexOf("\n", area.selectionStart - 1) + 1;
    const end = area.value.indexOf("\n", area.selectionEnd);
    area.setSelectionRange(from, end < 0 ? area.value.length : end);
    const lines = area.value.slice(from, area.selectionEnd).split("\n");
    const marked = lines.every((line) => line.startsWith(mark));
    this.replace(lines.map((line) => (marked ? line.slice(mark.length) : mark + line)).join("\n"));
  }

  // Replace the selection, as typing does, so that Ctrl+Z takes it back; then select `size` characters from `at` of it.
  replace(text, at = text.length, size = 0) {
    const { area } = this, start = area.selectionStart;
    area.focus();
    if (!document.execCommand("insertText", false, text)) {
      area.setRangeText(text);
      area.dispatchEvent(new Event("input", { bubbles: true }));
    }
    area.setSelectionRange(start + at, start + at + size);
  }

  async preview(event) {
    event.preventDefault();
    const box = this.form.querySelector("[data-preview]");
    const body = new FormData();
    body.set("text", this.area.value);
    body.set("csrfmiddlewaretoken", this.form.elements.csrfmiddlewaretoken.value);
    try {
      const answer = await fetch(box.dataset.preview, { method: "POST", body });
      if (!answer.ok || answer.redirected) throw new Error(answer.status);
      box.firstElementChild.innerHTML = await answer.text();  // made safe by the site, as the text of any message
      box.hidden = false;
      box.focus();
    } catch {
      this.form.writing.say(this.form.writing.texts.offline);
    }
  }

  // Quote a message: what is selected of it, or all of it, after what is written already.
  async quote(link) {
    const article = link.closest("article"), selection = getSelection();
    const inside = !selection.isCollapsed && article.querySelector(".prose")?.contains(selection.anchorNode)
      && article.contains(selection.focusNode);
    const text = inside ? selection.toString() : await (await fetch(link.dataset.text)).text();
    const quoted = text.trim().split("\n").map((line) => `> ${line}`.trimEnd()).join("\n");
    const before = this.area.value.trimEnd();
    this.area.setSelectionRange(before.length, this.area.value.length);
    this.replace(`${before ? "\n\n" : ""}${link.dataset.wrote}\n\n${quoted}\n\n`);
    this.area.scrollIntoView({ block: "center" });
  }
}

for (const form of document.querySelectorAll("form[data-save]")) {
  const toolbar = form.querySelector("[data-formatting]");
  if (toolbar) form.formatting = new Formatting(form, toolbar);
}

document.addEventListener("click", async (event) => {
  const link = event.target.closest("[data-quote]");
  const form = document.querySelector("form[data-save]");
  if (!link || !form?.formatting) return;
  event.preventDefault();
  try {
    await form.formatting.quote(link);
  } catch {  // no connection: the address of the link does the same
    location.assign(link.href);
  }
});

// A click on the link must not take the selection away first.
document.addEventListener("pointerdown", (event) => event.target.closest("[data-quote]") && event.preventDefault());
