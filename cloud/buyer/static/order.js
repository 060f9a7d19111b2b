// Keeps the order's page true: events, else a question each second; what the page says is always the server's own HTML.
// Written for browsers since 2018 (iOS 11.3, Chrome 66); on older ones it must do nothing, not half of it.
"use strict";

(() => {
  if (!window.fetch || !window.AbortController) return;

  const POLL_MS = 1000;
  const STREAM_AGAIN_MS = 30000; // after the server had no seat for us, or no more to tell
  const LOST_AFTER = 2; // failed questions in a row: one may be a hiccup
  const PATIENCE_MS = 8000;
  const RETRIES_WHILE_OPENING = 30; // a provider may take its time
  const RETRIES_WHILE_AWAY = 5; // a service that restarts is back soon
  const AGAIN_S = 5; // after the page's new part could not be had
  const TICK_MS = 500;
  const SLEPT_MS = 5000; // a clock that stood still for longer was asleep

  const order = document.getElementById("order");
  const place = document.getElementById("view");
  const cup = document.getElementById("cup");
  const coffee = document.getElementById("coffee-level");
  const lost = document.getElementById("lost");
  const again = document.getElementById("again");
  const spoken = document.getElementById("spoken");
  const silenceMs = Number(order.dataset.beat) * 1000 + 3000; // a stream that is alive speaks more often

  let stream = null;
  let streamAgainAt = 0;
  let heardAt = Date.now();
  let tickedAt = Date.now();
  let pollTimer = 0;
  let refreshTimer = 0;
  let failures = 0;
  let refreshing = null;
  let typed = ""; // the e-mail, also while there is no field for it
  let known = { tag: "", news: null }; // the last answer to a question, and its name

  const view = () => place.firstElementChild;
  const follows = () => view().dataset.follow === "1";
  const keyOf = (news) => [news.status, news.stage || "", news.return ? news.return.status : ""].join("|");

  // Whole, within the time: a body, too, may stop half-way.
  async function ask(url, options = {}) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), PATIENCE_MS);
    try {
      const answer = await fetch(url, { credentials: "same-origin", cache: "no-store", signal: stop.signal, ...options });
      return { ok: answer.ok, status: answer.status, tag: answer.headers.get("ETag") || "", text: await answer.text() };
    } finally {
      clearTimeout(timer);
    }
  }

  // The connection, told honestly

  function reached() {
    failures = 0;
    lost.hidden = true;
    lost.textContent = "";
  }

  function missed() {
    failures += 1;
    if (failures < LOST_AFTER || !lost.hidden) return;
    lost.hidden = false;
    lost.textContent = lost.dataset.text;
  }

  // What is shown

  function pour(level, mood, stage) {
    cup.dataset.mood = mood;
    cup.dataset.stage = stage;
    cup.dataset.level = level;
    cup.setAttribute("aria-valuenow", level);
    coffee.style.transform = `translateY(${200 - level * 1.08}px)`;
  }

  function show(html) {
    const next = new DOMParser().parseFromString(html, "text/html").querySelector(".view");
    if (!next) throw new Error("not the order's view");
    const before = view();
    if (Number(next.dataset.version) < Number(before.dataset.version)) return; // asked for before what is shown had come
    const moved = wordsOf(next, "h1, .text") !== wordsOf(before, "h1, .text") || next.dataset.key !== before.dataset.key
      || (next.querySelector("form") && !before.querySelector("form"));
    const same = !moved && withoutTimes(next) === withoutTimes(before);
    if (same) {
      next.querySelectorAll("[data-left]").forEach((fresh, i) => before.querySelectorAll("[data-left]")[i].replaceWith(fresh));
      Object.assign(before.dataset, next.dataset);
    } else {
      keepTyping(before, next);
      const focused = before.contains(document.activeElement) ? document.activeElement.id : null;
      before.replaceWith(next);
      if (focused !== null) (document.getElementById(focused || "-") || next.querySelector("h1")).focus();
    }
    pour(Number(next.dataset.level), next.dataset.mood, next.dataset.stage);
    startClocks();
    if (!moved) return;
    document.title = wordsOf(next, "h1");
    spoken.textContent = `${document.title} ${wordsOf(next, ".text, .plea, .money, .why, form button")}`;
    const foot = document.getElementById("foot");
    if (foot && next.querySelector(".sign")) foot.remove();
  }

  function wordsOf(part, selector) {
    return [...part.querySelectorAll(selector)].map((element) => element.textContent.trim()).join(" ");
  }

  function withoutTimes(element) {
    const copy = element.cloneNode(true);
    copy.querySelectorAll("[data-left]").forEach((time) => time.replaceWith("…"));
    copy.querySelectorAll(".problem").forEach((problem) => { problem.textContent = ""; });
    copy.querySelectorAll("button").forEach((button) => { button.disabled = false; button.textContent = ""; });
    return copy.innerHTML;
  }

  function keepTyping(before, next) {
    const field = before.querySelector("input[type=email]");
    const empty = next.querySelector("input[type=email]");
    if (field) typed = field.value;
    if (empty) empty.value = typed;
  }

  function startClocks() {
    for (const clock of place.querySelectorAll("[data-left]")) {
      clock.until = Date.now() + Number(clock.dataset.left) * 1000;
    }
    tick();
  }

  function tick() {
    for (const clock of place.querySelectorAll("[data-left]")) {
      const left = Math.max(0, Math.ceil((clock.until - Date.now()) / 1000));
      clock.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
      if (left === 0 && !clock.over) {
        clock.over = true;
        setTimeout(refresh, POLL_MS);
      }
    }
  }

  // Where news come from

  function refresh() {
    if (refreshing) return refreshing;
    refreshing = ask(order.dataset.partUrl)
      .then((answer) => {
        if (answer.status === 404) return location.reload();
        if (!answer.ok) throw new Error(String(answer.status));
        show(answer.text);
        reached();
      })
      .catch(missed)
      .finally(() => { refreshing = null; keepUp(); });
    return refreshing;
  }

  // An answer that is on its way may be older than the press.
  function refreshAnew() {
    return refreshing ? refreshing.then(refresh) : refresh();
  }

  async function received(news) {
    reached();
    if (keyOf(news) !== view().dataset.key) return refresh();
    view().dataset.version = news.version;
    if (view().dataset.moves === "1") pour(Math.min(news.progress, 99), cup.dataset.mood, cup.dataset.stage);
  }

  function heard() {
    heardAt = Date.now();
    reached();
  }

  function listen() {
    if (stream || Date.now() < streamAgainAt || !window.EventSource) return;
    stream = new EventSource(`${order.dataset.eventsUrl}&view=1&known=${view().dataset.version}`);
    heardAt = Date.now();
    stream.onopen = () => { clearTimeout(pollTimer); pollTimer = 0; heard(); };
    stream.onmessage = (event) => { heard(); received(JSON.parse(event.data)); };
    stream.addEventListener("beat", heard);
    stream.addEventListener("view", (event) => { heard(); show(event.data); keepUp(); });
    stream.addEventListener("end", () => { hangUpForNow(); refresh(); });
    stream.onerror = () => {
      if (stream && stream.readyState === EventSource.CLOSED) hangUpForNow();
      pollSoon();
    };
  }

  function hangUpForNow() {
    hangUp();
    streamAgainAt = Date.now() + STREAM_AGAIN_MS;
  }

  function hangUp() {
    if (stream) stream.close();
    stream = null;
  }

  // A line that died without a word gives no error: silence does.
  function doubt() {
    const now = Date.now();
    const slept = now - tickedAt > SLEPT_MS;
    tickedAt = now;
    if (document.hidden || !stream || !(slept || now - heardAt > silenceMs)) return;
    hangUp();
    poll();
  }

  function pollSoon() {
    if (!pollTimer) pollTimer = setTimeout(poll, POLL_MS);
  }

  async function poll() {
    pollTimer = 0;
    if (!follows() || document.hidden) return;
    try {
      const answer = await ask(order.dataset.statusUrl, known.tag ? { headers: { "If-None-Match": known.tag } } : {});
      if (!answer.ok && answer.status !== 304) throw new Error(String(answer.status));
      if (answer.ok) known = { tag: answer.tag, news: JSON.parse(answer.text) };
      await received(known.news);
    } catch {
      missed();
    }
    if (!follows()) return;
    listen();
    if (!stream || stream.readyState !== EventSource.OPEN) pollSoon();
  }

  function keepUp() {
    clearTimeout(refreshTimer);
    if (document.hidden) return;
    const seconds = Number(view().dataset.refresh) || (failures ? AGAIN_S : 0); // a stream does not tell twice
    if (seconds) refreshTimer = setTimeout(refresh, seconds * 1000);
    if (follows()) {
      listen();
      if (!stream) pollSoon();
    } else {
      hangUp();
      clearTimeout(pollTimer);
      pollTimer = 0;
    }
  }

  function wake() {
    if (document.hidden) {
      hangUp();
      clearTimeout(refreshTimer);
      return;
    }
    streamAgainAt = 0;
    if (failures || follows() || Number(view().dataset.refresh)) refresh(); // "no connection" goes away on a final page, too
  }

  // What the buyer does

  function read(text) {
    try {
      return JSON.parse(text) || {};
    } catch {
      return {}; // a page of what stands before us
    }
  }

  async function send(form) {
    const fields = {};
    new FormData(form).forEach((value, name) => { fields[name] = value; });
    for (let attempt = 0; ; attempt += 1) {
      const mayRepeat = form.dataset.act === "pay" && attempt < RETRIES_WHILE_AWAY && navigator.onLine;
      const answer = await ask(form.action, {
        method: "POST",
        headers: {
          "Content-Type": "application/json",
          Accept: "application/json",
          "Accept-Language": document.documentElement.lang,
        },
        body: JSON.stringify(fields),
      }).catch((error) => { if (!mayRepeat) throw error; });
      const said = answer ? read(answer.text) : {};
      const away = mayRepeat && (!answer || answer.status === 502); // of the service, or of what stands behind a proxy
      const opening = answer && answer.status === 503 && said.error && said.error.code === "in_progress";
      if (!away && (!opening || attempt >= RETRIES_WHILE_OPENING)) return { answer, said };
      await new Promise((resolve) => { setTimeout(resolve, POLL_MS); });
    }
  }

  async function act(form) {
    const button = form.querySelector("button");
    const problem = form.querySelector(".problem");
    const words = button.textContent;
    button.disabled = true;
    problem.textContent = "";
    if (form.dataset.busy) button.textContent = form.dataset.busy;
    try {
      const { answer, said } = await send(form);
      if (answer.ok && form.dataset.act === "pour") return await refreshAnew();
      if (answer.ok && /^https?:\/\//.test(said.redirect_url)) return location.assign(said.redirect_url);
      const says = said.error && said.error.says;
      problem.textContent = says || form.getAttribute(`data-error-${answer.status}`) || form.dataset.error;
      if (says) refreshAnew();
      else if (answer.status === 409 || answer.status === 410) setTimeout(refresh, 1500);
    } catch {
      problem.textContent = form.dataset.errorLost || form.dataset.error;
    }
    button.disabled = false;
    button.textContent = words;
  }

  place.addEventListener("submit", (event) => {
    event.preventDefault();
    act(event.target);
  });
  document.addEventListener("visibilitychange", wake);
  window.addEventListener("online", wake);
  window.addEventListener("offline", () => { failures = LOST_AFTER; missed(); });
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  for (const logo of document.querySelectorAll(".logo")) {
    logo.addEventListener("error", () => { logo.hidden = true; });
    if (logo.complete && !logo.naturalWidth) logo.hidden = true;
  }
  pour(Number(cup.dataset.level), cup.dataset.mood, cup.dataset.stage);
  startClocks();
  setInterval(() => { tick(); doubt(); }, TICK_MS);
  keepUp();
  if (again) again.hidden = true; // from here on the page looks again by itself
})();
