// One image on the page: its picture, and what the server says of it.

import { alikeRow } from "./alike.js";
import { certainty, classList, markShown, remarks } from "./classes.js";
import { button, element } from "./dom.js";
import { bytes, milliseconds, percent, pixels, rounded } from "./format.js";
import { HeatMap } from "./heat_map.js";

let made = 0;

const noPicture = () => element("span", { className: "no-picture", aria: { hidden: "true" } });

/** actions: `classify(card)`, `sendSmaller(card)`, `remove(card)`, and `fetchMaps(card)`, which
 * resolves as `classify` of classification.js does. */
export class Card {
  /** What is sent: the file, or a smaller copy. */
  sent;
  /** "queued", "asking", "sending", "working", "waiting", "done" or "failed". */
  state = "queued";
  result = null;
  problem = null;
  /** Where its request is ended. */
  controller = new AbortController();

  #actions;
  #answer = element("div", { className: "answer" });
  #alike = element("div");
  #about = element("p", { className: "about" });
  #caption = element("span", { className: "caption" });
  #toggle;
  #article;
  #heatMap = null;
  #list = null;
  #url;

  constructor(file, actions) {
    this.file = this.sent = file;
    this.name = file.name;
    this.#actions = actions;
    this.#url = URL.createObjectURL(file);
    const picture = this.#picture();
    this.#toggle = button("Heat map", () => this.toggleHeatMap(), {
      className: "toggle", hidden: true, aria: { pressed: "false" },
    });
    const title = element("h2", { id: `card-${(made += 1)}` }, file.name);
    const remove = button("×", () => actions.remove(this), {
      className: "remove", title: "Remove", aria: { label: `Remove ${file.name}` },
    });
    this.#article = element(
      "article",
      { tabIndex: -1, aria: { labelledby: title.id } },
      element("figure", {}, picture, element("figcaption", {}, this.#caption, this.#toggle)),
      element("div", { className: "head" }, title, remove),
      this.#answer,
      this.#alike,
      this.#about,
    );
    this.root = element("li", { className: "card" }, this.#article);
    this.report({ state: "queued" });
  }

  focus() {
    this.#article.focus({ preventScroll: true });
  }

  /** A picture of its own for a row of another card. */
  smallImage() {
    const image = element("img", { src: this.#url, alt: "" });
    image.onerror = () => image.replaceWith(noPicture());
    return image;
  }

  /** Shows a step on the way: classification.js. */
  report({ state, share = 0, words = "" }) {
    this.#set(state);
    const texts = {
      queued: "Waiting for its turn",
      asking: "Waiting for your choice",
      sending: share > 0 ? `Sending, ${Math.floor(100 * share)} %` : "Sending",
      working: "The model is looking at it",
      waiting: words,
    };
    const bar = state === "sending"
      ? element("progress", { value: share, max: 1, aria: { label: `Sending ${this.name}` } })
      : null;
    this.#answer.replaceChildren(element("p", { className: "step" }, texts[state]), bar ?? "");
  }

  /** A word for everybody who can't see it: the winner, or what went wrong. */
  get summary() {
    if (this.problem) return `${this.name}: ${this.problem.words}`;
    const [winner] = this.result?.predictions ?? [];
    return winner ? `${this.name}: ${winner.label}, ${percent(certainty(winner))}` : this.name;
  }

  fail(problem) {
    this.problem = problem;
    this.#set("failed");
    const actions = element("div", { className: "row" });
    if (problem.again) actions.append(button("Try again", () => this.#actions.classify(this)));
    if (problem.tooLarge && this.sent === this.file) {
      // The answer may be here before the browser has read the image.
      this.size.then((size) => size && actions.append(
        button("Send a smaller copy", () => this.#actions.sendSmaller(this)),
      ));
    }
    this.#answer.replaceChildren(element("p", { className: "error" }, problem.words), actions);
  }

  succeed(result) {
    this.result = result;
    this.#set("done");
    this.#list = classList(result, this.name, (one) => this.#toggleClass(one));
    this.#answer.replaceChildren(...remarks(result), this.#list);
    this.#about.append(this.#origin(result));
    this.#toggle.hidden = false;
    this.#heatMap = new HeatMap(
      this.#article.querySelector(".picture"),
      () => this.#actions.fetchMaps(this),
      (classId, words) => {
        markShown(this.#list, classId);
        this.#toggle.setAttribute("aria-pressed", String(classId !== null));
        this.#caption.textContent = words;
      },
    );
  }

  toggleHeatMap(on = this.#heatMap?.shown === null) {
    if (on) this.#heatMap?.show(this.result.predictions[0]);
    else this.#heatMap?.hide();
  }

  showAlike(nearest) {
    this.#alike.replaceChildren(alikeRow(nearest) ?? "");
  }

  /** Ends its request and lets its memory go. */
  close() {
    this.controller.abort();
    this.root.remove();
    URL.revokeObjectURL(this.#url);
  }

  #toggleClass(prediction) {
    if (this.#heatMap.shown === prediction.class_id) this.#heatMap.hide();
    else this.#heatMap.show(prediction);
  }

  #set(state) {
    this.state = state;
    this.root.dataset.state = state;
    this.#article.setAttribute("aria-busy", String(state !== "done" && state !== "failed"));
    if (state === "done" || state === "failed") return;
    this.#heatMap?.hide();
    this.#heatMap = this.result = this.problem = null;
    this.#toggle.hidden = true;
    this.#article.querySelector(".overlay")?.remove();
    this.#showAbout();
  }

  #picture() {
    this.image = element("img", { alt: "", decoding: "async" });
    const frame = element("div", { className: "picture" }, this.image);
    /** {width, height}, or null where the browser can't show it. */
    this.size = new Promise((resolve) => {
      this.image.onload = () => {
        const { naturalWidth: width, naturalHeight: height } = this.image;
        resolve({ width, height });
        this.#showAbout();
      };
      this.image.onerror = () => {
        this.image.remove();
        frame.append(
          noPicture(),
          element("span", { className: "words" }, "No preview in this browser"),
        );
        resolve(null);
      };
    });
    this.image.src = this.#url;
    return frame;
  }

  #showAbout() {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    const size = width ? ` · ${pixels({ width, height })}` : "";
    const copy = this.sent === this.file
      ? ""
      : `Sent as a copy: ${bytes(this.sent.size)} · ${pixels(this.sent.pixels)}`;
    this.#about.replaceChildren(
      element("span", {}, bytes(this.file.size) + size),
      copy && element("span", {}, copy),
      this.result ? this.#origin(this.result) : "",
    );
  }

  #origin({ model, timing_ms: timing }) {
    const { decode, queue, inference, total } = timing;
    return element(
      "span",
      {},
      `${model.name} · ${model.precision} · ${milliseconds(total)}`,
      element("small", {}, `decode ${rounded(decode)}, queue ${rounded(queue)}, inference `
        + milliseconds(inference)),
    );
  }
}
