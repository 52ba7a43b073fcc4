// Notices of new messages: registers the service worker, keeps this browser's subscription to Web Push in step with
// the site's, tells the site whether the member looks at a page, and shows notices while all pages are in the background.
"use strict";

(() => {
  const own = document.currentScript.dataset;
  const EVERY = 60_000, SIGN_IN = 4401, PATIENCE = 30_000;
  const ON = `tmtp_notices_on_${own.member}`, LAST = `tmtp_notices_last_${own.member}`;
  const workers = navigator.serviceWorker;
  const hasNotices = Boolean(workers && window.Notification && navigator.locks);
  const hasPush = Boolean(hasNotices && own.key && window.PushManager);

  workers?.register(own.worker, { scope: own.scope }).catch(() => {});  // pages work without it
  if (own.csrf === undefined) return;  // a visitor

  function post(url, fields = {}) {
    const body = new URLSearchParams(fields);
    return fetch(url, { method: "POST", headers: { "X-CSRFToken": own.csrf }, body, keepalive: true });
  }

  // Whether the member looks at a page. Then no push is sent.
  function tellLooking() {
    post(own.looking, document.visibilityState === "visible" ? { visible: 1 } : {}).catch(() => {});
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

  // Notices of open pages. Of all tabs, the one that holds the lock shows them.
  async function showNew() {
    const last = localStorage.getItem(LAST);
    const answer = await fetch(own.new + (last ? `?after=${last}` : ""), { headers: { "HX-Request": "true" } });
    if (!answer.ok || answer.redirected) return;
    const { newest, notices } = await answer.json();
    localStorage.setItem(LAST, newest);
    if (document.visibilityState === "visible" || !isOn()) return;
    const registration = await workers.ready;
    for (const { title, body, tag, url } of notices) {
      await registration.showNotification(title, { body, tag, icon: own.icon, data: { url } });
    }
  }

  let wait = 1000;
  function listen() {
    const socket = new WebSocket(new URL(own.news, location.href).href.replace(/^http/, "ws"));
    socket.addEventListener("open", () => { wait = 1000; });
    socket.addEventListener("message", () => showNew().catch(() => {}));
    socket.addEventListener("close", (event) => {
      if (event.code === SIGN_IN) return;
      setTimeout(listen, wait + Math.random() * 1000);
      wait = Math.min(wait * 2, PATIENCE);
    });
  }

  let asked = false;
  function showFromOneTab() {
    if (asked || !isOn()) return;
    asked = true;
    navigator.locks.request(`tmtp_notices_${own.member}`, () => new Promise(listen));  // until the tab is closed
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
    }
  });

  document.addEventListener("visibilitychange", tellLooking);
  setInterval(() => { if (document.visibilityState === "visible") tellLooking(); }, EVERY);
  window.addEventListener("load", async () => {
    if (document.visibilityState === "visible") tellLooking();
    showFromOneTab();
    showState();
    if (hasPush) keepInStep().then(() => showState(), () => {});
  });
})();
