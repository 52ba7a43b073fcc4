/** TMTP over WebSocket: see docs/how-to/websocket.md. An ES module without dependencies.

    const link = new Link(async ({header, data}) => keep(header, data));
    await link.open();                          // gives tmtprev: {name, auth, authby}
    await link.login(uid, nodeid);              // or register("browser", "ann of rome"), which gives {uid, nodeid}
    const {msgid} = await link.post([uid], "Hello", {threadid: "", alias: "ann of rome", subject: "Greetings"});

The handler gets each message that waits at the server (its text is `text(data)`); when it is done the message is
acknowledged and gone there. One that the handler fails for, by an exception, comes again later, so it may come twice.
Events: "ohi" (detail: {from, status}) and "close" (reason). What fails is rejected with an Error that says why. */

const PIECE = 256 * 1024; // octets in one WebSocket message, of which servers take 1 MiB
const PULSE = 50_000; // milliseconds; the server ends a link after two silent minutes
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
  #received = []; // pieces of what is not a whole frame yet
  #missing = 4; // octets, until it can be one
  #asked = new Map(); // {resolve, reject} by the id of an ack, or the op of another answer
  #handled = Promise.resolve();
  #last = 0;
  #reason = "the connection was lost";

  constructor(handler, url = "/tmtp") {
    super();
    this.handler = handler;
    this.url = new URL(url, location.href).href.replace(/^http/, "ws");
  }

  /** Connect and say hello; a link that has ended may be opened again. */
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
  /** Op 1: a new user, or with `oidc` perhaps a device more; gives {uid, nodeid, error: why not this alias}. */
  async register(label, alias = "_", oidc = undefined) {
    const greeted = this.#answer("info");
    greeted.catch(() => {}); // said below
    const registered = await this.#ask("registered", { op: 1, newnode: label, newalias: alias, oidc });
    await greeted;
    return registered;
  }
  /** Op 2; gives {info, ohi: [uid of who is online]}. */
  login = (uid, nodeid) => this.#ask("info", { op: 2, uid, node: nodeid });
  /** Op 7, to uids or {id, type}; `head` (tmtp.md section 6) goes before the data. Gives {msgid, posted}. */
  post(to, data, head = undefined) {
    const parts = head ? [octets(JSON.stringify(head)), octets(data)] : [octets(data)];
    const recipients = to.map((one) => (typeof one === "string" ? { id: one, type: 1 } : one));
    return this.request({ op: 7, for: recipients, datahead: head ? parts[0].length : 0 }, join(parts));
  }
  /** Op 9: a line of text from one's own alias to somebody's. Gives {msgid, posted}. */
  ping = (from, to, line) => this.request({ op: 9, from, to }, octets(line));
  /** Any operation that is answered by an ack. */
  request(header, data = undefined) {
    const id = `${Date.now()}-${++this.#last}`;
    return this.#ask(id, { ...header, id }, data);
  }
  /** Say goodbye (op 12). */
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
