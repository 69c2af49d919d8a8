// Making and finding elements.

export const byId = (id) => document.getElementById(id);

/** A new element. properties: assigned as they are, but `aria` and `data`, which are objects of
 * attributes without their prefix. children: elements or texts; null and "" are left out. */
export function element(name, { aria = {}, data = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  for (const [key, value] of Object.entries(aria)) made.setAttribute(`aria-${key}`, value);
  for (const [key, value] of Object.entries(data)) made.dataset[key] = value;
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

export function button(words, onclick, properties = {}) {
  return element("button", { type: "button", onclick, ...properties }, words);
}

/** A function that opens a dialog, or shows other content in one that is open. Its close button and a
 * click beside it close it. */
export function dialog(id) {
  const box = byId(id);
  box.querySelector(".close").addEventListener("click", () => box.close());
  box.addEventListener("click", (event) => {
    if (event.target === box) box.close();
  });
  return (...content) => {
    byId(`${id}-content`).replaceChildren(...content);
    if (!box.open) box.showModal();
  };
}

/** Brings an element into view, without motion where the user wants none. */
export function reveal(shown) {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  shown.scrollIntoView({ behavior: still ? "auto" : "smooth", block: "nearest" });
}
