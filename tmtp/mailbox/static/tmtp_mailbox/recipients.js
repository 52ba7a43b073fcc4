// The field for recipients: names of people and groups whom the member knows are offered while one types, and each
// recipient becomes a token. The pattern is ARIA's combobox with a list. Without this, it is a plain field.
"use strict";

class Recipients {
  static PAUSE = 150;  // milliseconds after the last key

  constructor(field) {
    this.field = field;
    this.texts = field.dataset;
    this.single = "single" in field.dataset;
    this.names = [];
    this.active = -1;
    this.options = [];
    this.input = this.makeInput();
    this.box = this.make("ul", { role: "listbox", id: `${field.id}_known`, "aria-label": this.texts.known, hidden: "" });
    this.status = this.make("p", { role: "status", class: "visually-hidden" });
    this.tokens = this.make("ul", { class: "tokens", "aria-label": this.texts.chosen });
    this.whole = this.make("div", { class: "recipients" });
    this.whole.append(...(this.single ? [] : [this.tokens]), this.input, this.box, this.status);
    const given = field.getAttribute("value") ?? "";
    field.type = "hidden";
    field.removeAttribute("id");
    field.after(this.whole);
    if (this.single) this.input.value = given;
    else for (const name of this.split(given)) this.append(name);
    this.listen();
  }

  make(kind, attributes) {
    const element = document.createElement(kind);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  makeInput() {
    const input = this.make("input", {
      type: "text", id: this.field.id, role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false",
      "aria-controls": `${this.field.id}_known`, autocomplete: "off", autocapitalize: "none", spellcheck: "false",
    });
    for (const name of ["aria-describedby", "aria-invalid"]) {
      if (this.field.hasAttribute(name)) input.setAttribute(name, this.field.getAttribute(name));
      this.field.removeAttribute(name);
    }
    if (this.field.required) input.setAttribute("aria-required", "true");
    return input;
  }

  split(text) {
    const lines = text.includes("\n") ? text.split("\n") : text.split(/[,，、،]/);
    return lines.map((name) => name.trim()).filter(Boolean);
  }

  listen() {
    const { input, box } = this;
    input.addEventListener("input", (event) => {
      event.stopPropagation();
      this.note();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.look(), Recipients.PAUSE);
    });
    input.addEventListener("keydown", (event) => this.key(event));
    input.addEventListener("blur", () => { this.take(); this.close(); });
    box.addEventListener("pointerdown", (event) => {
      event.preventDefault();  // so that the field keeps the focus
      const option = event.target.closest("[role=option]");
      if (option) this.choose(option.dataset.name);
    });
    this.tokens.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.drop([...this.tokens.children].indexOf(button.closest("li")));
    });
    this.field.form.addEventListener("submit", () => this.note(), true);
  }

  key(event) {
    if (event.isComposing) return;
    const open = !this.box.hidden;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!open) return void this.look();
      const count = this.options.length, step = event.key === "ArrowDown" ? 1 : -1;
      this.mark(this.active < 0 && step < 0 ? count - 1 : (this.active + step + count) % count);
    } else if (event.key === "Enter" && open && this.active >= 0) {
      event.preventDefault();
      this.choose(this.options[this.active].dataset.name);
    } else if ((event.key === "Enter" || event.key === ",") && !this.single && this.input.value.trim()) {
      event.preventDefault();
      this.take();
    } else if (event.key === "Escape" && open) {
      event.preventDefault();
      this.close();
    } else if (event.key === "Backspace" && !this.input.value && this.names.length) {
      this.drop(this.names.length - 1);
    }
  }

  // suggestions

  async look() {
    const typed = this.input.value.trim();
    const number = (this.asked = (this.asked ?? 0) + 1);
    try {
      const answer = await fetch(`${this.texts.complete}?q=${encodeURIComponent(typed)}`);
      const { found, text } = await answer.json();
      if (number !== this.asked || document.activeElement !== this.input) return;
      this.show(found.filter((one) => !this.names.includes(one.name)), text);
    } catch {
      this.close();  // no connection, or no longer signed in: the field still takes what is typed
    }
  }

  show(found, text) {
    this.options = found.map((one, place) => {
      const option = this.make("li", { role: "option", id: `${this.input.id}_${place}`, "aria-selected": "false" });
      const name = this.make("bdi", {});
      name.textContent = option.dataset.name = one.name;
      option.append(name);
      if (one.group) option.append(" ", Object.assign(this.make("span", { class: "badge" }), { textContent: one.group }));
      return option;
    });
    this.box.replaceChildren(...this.options);
    this.active = -1;
    this.input.removeAttribute("aria-activedescendant");
    this.box.hidden = !found.length;
    this.input.setAttribute("aria-expanded", String(!this.box.hidden));
    this.status.textContent = text;
  }

  mark(place) {
    this.active = place;
    this.options.forEach((option, at) => option.setAttribute("aria-selected", String(at === place)));
    this.input.setAttribute("aria-activedescendant", this.options[place].id);
    this.options[place].scrollIntoView({ block: "nearest" });
  }

  close() {
    this.asked = (this.asked ?? 0) + 1;
    clearTimeout(this.timer);
    this.box.hidden = true;
    this.active = -1;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  // recipients

  choose(name) {
    this.input.value = this.single ? name : "";
    if (!this.single) this.append(name);
    this.note();
    this.close();
  }

  // Make tokens of what is typed.
  take() {
    if (this.single || !this.input.value.trim()) return;
    for (const name of this.split(this.input.value)) this.append(name);
    this.input.value = "";
    this.note();
    this.close();
  }

  append(name) {
    if (this.names.includes(name)) return;
    this.names.push(name);
    const token = this.make("li", {}), shown = this.make("bdi", {});
    shown.textContent = name;
    const button = this.make("button", { type: "button", "aria-label": this.texts.remove.replace("{name}", name) });
    button.textContent = "×";
    token.append(shown, button);
    this.tokens.append(token);
  }

  drop(place) {
    this.names.splice(place, 1);
    this.tokens.children[place].remove();
    this.note();
    this.input.focus();
  }

  // Write all names into the field that is sent. A name on a line of its own may have commas.
  note() {
    const typed = this.input.value.trim();
    const names = typed ? [...this.names, typed] : this.names;
    if (this.field.value === names.join("\n")) return;
    this.field.value = names.join("\n");
    this.field.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

for (const field of document.querySelectorAll("input[data-complete]")) new Recipients(field);
