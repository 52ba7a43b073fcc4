// Forms with data-passkey="create" or "get": when one is sent, the browser is asked for a passkey first, and its answer goes into
// the field "answer". The options are JSON in #passkey_options.
"use strict";

function complain(form, text) {
  const list = form.querySelector("[data-error]");
  const item = document.createElement("li");
  item.textContent = text;
  list.replaceChildren(item);
  list.hidden = false;
}

async function ask(form) {
  const texts = form.querySelector("[data-error]").dataset;
  const kind = window.PublicKeyCredential;
  if (!kind || !kind.parseRequestOptionsFromJSON) return complain(form, texts.impossible);
  const options = JSON.parse(document.getElementById("passkey_options").textContent);
  try {
    const credential = form.dataset.passkey === "create"
      ? await navigator.credentials.create({ publicKey: kind.parseCreationOptionsFromJSON(options) })
      : await navigator.credentials.get({ publicKey: kind.parseRequestOptionsFromJSON(options) });
    form.elements.answer.value = JSON.stringify(credential.toJSON());
  } catch (error) {
    return complain(form, error.name === "InvalidStateError" ? texts.known : texts.failed);
  }
  form.submit();
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(form);
  });
}
