// Notices of new messages: registers the service worker, keeps this browser's subscription to Web Push in step with
// the site's, tells the site whether the member looks at a page, and shows notices while all pages are in the background.
"use strict";

(() => {
  const own = document.currentScript.dataset;
  const EVERY = 60_000, SIGN_IN = 4401, PATIENCE = 30_000, SOON = 1000, AGAIN = 30_000, IN_ANY_CASE = 300_000;
  const ON = `tmtp_notices_on_${own.member}`, LAST = `tmtp_notices_last_${own.member}`;
  const LEFT = `tmtp_notices_left_${own.member}`;
  const workers = navigator.serviceWorker;
  const hasNotices = Boolean(workers && window.Notification && navigator.locks);
  const hasPush = Boolean(hasNotices && own.key && window.PushManager);

  workers?.register(own.worker, { scope: own.scope }).catch(() => {});  // pages work without it
  if (own.csrf === undefined) return;  // a visitor

  function post(url, fields = {}) {
    const body = new URLSearchParams(fields);
    return fetch(url, { method: "POST", headers: { "X-CSRFToken": own.csrf }, body, keepalive: true });
  }

  // Whether the member looks at this page. Then no push is sent. What a page says is numbered, since requests may overtake
  // each other, also when the page is being closed.
  const page = [...crypto.getRandomValues(new Uint32Array(4))].map((number) => number.toString(36)).join("");
  let words = 0;
  async function tellLooking() {
    const visible = document.visibilityState === "visible";
    words += 1;
    const told = post(own.looking, { page, word: words, ...(visible && { visible: 1 }) }).catch(() => {});
    if (visible) return;
    localStorage.setItem(LEFT, `${page} ${words}`);  // an event for the other tabs. This one may be gone when it is told
    await told;
    askSoon();
  }

  const isOn = () => hasNotices && Notification.permission === "granted" && localStorage.getItem(ON) === "1";

  // Web Push
  function octets(text) {
    const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return Uint8Array.from(plain, (one) => one.charCodeAt(0));
  }

  async function hashOf(text) {
    const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    return [...new Uint8Array(hash)].map((octet) => octet.toString(16).padStart(2, "0")).join("");
  }

  function hasKey(subscription) {
    const key = new Uint8Array(subscription.options.applicationServerKey ?? []);
    return String(key) === String(octets(own.key));
  }

  async function subscribe() {
    const { pushManager } = await workers.ready;
    const before = await pushManager.getSubscription();
    if (before && !hasKey(before)) await before.unsubscribe();  // the site has another key now
    const options = { userVisibleOnly: true, applicationServerKey: octets(own.key) };
    const { endpoint, keys } = (await pushManager.subscribe(options)).toJSON();
    const answer = await post(own.subscribe, { endpoint, ...keys });
    if (!answer.ok) throw new Error((await answer.json()).error);
    own.subscribed = await hashOf(endpoint);
  }

  async function unsubscribe() {
    const subscription = await (await workers.ready).pushManager?.getSubscription();
    await subscription?.unsubscribe();
    if (own.subscribed) await post(own.unsubscribe);
    own.subscribed = "";
  }

  // The subscription is for one session: after a new sign-in it is turned on again by the member.
  async function keepInStep() {
    const subscription = await (await workers.ready).pushManager.getSubscription();
    if (!own.subscribed) {
      await subscription?.unsubscribe();
    } else if (Notification.permission !== "granted") {
      await unsubscribe();
    } else if (!subscription || !hasKey(subscription) || await hashOf(subscription.endpoint) !== own.subscribed) {
      await subscribe();
    }
  }

  // Notices of open pages. Of all tabs, the one that holds the lock shows them. LAST is the number of the newest message
  // that is done with: if the tab is closed before it has shown a notice, another one shows it.
  // Return whether to ask again: there may be notices when the member has left the page.
  async function showNew() {
    const last = localStorage.getItem(LAST);
    const patience = AbortSignal.timeout(PATIENCE);
    const address = own.new + (last ? `?after=${last}` : "");
    const answer = await fetch(address, { headers: { "HX-Request": "true" }, signal: patience });
    if (answer.redirected || answer.headers.has("HX-Refresh")) return false;  // signed out
    if (!answer.ok) return true;
    const { newest, notices, wait } = await answer.json();
    if (isOn() && notices.length) {
      if (document.visibilityState === "visible") return true;
      const registration = await workers.ready;
      for (const { title, body, tag, url } of notices) {
        await registration.showNotification(title, { body, tag, icon: own.icon, data: { url } });
      }
    }
    localStorage.setItem(LAST, newest);
    return wait;
  }

  let busy = false, asked = false, waiting = 0, pause = AGAIN;
  async function showNews() {  // one request at a time: the answer of an older one must not come last
    asked = true;
    if (busy) return;
    busy = true;
    clearTimeout(waiting);
    waiting = 0;
    while (asked) {
      asked = false;
      if (await showNew().catch(() => true) && !waiting) {
        waiting = setTimeout(showNews, pause);
        pause = Math.min(pause * 2, AGAIN);
      }
    }
    busy = false;
  }

  function askSoon() {  // a page was left: what waited for that is shown as soon as the site knows
    pause = SOON;
    if (waiting || busy) showNews();
  }

  let wait = 1000, socket = null, release = null;
  function listen() {
    const mine = socket = new WebSocket(new URL(own.news, location.href).href.replace(/^http/, "ws"));
    mine.addEventListener("open", () => { wait = 1000; });
    mine.addEventListener("message", showNews);  // the first one comes at once: something may have arrived before
    mine.addEventListener("close", (event) => {
      if (mine !== socket) return;
      if (event.code === SIGN_IN) return leaveToOtherTabs();  // a page of a later session may be open
      setTimeout(() => { if (mine === socket) listen(); }, wait + Math.random() * 1000);
      wait = Math.min(wait * 2, PATIENCE);
    });
  }

  // Until the tab is closed or frozen
  let inLine = null;
  function showFromOneTab() {
    if (inLine || !isOn()) return;
    inLine = new AbortController();
    navigator.locks.request(`tmtp_notices_${own.member}`, { signal: inLine.signal }, () => new Promise((resolve) => {
      release = resolve;
      listen();
    })).catch(() => {});  // it was frozen while it waited
  }

  function leaveToOtherTabs() {
    inLine?.abort();
    release?.();
    inLine = release = null;
    clearTimeout(waiting);
    waiting = 0;
    socket?.close();
    socket = null;
  }

  // The part of the preferences that is about this browser
  function showState(problem = "") {
    const part = document.querySelector("[data-this-browser]");
    if (!part) return;
    const denied = hasNotices && Notification.permission === "denied";
    const on = isOn() ? (own.subscribed ? "push" : "on") : "off";
    const state = hasNotices ? (denied ? "denied" : on) : "none";
    part.hidden = false;
    for (const one of part.querySelectorAll("[data-when]")) one.hidden = !one.dataset.when.split(" ").includes(state);
    const place = part.querySelector("[data-problem]");
    place.textContent = problem;
    place.hidden = !problem;
  }

  async function turnOn() {
    if (await Notification.requestPermission() !== "granted") return;
    await showNews();  // what arrives from now on is new
    localStorage.setItem(ON, "1");
    showFromOneTab();
    if (hasPush) await subscribe();
  }

  async function turnOff() {
    localStorage.removeItem(ON);
    await unsubscribe();
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-notices]");
    if (!button) return;
    button.disabled = true;
    try {
      await (button.dataset.notices === "on" ? turnOn() : turnOff());
      showState();
    } catch (error) {  // the browser has no push service, or the site refuses it: notices of open pages still work
      showState(`${button.dataset.failed} ${error.message}`);
    } finally {
      button.disabled = false;
      // the button is gone when it has worked: the reader goes on at the one that takes it back
      if (!button.checkVisibility()) document.querySelector("[data-this-browser] button:not([hidden])")?.focus();
    }
  });

  document.addEventListener("visibilitychange", tellLooking);
  document.addEventListener("freeze", leaveToOtherTabs);
  document.addEventListener("resume", showFromOneTab);
  window.addEventListener("pagehide", leaveToOtherTabs);
  window.addEventListener("pageshow", (event) => { if (event.persisted) showFromOneTab(); });
  window.addEventListener("storage", (event) => {  // something has changed in another tab
    if (event.key === LEFT) askSoon();
    if (event.key === ON) showFromOneTab();
  });
  setInterval(() => { if (release) showNews(); }, IN_ANY_CASE);  // a connection may be lost without a sign
  setInterval(() => { if (document.visibilityState === "visible") tellLooking(); }, EVERY);
  window.addEventListener("load", async () => {
    if (document.visibilityState === "visible") tellLooking();
    showFromOneTab();
    showState();
    if (hasPush) keepInStep().then(() => showState(), () => {});
  });
})();
