// The service worker of the site: it shows notices, and a page of its own when there is no connection.
// It keeps that page and its files, and never a page of a member.
"use strict";

const own = {{ own }};
const OFFLINE = own.files[0];

self.addEventListener("install", (event) => {
  event.waitUntil((async () => {
    const cache = await caches.open(own.cache);
    await cache.addAll(own.files.map((file) => new Request(file, { cache: "reload" })));
    await self.skipWaiting();
  })());
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith("tmtp-offline-") && name !== own.cache);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  })());
});

async function kept(path) {
  const cache = await caches.open(own.cache);
  return (await cache.match(path)) ?? Response.error();
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.mode === "navigate") {
    event.respondWith(fetch(request).catch(() => kept(OFFLINE)));
  } else if (request.method === "GET" && origin === location.origin && own.files.includes(pathname)) {
    event.respondWith(fetch(request).catch(() => kept(pathname)));
  }
});

self.addEventListener("push", (event) => {
  event.waitUntil((async () => {
    const open = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    if (open.some((page) => page.focused)) return;  // the page itself shows what is new
    const { title, body, url, tag } = event.data?.json() ?? { title: own.name, url: own.mailbox };
    await self.registration.showNotification(title, { body, tag, icon: own.icon, badge: own.badge, data: { url } });
  })());
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const url = new URL(event.notification.data?.url ?? own.mailbox, location.origin);
  if (url.origin !== location.origin) return;
  event.waitUntil((async () => {
    const open = await self.clients.matchAll({ type: "window" });
    // On the list nobody is writing. Another page is left as it is.
    const list = open.find((page) => new URL(page.url).pathname === own.mailbox);
    if (!list) return self.clients.openWindow(url.href);
    const page = await list.focus();
    return page.navigate(url.href).catch(() => self.clients.openWindow(url.href));
  })());
});
