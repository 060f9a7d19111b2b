/* What pages cannot do without a script: dialogs, forms that submit themselves, keys. Everything works without it too. */
"use strict";
document.documentElement.classList.add("scripted");

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
  const closer = event.target.closest("[data-closes]");
  if (closer) closer.closest("dialog").close();
  for (const open of document.querySelectorAll("details.me[open], details.others[open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
});

document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-submits-itself]");
  if (form) form.requestSubmit();
});

/* What is being written shows up in its previews. */
let soon;
const preview = (form) => form.querySelectorAll("[data-preview]").forEach((button, i) => {
  setTimeout(() => form.requestSubmit(button), 100 * i); // one after the other: a form goes one way at a time
});
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-previews]");
  if (!form) return;
  clearTimeout(soon);
  soon = setTimeout(() => preview(form), 400);
});
document.addEventListener("DOMContentLoaded", () => { for (const form of document.querySelectorAll("form[data-previews]")) preview(form); });

/* A form is sent once, however often its button is pressed. */
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || form.hasAttribute("hx-post") || event.submitter?.formTarget) return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "yes";
  form.setAttribute("aria-busy", "true");
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) { delete form.dataset.sent; form.removeAttribute("aria-busy"); }
});

/* "/" goes to the search field, j and k walk a list, Enter opens. */
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  const keyed = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (keyed) { keyed.focus(); event.preventDefault(); return; }
  if (event.key !== "j" && event.key !== "k") return;
  const items = [...document.querySelectorAll("a.item, .item a.whole, .cards tbody a")];
  const at = items.indexOf(document.activeElement);
  const next = items[event.key === "j" ? at + 1 : Math.max(0, at - 1)];
  if (next) { next.focus(); event.preventDefault(); }
});
