"""Looks at a page as someone who cannot see it, or not well, would: names, roles, order, contrast, sizes.

Each rule is one of WCAG 2.2 AA that a program can judge; `complaints` names rule and element.
"""

from playwright.sync_api import Page

_LOOK = r"""() => {
  const found = [];
  const say = (rule, e) => found.push(`${rule}: ${e.outerHTML.slice(0, 120)}`);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const shown = (e) => e.checkVisibility({ checkOpacity: false, checkVisibilityCSS: true });
  const clipped = (e) => e.closest(".spoken");
  const text = (e) => (e.textContent || "").trim();
  const name = (e) => e.getAttribute("aria-label") || (e.labels && [...e.labels].map(text).join(" "))
    || e.getAttribute("alt") || text(e) || [...e.querySelectorAll("img[alt]")].map((i) => i.alt).join(" ");

  if (!/^(ru|en)$/.test(document.documentElement.lang)) say("html-lang", document.documentElement);
  if (!document.title.trim()) say("title", document.head);
  if (/user-scalable\s*=\s*no|maximum-scale/.test(document.querySelector("meta[name=viewport]").content)) {
    say("zoom", document.querySelector("meta[name=viewport]"));
  }
  if (all("main").length !== 1) say("one-main", document.body);
  if (all("h1").filter(shown).length !== 1) say("one-h1", document.body);
  let level = 0;
  for (const h of all("h1, h2, h3, h4").filter(shown)) {
    if (Number(h.tagName[1]) > level + 1) say("heading-order", h);
    if (!text(h)) say("empty-heading", h);
    level = Number(h.tagName[1]);
  }
  const ids = all("[id]").map((e) => e.id);
  const twice = ids.filter((id, at) => ids.indexOf(id) !== at);
  for (const id of twice) say("unique-id", document.getElementById(id));
  for (const e of all("[aria-describedby], [aria-labelledby]")) {
    const named = `${e.getAttribute("aria-describedby") || ""} ${e.getAttribute("aria-labelledby") || ""}`;
    for (const id of named.split(/\s+/).filter(Boolean)) if (!document.getElementById(id)) say("aria-reference", e);
  }
  const ROLES = ["img", "status", "alert", "progressbar"];
  for (const e of all("[role]")) if (!ROLES.includes(e.getAttribute("role"))) say("known-role", e);
  for (const e of all("[role=img], [role=progressbar], aside, ol, nav, svg:not([aria-hidden=true])")) {
    if (!e.getAttribute("aria-label")) say("named", e);
  }
  for (const e of all("[role=progressbar]")) {
    const [min, now, max] = ["min", "now", "max"].map((n) => Number(e.getAttribute(`aria-value${n}`) ?? NaN));
    if (!(min <= now && now <= max)) say("progress-value", e);
  }
  for (const e of all("img")) if (!e.hasAttribute("alt")) say("image-alt", e);
  for (const e of all("button, a[href], input:not([type=hidden]), select, textarea").filter(shown)) {
    if (!name(e)) say("control-name", e);
    if (e.closest("[aria-hidden=true]")) say("hidden-control", e);
  }
  for (const e of all("a")) if (!e.hasAttribute("href")) say("link-target", e);
  for (const e of all("[tabindex]")) if (Number(e.getAttribute("tabindex")) > 0) say("tab-order", e);
  for (const e of all("ul > :not(li), ol > :not(li), dl > :not(dt, dd, div)")) say("list-content", e);
  for (const e of all("li")) if (!/^(UL|OL)$/.test(e.parentElement.tagName)) say("list-item", e);
  if (all("#order").length && !all("[aria-live=polite], [role=status]").length) say("live-region", document.body);
  for (const e of all("input[required]")) if (!e.labels || !e.labels.length) say("required-label", e);

  const channels = (colour) => (colour.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const over = (top, below) => {
    const alpha = top[3] ?? 1;
    return [0, 1, 2].map((i) => top[i] * alpha + below[i] * (1 - alpha));
  };
  const ground = (e) => {
    const layers = [];
    for (let at = e; at; at = at.parentElement) layers.push(channels(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const light = (c) => c.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  for (const e of all("body *").filter((e) => shown(e) && !clipped(e))) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const style = getComputedStyle(e);
    const size = parseFloat(style.fontSize);
    if (size < 16) say("text-size", e);
    if (!e.closest("header, main, footer, [role=alert], [role=status]")) say("landmark", e);
    const below = ground(e);
    const [a, b] = [light(over(channels(style.color), below)), light(below)];
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (e.closest("[disabled]")) continue;
    if ((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < (large ? 3 : 4.5)) say("contrast", e);
  }
  for (const e of all("button, .button, .quiet, .main, .language, input:not([type=hidden])").filter(shown)) {
    if (e.tagName === "MAIN") continue;
    const box = e.getBoundingClientRect();
    if (box.width < 44 || box.height < 44) say(`target ${box.width}x${box.height}`, e);
  }
  for (const e of all(".note a, dd a").filter(shown)) {
    const heights = [...e.getClientRects()].map((box) => box.height);
    if (Math.max(...heights) < 24) say("link-height", e);
  }
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
    for (const a of document.getAnimations()) if (a.playState === "running") say("moving", a.effect.target);
  }
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) say("overflow", document.body);
  return found;
}"""


def complaints(page: Page) -> list[str]:
    """Everything that is wrong with the page as it stands."""
    found: list[str] = page.evaluate(_LOOK)
    return found
