"use strict";

/* Brings pages up to date without reloading them. Only while the page is visible.
 *
 * [data-live-url]: a region whose content is asked for as HTML, often while something is running (data-busy).
 * [data-badges-url]: a list; the badges of all its rows are asked for as JSON, in one request.
 * [data-plan-url]: a form; what its values come to is asked for as HTML while they are changed.
 * [data-credentials-url]: passwords, which are asked for when somebody wants to see them.
 * [data-copy-of]: a button that copies the text of the element with that id.
 */

const BUSY_MS = 700;
const IDLE_MS = 4000;
const PLAN_MS = 250;

/** Calls `ask` again and again, with the pause that it returns; null ends it. */
function repeat(ask, firstPause) {
  let timer = null;
  const next = (pause) => {
    if (pause !== null) timer = window.setTimeout(run, pause);
  };
  const run = async () => {
    timer = null;
    if (document.hidden) return;
    let pause = IDLE_MS;
    try {
      pause = await ask();
    } catch (error) {
      // The server is being restarted, or the network is away: try again later.
      if (!(error instanceof TypeError)) throw error;
    }
    next(pause);
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && timer === null) run();
  });
  next(firstPause);
}

async function get(url) {
  const response = await fetch(url, { credentials: "same-origin", cache: "no-store", redirect: "manual" });
  if (response.type === "opaqueredirect") {
    // Signed out: the page itself leads to the sign-in.
    window.location.reload();
    return null;
  }
  return response;
}

/** Makes `old` like `fresh`, node by node, so that what did not change keeps its focus, selection and fold. */
function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh.cloneNode(true));
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  const isFold = old.nodeName === "DETAILS";
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(isFold && name === "open")) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const before = [...old.childNodes];
  const after = [...fresh.childNodes];
  after.forEach((node, index) => {
    if (index < before.length) morph(before[index], node);
    else old.append(node.cloneNode(true));
  });
  before.slice(after.length).forEach((node) => node.remove());
}

/** What a form would send, as text; to see whether somebody has typed into it. */
function contentOf(form) {
  const pairs = [...new FormData(form)].map(([name, value]) => [name, value instanceof File ? value.name : value]);
  return JSON.stringify(pairs);
}

function watchRegion(region) {
  const form = document.getElementById(region.dataset.watchedForm || "");
  const untouched = form ? contentOf(form) : "";
  let content = region.querySelector("[data-live-content]");
  const page = content.dataset.page;
  let last = "";
  repeat(async () => {
    const response = await get(region.dataset.liveUrl);
    if (response === null) return null;
    if (!response.ok) return response.status < 500 ? null : IDLE_MS;
    const text = await response.text();
    if (text !== last) {
      last = text;
      const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("[data-live-content]");
      if (fresh === null) return IDLE_MS;
      morph(content, fresh);
      content = region.querySelector("[data-live-content]");
    }
    // The form beside it shows something else now; it is not taken away from somebody who writes in it.
    if (content.dataset.page !== page && (!form || contentOf(form) === untouched)) {
      window.location.reload();
      return null;
    }
    return content.dataset.busy === "yes" ? BUSY_MS : IDLE_MS;
  }, content.dataset.busy === "yes" ? BUSY_MS : IDLE_MS);
}

function showBadge(place, row) {
  const badge = place.querySelector(".mi-badge");
  badge.textContent = row.label;
  badge.dataset.colour = row.colour;
  place.querySelector(".mi-note").textContent = row.note;
  const attention = place.querySelector("[data-live-attention]");
  if (attention) {
    attention.hidden = !row.attention;
    attention.title = row.attention || "";
  }
  const link = place.closest("tr")?.querySelector("[data-live-link]");
  if (!link) return;
  link.hidden = !row.url;
  if (row.url) {
    link.href = row.url;
    link.querySelector(".mi-link-text").textContent = row.url.replace(/^https?:\/\//, "").replace(/\/$/, "");
  } else {
    link.removeAttribute("href");
  }
}

function watchBadges(marker) {
  const places = new Map([...document.querySelectorAll("[data-live-id]")].map((place) => [place.dataset.liveId, place]));
  if (places.size === 0) return;
  const url = `${marker.dataset.badgesUrl}?ids=${[...places.keys()].join(",")}`;
  repeat(async () => {
    const response = await get(url);
    if (response === null) return null;
    if (!response.ok) return response.status < 500 ? null : IDLE_MS;
    const { rows } = await response.json();
    let busy = false;
    for (const [id, row] of Object.entries(rows)) {
      const place = places.get(id);
      if (place) showBadge(place, row);
      busy = busy || row.busy;
    }
    return busy ? BUSY_MS * 2 : IDLE_MS;
  }, BUSY_MS * 2);
}

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

async function copy(text, place) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Browsers give the clipboard only to pages that came over TLS or from this machine.
  window.getSelection().selectAllChildren(place);
  document.execCommand("copy");
}

function copyOnClick(button, place, copied) {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    await copy(place.textContent, place);
    button.textContent = copied;
    window.setTimeout(() => (button.textContent = label), 1500);
  });
}

function credentialLine(account, list) {
  const line = element("div", "mi-credential");
  line.append(element("span", "mi-credential-account", account.account));
  for (const value of [account.username, account.password]) {
    const code = element("code", "", value);
    const button = element("button", "mi-button", list.dataset.copy);
    button.type = "button";
    copyOnClick(button, code, list.dataset.copied);
    const pair = element("span", "mi-credential-value");
    pair.append(code, button);
    line.append(pair);
  }
  return line;
}

function offerCredentials(box) {
  const toggle = box.querySelector("[data-credentials-toggle]");
  const list = box.querySelector("[data-credentials-list]");
  const show = (lines) => {
    list.replaceChildren(...lines);
    const shown = lines.length > 0;
    toggle.textContent = shown ? toggle.dataset.hide : toggle.dataset.show;
    toggle.setAttribute("aria-expanded", String(shown));
  };
  toggle.addEventListener("click", async () => {
    if (list.childElementCount > 0) {
      show([]);
      return;
    }
    const token = document.querySelector("#operation-form [name=csrfmiddlewaretoken]").value;
    const response = await fetch(box.dataset.credentialsUrl, {
      method: "POST",
      credentials: "same-origin",
      cache: "no-store",
      redirect: "manual",
      headers: { "X-CSRFToken": token },
    });
    if (!response.ok) {
      const { error } = response.status === 503 ? await response.json() : {};
      show([element("p", "mi-warning", error ?? list.dataset.failed)]);
      return;
    }
    const { accounts } = await response.json();
    show(accounts.map((account) => credentialLine(account, list)));
  });
}

/** What a form comes to, shown anew while somebody writes in it. */
function watchPlan(form) {
  const place = form.querySelector("[data-plan]");
  let shown = contentOf(form);
  let timer = null;
  const ask = async () => {
    const now = contentOf(form);
    if (now === shown) return;
    const response = await fetch(form.dataset.planUrl, {
      method: "POST",
      credentials: "same-origin",
      cache: "no-store",
      redirect: "manual",
      body: new FormData(form),
    });
    // Without an answer the server shows the plan when the form is sent.
    if (!response.ok || contentOf(form) !== now) return;
    place.innerHTML = await response.text();
    shown = contentOf(form);
  };
  form.addEventListener("input", () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(ask, PLAN_MS);
  });
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("[data-live-url]").forEach(watchRegion);
  document.querySelectorAll("[data-badges-url]").forEach(watchBadges);
  document.querySelectorAll("[data-credentials-url]").forEach(offerCredentials);
  document.querySelectorAll("[data-plan-url]").forEach(watchPlan);
  document.querySelectorAll("[data-copy-of]").forEach((button) => {
    copyOnClick(button, document.getElementById(button.dataset.copyOf), button.dataset.copied);
  });
});
