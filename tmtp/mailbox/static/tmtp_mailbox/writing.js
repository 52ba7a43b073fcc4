// Forms to write with. What is typed is saved as a draft some seconds later, and files are uploaded at once, by choosing,
// dropping or pasting them. Without this, the buttons of the form do the same.
"use strict";

class Writing {
  static PAUSE = 3000;  // milliseconds after the last key
  static AT_ONCE = 60_000;  // characters that a browser still sends when the page is left

  constructor(form) {
    this.form = form;
    this.texts = form.querySelector("[data-texts]")?.dataset ?? {};
    this.list = form.querySelector("[data-files]");
    this.changed = "failed" in form.dataset;  // since the last save
    this.stuck = false;  // the last save was refused, or failed
    this.sending = false;
    this.saving = null;
    this.uploads = Promise.resolve();
    this.waiting = 0;  // files that are not uploaded yet
    form.addEventListener("input", (event) => event.target.type !== "file" && this.change());
    form.addEventListener("submit", (event) => this.submit(event));
    window.addEventListener("beforeunload", (event) => this.isUnsaved() && event.preventDefault());
    if (!this.keepsDrafts) return;
    document.addEventListener("visibilitychange", () => document.hidden && this.leave());
    window.addEventListener("pagehide", () => this.leave());
    this.acceptFiles();
    if (this.changed) this.change();
  }

  get keepsDrafts() { return "save" in this.form.dataset; }
  field(name) { return this.form.elements[name]; }
  get headers() { return { "X-CSRFToken": this.field("csrfmiddlewaretoken").value }; }

  say(text, ...buttons) {
    const place = this.form.querySelector("[data-saved]");
    place.classList.toggle("stuck", this.stuck);
    place.replaceChildren(text, ...buttons.flatMap((button) => [" ", button]));
  }

  button(text, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button small";
    button.textContent = text;
    button.addEventListener("click", act);
    return button;
  }

  // saving

  change() {
    this.changed = true;
    clearTimeout(this.timer);
    if (this.keepsDrafts && !this.stuck) this.timer = setTimeout(() => this.save(), Writing.PAUSE);
  }

  data() {
    const data = new FormData(this.form);
    for (const [name, value] of [...data]) if (value instanceof File) data.delete(name);
    return data;
  }

  // Save what is in the form, and return whether it is saved.
  async save() {
    if (this.saving) await this.saving;
    if (this.sending) return true;
    clearTimeout(this.timer);
    this.saving = this.request(false);
    const saved = await this.saving;
    this.saving = null;
    return saved;
  }

  async request(leaving) {
    this.changed = false;
    this.control?.abort();
    this.control = new AbortController();
    try {
      const answer = await fetch(this.form.dataset.save, {
        method: "POST", body: this.data(), headers: this.headers, keepalive: leaving, signal: this.control.signal,
      });
      const said = await answer.json();
      if (said.draft) this.note(said);
      this.stuck = !answer.ok;
      if (answer.ok) this.say(said.text);
      else this.refused(said);
      return answer.ok;
    } catch (error) {
      if (error.name === "AbortError") return false;
      this.stuck = this.changed = true;
      this.say(this.texts.offline, this.button(this.texts.tryAgain, () => this.save()));
      return false;
    }
  }

  note(said) {
    this.field("draft").value = said.draft;
    this.field("revision").value = said.revision;
    if (said.files) this.form.dataset.filesAt = said.files;
  }

  // Another tab has saved another text: nothing is saved any more until the reader says which is the right one.
  refused(said) {
    this.changed = true;
    const again = this.button(this.texts.tryAgain, () => this.save());
    const other = this.button(this.texts.openOther, () => { this.sending = true; location.reload(); });
    this.say(said.error, ...(said.code === "draft_changed" ? [again, other] : [again]));
  }

  isWritten() {
    const fields = this.form.querySelectorAll("textarea, [type=text], [type=file]");
    const before = (field) => ("failed" in this.form.dataset ? "" : field.defaultValue);
    return [...fields].some((field) => (field.type === "file" ? field.files.length : field.value !== before(field)));
  }

  // Whether leaving the page loses something. What can still be saved is saved.
  isUnsaved() {
    if (this.sending) return false;
    if (!this.keepsDrafts) return this.isWritten();
    return this.waiting > 0 || (this.changed && (this.stuck || !this.leave()));
  }

  leave() {
    if (!this.changed || this.stuck || this.sending) return true;
    if (this.field("text").value.length > Writing.AT_ONCE) return false;
    this.request(true);
    return true;
  }

  async submit(event) {
    if (event.submitter?.name === "save" && this.keepsDrafts) {
      event.preventDefault();
      this.stuck = false;
      return this.save();
    }
    if (event.defaultPrevented || !this.keepsDrafts) return void (this.sending = !event.defaultPrevented);
    if (!this.waiting && !this.saving) return this.send(event);
    event.preventDefault();
    if (this.waiting) this.say(this.texts.waiting);
    await this.uploads;
    await this.saving;
    this.form.requestSubmit();
  }

  send(event) {
    const failed = this.list.querySelector("[data-not-uploaded] button");
    if (failed) {
      event.preventDefault();
      this.say(this.texts.failed);
      return failed.focus();
    }
    this.sending = true;
    clearTimeout(this.timer);
  }

  // files

  acceptFiles() {
    const chooser = this.form.querySelector("[type=file]");
    chooser.addEventListener("change", () => {
      this.add([...chooser.files]);
      chooser.value = "";
    });
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    this.form.addEventListener("dragover", (event) => {
      if (hasFiles(event)) event.preventDefault();
      this.form.classList.toggle("dropping", hasFiles(event));
    });
    for (const end of ["dragleave", "drop"]) {
      this.form.addEventListener(end, () => this.form.classList.remove("dropping"));
    }
    this.form.addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      this.add([...event.dataTransfer.files]);
    });
    this.form.addEventListener("paste", (event) => {
      const files = [...event.clipboardData.files];
      if (!files.length) return;
      event.preventDefault();
      this.add(files);
    });
    this.list.addEventListener("click", (event) => {
      const button = event.target.closest("[data-remove]");
      if (!button) return;
      event.preventDefault();
      this.remove(button);
    });
  }

  add(files) {
    for (const file of files) {
      const row = this.rowOf(file);
      this.list.append(row);
      this.list.hidden = false;
      this.waiting += 1;
      this.uploads = this.uploads.then(() => this.upload(file, row)).finally(() => { this.waiting -= 1; });
    }
  }

  rowOf(file) {
    const row = document.createElement("li");
    const name = document.createElement("bdi");
    name.textContent = file.name;
    const progress = document.createElement("progress");
    progress.max = file.size || 1;
    progress.value = 0;
    progress.setAttribute("aria-label", this.texts.uploading.replace("{name}", file.name));
    const cancel = this.button(this.texts.cancel, () => { row.cancelled = true; row.request?.abort(); this.drop(row); });
    cancel.className = "button link";
    cancel.setAttribute("aria-label", `${this.texts.cancel} ${file.name}`);
    row.append(name, " ", progress, " ", cancel);
    return row;
  }

  async upload(file, row) {
    if (row.cancelled) return;
    if (!this.field("draft").value && !(await this.save())) return this.fail(row, this.texts.notUploaded);
    const answer = await this.transfer(file, row);
    if (row.cancelled) return;
    if (!answer?.row) return this.fail(row, answer?.error ?? this.texts.notUploaded);
    const template = document.createElement("template");
    template.innerHTML = answer.row;  // of a template of the site, in which the name is escaped
    const hadFocus = row.contains(document.activeElement);
    const shown = template.content.firstElementChild;
    row.replaceWith(shown);
    if (hadFocus) shown.querySelector("[data-remove]").focus();
    this.form.querySelector("[data-total]").textContent = answer.total;
    this.say(this.texts.uploaded.replace("{name}", file.name));
  }

  // Send a file, and return what the site answers, or null.
  transfer(file, row) {
    return new Promise((done) => {
      const request = (row.request = new XMLHttpRequest());
      request.open("POST", `${this.form.dataset.filesAt}?name=${encodeURIComponent(file.name)}`);
      request.setRequestHeader("X-CSRFToken", this.headers["X-CSRFToken"]);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.responseType = "json";
      request.upload.addEventListener("progress", (event) => {
        row.querySelector("progress").value = event.loaded;
      });
      request.addEventListener("loadend", () => done(request.response));
      request.send(file);
    });
  }

  fail(row, text) {
    row.dataset.notUploaded = "";
    row.querySelector("progress").remove();
    const why = document.createElement("span");
    why.className = "errorlist";
    why.textContent = text;
    const remove = this.button(this.texts.remove, () => this.drop(row));
    remove.className = "button link";
    row.querySelector("button").replaceWith(why, " ", remove);
    this.say(text);
  }

  async remove(button) {
    const row = button.closest("li");
    try {
      const answer = await fetch(button.dataset.remove, { method: "POST", headers: this.headers });
      if (!answer.ok) throw new Error(answer.status);
      this.form.querySelector("[data-total]").textContent = (await answer.json()).total;
      this.say(this.texts.removed.replace("{name}", row.querySelector("bdi").textContent));
      this.drop(row);
    } catch {
      this.say(this.texts.offline);
    }
  }

  drop(row) {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    this.list.hidden = !this.list.children.length;
    (next?.querySelector("button") ?? this.form.querySelector("[type=file]")).focus();
  }
}

for (const form of document.querySelectorAll("form[data-writing]")) form.writing = new Writing(form);
