// Something that the page has to say or to ask, between the choice of images and the results.

import { button, byId, element } from "./dom.js";
import { say } from "./announcer.js";

export class Note {
  #box;

  constructor(id) {
    this.#box = byId(id);
  }

  /** answers: words of buttons, each with what it does; the note goes away with any. */
  show(words, answers = { "All right": () => {} }) {
    const row = element("div", { className: "row" });
    for (const [label, act] of Object.entries(answers)) {
      row.append(button(label, () => {
        this.hide();
        act();
      }));
    }
    this.#box.replaceChildren(element("p", {}, words), row);
    this.#box.hidden = false;
    say(words);
  }

  hide() {
    this.#box.hidden = true;
    this.#box.replaceChildren();
  }
}
