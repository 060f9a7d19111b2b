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

/* What was changed in a form that is refused stands there again on the page that says so; nothing that is secret does. */
const TYPED = "typed";
const KEPT = "input:not([type=hidden], [type=password], [type=file], [autocomplete~=one-time-code]), select, textarea:not([data-secret])";
const keptOf = (form) => [...form.elements].filter((field) => field.name && field.matches(KEPT));
const isTick = (field) => field.type === "checkbox" || field.type === "radio";
const keyOf = (field) => isTick(field) ? `${field.name}=${field.value}` : field.name;
const drawnOption = (select) => [...select.options].find((one) => one.defaultSelected) ?? select.options[0];
const valueOf = (field) => isTick(field) ? field.checked : field.value;
const drawnOf = (field) => isTick(field) ? field.defaultChecked : field.options ? drawnOption(field)?.value : field.defaultValue;
const placeOf = (form) => `${new URL(form.action).pathname}#${form.closest("dialog")?.id ?? ""}`;
const remember = (form) => {
  const changed = keptOf(form).filter((field) => valueOf(field) !== drawnOf(field));
  const typed = changed.map((field) => [keyOf(field), valueOf(field), drawnOf(field)]);
  sessionStorage.removeItem(TYPED);
  if (!typed.length) return;
  try { sessionStorage.setItem(TYPED, JSON.stringify([placeOf(form), typed])); } catch { /* longer than a browser keeps */ }
};
const putBack = (form, typed, refusals) => {
  for (const [key, value, drawn] of typed) {
    const field = keptOf(form).find((one) => keyOf(one) === key);
    if (!field || (field.options && ![...field.options].some((one) => one.value === value))) continue;
    if (isTick(field)) field.checked = value; else field.value = value;
    if (drawnOf(field) === drawn || drawnOf(field) === value) continue;
    const note = document.createElement("p"); // somebody else has changed this very field: that is shown beside it
    note.className = "hint words";
    note.textContent = `${refusals[0].dataset.refused} ${(field.options ? drawnOption(field).label : field.defaultValue) || "—"}`;
    field.after(note);
  }
  const dialog = form.closest("dialog");
  if (!dialog) return;
  form.prepend(...refusals.map((one) => one.cloneNode(true))); // an open dialog covers the page that says why
  dialog.showModal();
};
{
  const [place, typed] = JSON.parse(sessionStorage.getItem(TYPED) ?? "[]");
  sessionStorage.removeItem(TYPED);
  const refusals = [...document.querySelectorAll("[data-refused]")];
  const form = [...document.forms].find((one) => placeOf(one) === place && keptOf(one).some((field) => keyOf(field) === typed[0][0]));
  if (form && refusals.length) putBack(form, typed, refusals);
}

/* A form is sent once, however often its button is pressed. */
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || form.hasAttribute("hx-post") || event.submitter?.formTarget) return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  remember(form);
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
