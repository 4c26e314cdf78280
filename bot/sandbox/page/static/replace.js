// Replaces the content of an element where it changed, and leaves the keyboard's focus where it was.

const shown = new Map();

export function replace(element, html) {
  if (shown.get(element) === html) return;
  const focused = element.contains(document.activeElement) ? identity(document.activeElement) : "";
  const open = [...element.querySelectorAll("details[open] > summary")].map(identity);
  element.innerHTML = html;
  shown.set(element, html);
  for (const summary of element.querySelectorAll("summary")) {
    if (open.includes(identity(summary))) summary.parentElement.open = true;
  }
  if (!focused) return;
  const candidates = element.querySelectorAll("button, a, input, select, textarea, summary");
  [...candidates].find((candidate) => identity(candidate) === focused)?.focus({ preventScroll: true });
}

// What an element has in common with the one that takes its place.
function identity(element) {
  const message = element.closest("[data-ts], [data-view]");
  const place = message ? message.dataset.ts || message.dataset.view : "";
  const { name = "", value = "" } = element.tagName === "INPUT" || element.tagName === "BUTTON" ? element : {};
  const text = element.tagName === "SUMMARY" || element.tagName === "A" ? element.textContent : "";
  const { person, channel, thread, block, action, shortcut } = element.dataset;
  return JSON.stringify([element.tagName, place, name, value, text, person, channel, thread, block, action, shortcut]);
}
