// The controls over the page: each choice is sent to the server; keys choose wherever no field is filled in.

const isField = (element) => element.matches("textarea, select, input:not([type=radio]):not([type=checkbox])");

export function followControls(section, choose) {
  section.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-control]");
    if (!button) return;
    const menu = button.closest("details");
    if (menu) menu.open = false;
    choose(button.name, button.value);
  });
  section.addEventListener("change", (event) => {
    const { name, value, checked } = event.target;
    choose(name, checked ? value : "");
  });
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll(".menu[open], .more[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave(event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || isField(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    section.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`)?.click();
  });
}

// Escape closes a menu, and leaves a field so that the keys count again.
function leave(element) {
  const menu = element.closest("details[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  } else if (isField(element) && !element.closest("dialog")) {
    element.blur();
  }
}
