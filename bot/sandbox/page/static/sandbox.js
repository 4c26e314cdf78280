// The page's behaviour: reload the screen after every change, and send a person's actions to the server.
import { followControls } from "./controls.js";
import { replace } from "./replace.js";

const byId = (id) => document.getElementById(id);
const token = document.querySelector("meta[name=sandbox-token]").content;
const edition = document.querySelector("meta[name=sandbox-edition]").content;
const asked = new URLSearchParams(location.search);
const now = {
  as: asked.get("as") || "ana",
  channel: asked.get("channel") || "ai-rollouts",
  thread: "",
  wire: false,
  modalKey: "",
};
let looking = false;
let lookAgain = false;

async function look() {
  if (looking) {
    lookAgain = true;
    return;
  }
  looking = true;
  try {
    do {
      lookAgain = false;
      const { as, channel } = now;
      const query = new URLSearchParams({ as, channel, thread: now.thread, wire: now.wire ? "1" : "" });
      const answer = await fetch(`/sandbox/look?${query}`);
      const screen = answer.ok ? await answer.json() : null;
      if (as !== now.as || channel !== now.channel) lookAgain = true; // somebody went elsewhere meanwhile
      else if (screen && screen.edition !== edition) location.reload();
      else if (screen) show(screen);
      else tell((await answer.json()).message);
    } while (lookAgain);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // no connection; the stream of changes tries again
  } finally {
    looking = false;
  }
}

function show(screen) {
  now.channel = screen.channel;
  byId("title").textContent = screen.title;
  byId("topic").textContent = screen.topic;
  byId("narration").hidden = !screen.narration;
  replace(byId("narration"), screen.narration);
  byId("controls").hidden = !screen.controls;
  replace(byId("controls"), screen.controls);
  byId("composer").hidden = screen.channel === "home";
  replace(byId("navigation"), screen.navigation);
  const atEnd = isAtEnd(byId("messages"));
  replace(byId("messages"), screen.messages);
  const strip = byId("violations");
  strip.hidden = screen.violations.length === 0;
  strip.textContent = screen.violations.length ? `Slack would refuse this: ${screen.violations.join(" · ")}` : "";
  byId("side").hidden = !(now.wire || screen.thread);
  byId("side-title").textContent = now.wire ? "Wire" : "Thread";
  byId("show-wire").setAttribute("aria-pressed", String(now.wire));
  byId("thread-composer").hidden = now.wire;
  if (now.wire) replaceWire(screen.wire);
  else replaceThread(screen.thread);
  if (atEnd) scrollToEnd(byId("messages"));
  showModal(screen);
  const place = new URLSearchParams({ as: now.as, channel: now.channel });
  history.replaceState(null, "", `?${place}`);
}

function isAtEnd(element) {
  return element.scrollHeight - element.scrollTop - element.clientHeight < 80;
}

function scrollToEnd(element) {
  element.scrollTop = element.scrollHeight;
}

function replaceThread(html) {
  const side = byId("side-body");
  const atEnd = isAtEnd(side);
  replace(side, html);
  if (atEnd) scrollToEnd(side);
}

function replaceWire(html) {
  const side = byId("side-body");
  if (!side.querySelector("details[open]")) replace(side, html);
}

function showModal(screen) {
  if (screen.modal_key === now.modalKey) return;
  now.modalKey = screen.modal_key;
  const dialog = byId("modal");
  const before = dialog.querySelector("[data-view]");
  const entered = before ? valuesOf(before) : {};
  dialog.innerHTML = screen.modal;
  const after = dialog.querySelector("[data-view]");
  // Like Slack, keep what was entered in inputs that are still there when the app updates the view.
  if (before && after && before.dataset.view === after.dataset.view) enterAgain(after, entered);
  if (screen.modal && !dialog.open) dialog.showModal();
  if (!screen.modal && dialog.open) dialog.close();
}

function enterAgain(view, entered) {
  for (const element of view.querySelectorAll("[data-input] [data-action]")) {
    const value = entered[element.dataset.block];
    if (value === undefined) continue;
    if (element.dataset.choices) {
      for (const input of element.querySelectorAll("input")) input.checked = [value].flat().includes(input.value);
    } else if (element.multiple) {
      for (const option of element.options) option.selected = value.includes(option.value);
    } else {
      element.value = value || "";
    }
  }
}

async function act(what, body, button) {
  if (button) button.disabled = true;
  try {
    const answer = await fetch(`/sandbox/${what}`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-sandbox-token": token },
      body: JSON.stringify({ as: now.as, channel: now.channel, ...body }),
    });
    const text = await answer.text();
    const told = text.startsWith("{") ? JSON.parse(text) : { message: text };
    tell(told.message, answer.ok);
    return told;
  } finally {
    if (button) button.disabled = false;
    look();
  }
}

function tell(message, fine = true) {
  const status = byId("status");
  status.textContent = message || "";
  status.classList.toggle("bad", !fine || message.startsWith("not acknowledged"));
}

function confirmed(element) {
  if (!element.dataset.confirm) return Promise.resolve(true);
  const asks = JSON.parse(element.dataset.confirm);
  const dialog = byId("confirm");
  dialog.querySelector("h2").textContent = asks.title.text;
  dialog.querySelector("p").textContent = asks.text.text;
  const go = dialog.querySelector(".go");
  const deny = dialog.querySelector(".deny");
  go.textContent = asks.confirm.text;
  go.className = `button go ${asks.style === "danger" ? "danger" : "primary"}`;
  deny.textContent = asks.deny.text;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    go.onclick = () => dialog.close("go");
    deny.onclick = () => dialog.close("");
    dialog.onclose = () => resolve(dialog.returnValue === "go");
  });
}

async function use(element, value) {
  if (!(await confirmed(element))) return;
  if (element.dataset.url) window.open(element.dataset.url, "_blank", "noopener");
  const view = element.closest("[data-view]");
  const message = element.closest("[data-ts]");
  const place = view ? { view: view.dataset.view, values: valuesOf(view) } : { ts: message.dataset.ts };
  await act("click", { ...place, block: element.dataset.block, action: element.dataset.action, value }, element);
}

function valueOf(element) {
  if (element.dataset.choices) {
    const chosen = [...element.querySelectorAll("input:checked")].map((input) => input.value);
    return element.dataset.choices === "checkboxes" ? chosen : chosen[0] || null;
  }
  if (element.multiple) return [...element.selectedOptions].map((option) => option.value);
  return element.value || null;
}

function valuesOf(view) {
  const values = {};
  for (const element of view.querySelectorAll("[data-input] [data-action]")) {
    values[element.dataset.block] = valueOf(element);
  }
  return values;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.way !== undefined) {
    Object.assign(now, { as: button.dataset.person, channel: button.dataset.channel, thread: button.dataset.thread });
    Object.assign(now, { wire: false, modalKey: "" });
    byId("modal").close();
    tell("");
    look();
  } else if (button.dataset.person) {
    now.as = button.dataset.person;
    now.modalKey = "";
    byId("modal").close();
    tell("");
    look();
  } else if (button.dataset.channel) {
    now.channel = button.dataset.channel;
    now.thread = "";
    scrollToEnd(byId("messages"));
    if (now.channel === "home") act("home", {});
    else look();
  } else if (button.dataset.thread) {
    now.thread = button.dataset.thread;
    now.wire = false;
    look();
  } else if (button.dataset.shortcut) {
    button.closest("details").open = false;
    act("shortcut", { ts: button.closest("[data-ts]").dataset.ts, shortcut: button.dataset.shortcut }, button);
  } else if (button.dataset.close !== undefined) {
    act("close", { view: button.closest("[data-view]").dataset.view });
  } else if (button.dataset.acts !== undefined) {
    use(button, null);
  }
});

document.addEventListener("change", (event) => {
  const element = event.target.closest("[data-acts]");
  if (element && element.tagName !== "BUTTON") use(element, valueOf(element));
});

document.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  if (form.id === "composer" || form.id === "thread-composer") {
    const input = form.querySelector("input");
    const text = input.value.trim();
    if (!text) return;
    input.value = "";
    await act("say", { text, thread: form.id === "composer" ? "" : now.thread }, form.querySelector("button"));
    input.focus();
  } else if (form.dataset.view) {
    const told = await act("submit", { view: form.dataset.view, values: valuesOf(form) }, form.querySelector("[type=submit]"));
    for (const error of form.querySelectorAll(".error")) error.textContent = "";
    for (const [block, text] of Object.entries(told.errors || {})) {
      const input = form.querySelector(`[data-input="${CSS.escape(block)}"] .error`) || form.querySelector(".form-error");
      input.textContent = text;
    }
  }
});

byId("modal").addEventListener("cancel", (event) => {
  event.preventDefault();
  act("close", { view: byId("modal").querySelector("[data-view]").dataset.view });
});

byId("show-wire").onclick = () => {
  now.wire = !now.wire;
  look();
};
byId("close-side").onclick = () => {
  now.wire = false;
  now.thread = "";
  look();
};

followControls(byId("controls"), (name, value) => act("choose", { name, value }));

const changes = new EventSource("/sandbox/changes");
changes.onmessage = look;
changes.onopen = () => byId("live").classList.add("on");
changes.onerror = () => byId("live").classList.remove("on");
byId("say").value = asked.get("type") || "";
if (byId("narration").hidden) byId("say").focus();
look();
