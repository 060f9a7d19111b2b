/* Passkeys: what to ask is asked of us, the authenticator is asked that, and its answer goes with the form. */
"use strict";
(() => {
  if (!window.PublicKeyCredential) return;
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
  const named = (keys) => (keys ?? []).map((key) => ({ ...key, id: bytes(key.id) }));

  /* The answer as JSON; older browsers cannot write it themselves. */
  const told = (key) => {
    const response = { clientDataJSON: text(key.response.clientDataJSON) };
    for (const part of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (key.response[part]) response[part] = text(key.response[part]);
    }
    response.transports = key.response.getTransports?.() ?? [];
    return JSON.stringify({ id: key.id, rawId: text(key.rawId), type: key.type, response });
  };

  const ask = (options) => {
    const asked = { ...options, challenge: bytes(options.challenge) };
    if (!options.user) return navigator.credentials.get({ publicKey: { ...asked, allowCredentials: named(options.allowCredentials) } });
    const user = { ...options.user, id: bytes(options.user.id) };
    return navigator.credentials.create({ publicKey: { ...asked, user, excludeCredentials: named(options.excludeCredentials) } });
  };

  const go = async (form) => {
    const answer = await fetch(form.dataset.passkey, { method: "POST", body: new FormData(form) });
    if (answer.redirected) { location.assign(answer.url); return; } // first to show who one is
    if (!answer.ok) throw new Error(`${answer.status}`);
    form.elements.passkey.value = told(await ask(await answer.json()));
    form.submit();
  };

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      event.stopPropagation();
      if (form.getAttribute("aria-busy")) return;
      const failed = form.querySelector("[data-failed]");
      failed.hidden = true;
      form.setAttribute("aria-busy", "true");
      try {
        await go(form);
      } catch {
        form.removeAttribute("aria-busy");
        failed.hidden = false;
      }
    });
  }
  window.addEventListener("pageshow", () => { for (const form of document.querySelectorAll("form[data-passkey]")) form.removeAttribute("aria-busy"); });
  for (const note of document.querySelectorAll("[data-without-passkeys]")) note.hidden = true;
})();
