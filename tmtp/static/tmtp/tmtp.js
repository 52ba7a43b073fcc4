/** TMTP over WebSocket: see docs/how-to/websocket.md. An ES module without dependencies.

    const link = new Link(async ({header, data}) => keep(header, data));
    await link.open();                          // returns tmtprev: {name, auth, authby}
    await link.login(uid, nodeid);              // or register("browser", "ann of rome"), which returns {uid, nodeid}
    const {msgid} = await link.post([uid], "Hello", {threadid: "", alias: "ann of rome", subject: "Greetings"});

The handler is called with each message that waits at the server; its text is `text(data)`. When the handler is done,
the message is acknowledged, and the server deletes it. If the handler throws, the message arrives again later. So a
message may arrive twice. Events: "ohi" (detail: {from, status}) and "close" (detail: the reason). Promises are rejected
with an Error that has the reason. */

const PIECE = 256 * 1024; // octets in one WebSocket message; servers accept up to 1 MiB
const PULSE = 50_000; // milliseconds; the server ends a link after two minutes of silence
const octets = (value) => (typeof value === "string" ? new TextEncoder().encode(value) : value);
export const text = (data) => new TextDecoder().decode(data);

function join(parts) {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}

export class Link extends EventTarget {
  #socket = null;
  #received = []; // pieces of an incomplete frame
  #missing = 4; // octets until the next step of parsing
  #asked = new Map(); // {resolve, reject} by the id of an ack, or by the op of another answer
  #handled = Promise.resolve();
  #last = 0;
  #reason = "the connection was lost";

  constructor(handler, url = "/tmtp") {
    super();
    this.handler = handler;
    this.url = new URL(url, location.href).href.replace(/^http/, "ws");
  }

  /** Connect and send op 0. A link that has ended may be opened again. */
  open() {
    this.#socket?.close();
    this.#giveUp();
    [this.#received, this.#missing, this.#reason] = [[], 4, "the connection was lost"];
    const socket = (this.#socket = new WebSocket(this.url));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.send({ op: 0, id: "1" });
    socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(new Uint8Array(data));
    const pulse = setInterval(() => socket.readyState === WebSocket.OPEN && this.send({ op: 11 }), PULSE);
    socket.onclose = () => (clearInterval(pulse), socket === this.#socket && this.#end());
    return this.#answer("tmtprev");
  }
  /** Op 1: register a new user or, with `oidc`, another device. Returns {uid, nodeid, error}; `error` is why the alias was refused. */
  async register(label, alias = "_", oidc = undefined) {
    const greeted = this.#answer("info");
    greeted.catch(() => {}); // awaited below
    const registered = await this.#ask("registered", { op: 1, newnode: label, newalias: alias, oidc });
    await greeted;
    return registered;
  }
  /** Op 2: log in. Returns {info, ohi: [uids of users who are online]}. */
  login = (uid, nodeid) => this.#ask("info", { op: 2, uid, node: nodeid });
  /** Op 7: post to uids or {id, type}. `head` (tmtp.md section 6) precedes the data. Returns {msgid, posted}. */
  post(to, data, head = undefined) {
    const parts = head ? [octets(JSON.stringify(head)), octets(data)] : [octets(data)];
    const recipients = to.map((one) => (typeof one === "string" ? { id: one, type: 1 } : one));
    return this.request({ op: 7, for: recipients, datahead: head ? parts[0].length : 0 }, join(parts));
  }
  /** Op 9: send a line of text from one's own alias to another alias. Returns {msgid, posted}. */
  ping = (from, to, line) => this.request({ op: 9, from, to }, octets(line));
  /** Send any operation that is answered by an ack. */
  request(header, data = undefined) {
    const id = `${Date.now()}-${++this.#last}`;
    return this.#ask(id, { ...header, id }, data);
  }
  /** Send op 12, after which the server ends the link. */
  close = () => this.#socket?.readyState === WebSocket.OPEN && this.send({ op: 12 });
  /** Send a frame. */
  send(header, data = new Uint8Array()) {
    const head = octets(JSON.stringify(data.length ? { ...header, datalen: data.length } : header));
    const frame = join([octets(head.length.toString(16).padStart(4, "0")), head, data]);
    for (let at = 0; at < frame.length; at += PIECE) this.#socket.send(frame.subarray(at, at + PIECE));
  }

  #answer = (key) => new Promise((resolve, reject) => this.#asked.set(key, { resolve, reject }));
  #ask(key, header, data) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return Promise.reject(new Error(this.#reason));
    const answer = this.#answer(key);
    this.send(header, data);
    return answer;
  }
  #receive(piece) {
    this.#received.push(piece);
    this.#missing -= piece.length;
    while (this.#missing <= 0) {
      const whole = join(this.#received);
      const head = 4 + parseInt(text(whole.subarray(0, 4)), 16);
      const header = whole.length < head ? null : JSON.parse(text(whole.subarray(4, head)));
      const end = header ? head + (header.datalen ?? 0) : head;
      const complete = header && whole.length >= end;
      this.#received = [complete ? whole.subarray(end) : whole];
      this.#missing = (complete ? end + 4 : end) - whole.length;
      if (complete) this.#take(header, whole.slice(head, end));
    }
  }
  #take(header, data) {
    const key = header.op === "ack" ? header.id : header.op;
    const asked = this.#asked.get(key);
    this.#asked.delete(key);
    if (header.op === "quit") this.#reason = header.error;
    else if (header.op === "ohi") this.dispatchEvent(new CustomEvent("ohi", { detail: header }));
    else if (header.from && header.id) this.#handled = this.#handled.then(() => this.#handle(header, data));
    else if (header.op === "ack" && header.error) asked?.reject(new Error(header.error));
    else asked?.resolve(header);
  }
  async #handle(header, data) {
    const socket = this.#socket;
    try {
      await this.handler({ header, data });
      if (socket === this.#socket && socket.readyState === WebSocket.OPEN) this.send({ op: 10, id: header.id, type: "ok" });
    } catch (error) {
      reportError(error);
    }
  }
  #giveUp() {
    for (const { reject } of this.#asked.values()) reject(new Error(this.#reason));
    this.#asked.clear();
  }
  #end() {
    this.#giveUp();
    this.dispatchEvent(new CustomEvent("close", { detail: this.#reason }));
  }
}
