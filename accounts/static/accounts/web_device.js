// The page “Web client”: a device whose program is the browser. What it logs in with goes to the TMTP service
// alone, and is kept, if at all, in this tab's sessionStorage.
import { Link, text } from "../tmtp/tmtp.js";

const ROWS = 200;
const TEXT = 2000; // characters of a message that are shown
const KEPT = "tmtp-live";
const words = JSON.parse(document.getElementById("words").textContent);
const at = (id) => document.getElementById(id);
const fill = (word, names) => words[word].replace(/\{(\w+)\}/g, (_, name) => names[name]);

let link, place, uid, nodeid, alias; // of the link, and whose it is
let wanted = false; // the person wants to be connected
let pause = 1; // seconds until the next try

function say(said, wrong = false) {
  at("status").textContent = said;
  at("status").className = wrong ? "note danger" : "note";
  at("status").hidden = false;
}

function show(connected) {
  if (connected === !at("connected").hidden) return;
  at("entrance").hidden = connected;
  at("connected").hidden = !connected;
  at(connected ? "leave" : "uid").focus();
}

const why = (reason) => words[reason] ?? fill("refused", { name: place, reason });

// in

function shown(header, data) {
  const head = header.datahead ? JSON.parse(text(data.subarray(0, header.datahead))) : {};
  const files = (head.attach ?? []).reduce((sum, file) => sum + file.size, 0);
  const body = data.subarray(header.datahead ?? 0, data.length - files);
  try {
    return { head, body: new TextDecoder("utf-8", { fatal: true }).decode(body).slice(0, TEXT) };
  } catch {
    return { head, body: fill("octets", { count: body.length }) };
  }
}

function arrived(kind, title, body, header) {
  const row = at("row").content.cloneNode(true);
  row.querySelector(".title").textContent = title;
  row.querySelector(".text").textContent = body;
  const when = header.posted ? new Date(header.posted) : new Date();
  row.querySelector(".from").textContent = [when.toLocaleTimeString(), header.from].join(" · ");
  row.querySelector(".badge").textContent = kind;
  at("arrived").prepend(row);
  at("arrived").hidden = false;
  at("nothing").hidden = true;
  while (at("arrived").children.length > ROWS) at("arrived").lastElementChild.remove();
}

function handle({ header, data }) {
  const { head, body } = shown(header, data);
  const what = [head.subject, header.gid, header.act, header.newalias, header.newnode].filter(Boolean).join(" · ");
  const who = head.alias || header.alias || (header.from === uid ? alias : "") || words.unnamed;
  arrived(words[header.op] ?? header.op, what || who, body, header);
}

// connecting

async function connect(enter) {
  place = location.host;
  wanted = true;
  link = new Link(handle, at("connected").dataset.link);
  const mine = link;
  link.addEventListener("ohi", ({ detail }) => {
    arrived(words.ohiedit, words[detail.status === 1 ? "ohi online" : "ohi offline"], "", detail);
  });
  say(words.connecting);
  let greeted = false;
  try {
    place = (await link.open()).name;
    greeted = true;
    await enter();
    pause = 1;
    link.addEventListener("close", ({ detail }) => mine === link && ended(detail));
    show(true);
  } catch (error) {
    refused(error.message, greeted);
  }
}

const logIn = () => connect(async () => {
  await link.login(uid, nodeid);
  say(fill("connected", { name: place }));
});

function refused(reason, greeted) {
  const lost = !greeted || reason === "the connection was lost";
  // a link that was lost may seem to be there for a while
  if ((lost || reason === "node already connected") && !at("connected").hidden) return tryAgain();
  show(false);
  say(lost ? words.unreachable : why(reason), true);
}

function ended(reason) {
  if (!wanted) return;
  if (reason === "the connection was lost") return tryAgain();
  say(why(reason), true);
  show(false);
}

function tryAgain() {
  say(fill("lost", { seconds: pause }), true);
  setTimeout(() => wanted && logIn(), pause * 1000);
  pause = Math.min(2 * pause, 60);
}

at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  [uid, nodeid, alias] = [at("uid").value.trim(), at("nodeid").value.trim(), ""];
  if (at("remember").checked) sessionStorage.setItem(KEPT, JSON.stringify({ uid, nodeid }));
  else sessionStorage.removeItem(KEPT);
  at("secrets").hidden = true;
  logIn();
});

at("register").addEventListener("submit", (event) => {
  event.preventDefault();
  alias = at("alias").value.trim();
  connect(async () => {
    const made = await link.register(at("label").value, alias || "_");
    ({ uid, nodeid } = made);
    if (made.error) alias = "";
    at("new_uid").textContent = at("uid").value = uid;
    at("new_nodeid").textContent = at("nodeid").value = nodeid;
    at("secrets").hidden = false;
    say([words.registered, made.error ? fill("alias", { reason: made.error.replace(/^newalias /, "") }) : ""].join(" "), Boolean(made.error));
  });
});

at("leave").addEventListener("click", () => {
  wanted = false;
  link.close();
  say(words.disconnected);
  show(false);
});

// out

at("write").addEventListener("submit", async (event) => {
  event.preventDefault();
  const head = { threadid: "", alias, subject: at("subject").value };
  try {
    const { posted } = await link.post([at("to").value.trim()], at("text").value, head);
    at("sent").textContent = fill("sent", { time: new Date(posted).toLocaleTimeString() });
    at("subject").value = at("text").value = "";
  } catch (error) {
    at("sent").textContent = why(error.message);
  }
});

const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
for (const button of document.querySelectorAll("#entrance button")) button.disabled = false;
if (kept) {
  [at("uid").value, at("nodeid").value, at("remember").checked] = [kept.uid, kept.nodeid, true];
  at("login").requestSubmit();
}
