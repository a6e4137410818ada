// Keeps a page up to date: when the server tells that its digest is another one, the page is
// fetched again and the sections that differ are swapped. Without this script a reload does.
"use strict";
(() => {
  const main = document.getElementById("main");
  const state = document.getElementById("live");
  const news = document.getElementById("news");
  const FIELDS = "input:not([type=hidden]), select, textarea";
  const REACHED = `a[href], button, summary, [tabindex], ${FIELDS}`;
  const LATER = 10000;
  let source = null;
  let busy = false;
  let due = false;

  const say = (name, text) => {
    if (state.dataset.state !== name) { state.dataset.state = name; state.textContent = text; }
  };

  // Somebody is filling in a form here, or marking a text.
  const inUse = (section) => {
    const field = document.activeElement, marked = getSelection();
    return section.contains(field) && field.matches(FIELDS) ||
      !marked.isCollapsed && section.contains(marked.anchorNode) ||
      [...section.querySelectorAll(FIELDS)].some((it) => it.value !== (it.defaultValue ?? it.value));
  };

  // What the server said of a section, but for ages, which change by themselves.
  const said = (section) => section.innerHTML.replace(/(class="age"[^>]*>)[^<]*/g, "$1");
  const shown = new Map();

  const swap = (old, fresh) => {
    const open = new Set([...old.querySelectorAll("details[open]")].map((it) => it.id));
    const scrolled = [...old.querySelectorAll(".scroll")].map((it) => it.scrollLeft);
    const place = [...old.querySelectorAll(REACHED)].indexOf(document.activeElement);
    shown.set(old.id, said(fresh));
    old.replaceWith(fresh);
    fresh.querySelectorAll("details").forEach((it) => { it.open = it.open || open.has(it.id); });
    fresh.querySelectorAll(".scroll").forEach((it, n) => { it.scrollLeft = scrolled[n] ?? 0; });
    if (place >= 0) fresh.querySelectorAll(REACHED)[place]?.focus({ preventScroll: true });
  };

  const renew = async () => {
    if (busy) { due = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const words = () => [...main.querySelectorAll("[data-announce]")].map((it) => it.textContent).join(" ");
      const before = words();
      for (const old of main.querySelectorAll("[data-live]")) {
        const fresh = page.getElementById(old.id);
        if (fresh && said(fresh) !== shown.get(old.id) && !inUse(old)) swap(old, fresh);
      }
      Object.assign(main.dataset, page.getElementById("main").dataset);
      clock = Date.now() / 1000 - Number(main.dataset.now);
      if (words() !== before) news.textContent = words();
    } catch {
      say("lost", "Not live: the server does not answer");
    } finally {
      busy = false;
      if (due) { due = false; renew(); }
    }
  };

  const follow = () => {
    source = new EventSource(`/live?topic=${encodeURIComponent(main.dataset.topic)}`);
    source.onopen = () => say("live", "Live");
    source.onmessage = (event) => { if (event.data !== main.dataset.digest) renew(); };
    source.onerror = () => {
      say("lost", "Not live: trying again");
      if (source.readyState === EventSource.CLOSED) { leave(); setTimeout(meet, LATER); }
    };
  };
  const leave = () => { source?.close(); source = null; };
  // A tab that nobody looks at needs no connection: a browser has few for each server.
  const meet = () => { if (document.hidden) leave(); else if (!source) follow(); };

  let clock = Date.now() / 1000 - Number(main.dataset.now);
  const age = (seconds) => {
    if (seconds < 1) return "now";
    const [unit, name] = seconds >= 172800 ? [86400, "d"] : seconds >= 7200 ? [3600, "h"] : seconds >= 120 ? [60, "min"] : [1, "s"];
    return `${Math.floor(seconds / unit)} ${name} ago`;
  };
  setInterval(() => {
    const now = Date.now() / 1000 - clock;
    for (const it of document.querySelectorAll(".age")) {
      const text = age(now - Number(it.dataset.at));
      if (it.textContent !== text) it.textContent = text;
    }
  }, 1000);

  if (main.dataset.digest) {
    main.querySelectorAll("[data-live]").forEach((it) => shown.set(it.id, said(it)));
    document.addEventListener("visibilitychange", meet);
    addEventListener("pagehide", leave);
    addEventListener("pageshow", meet);
    meet();
  }
})();
