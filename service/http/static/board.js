// All images on the page and what is done with them.

import { say } from "./announcer.js";
import { Alikes } from "./alike.js";
import { Card } from "./card.js";
import { classify, predictPath } from "./classification.js";
import { byId, reveal } from "./dom.js";
import { HUGE_BYTES, offerWords, smallerCopy } from "./downscale.js";
import { showOverall } from "./overall.js";
import { Queue } from "./queue.js";

const REQUESTS_AT_ONCE = 2;

export class Board {
  cards = [];
  #queue = new Queue(REQUESTS_AT_ONCE);
  #alikes = new Alikes();
  #models;
  #offer;
  #heatMaps = false;
  #asking = [];

  constructor(models, offer) {
    this.#models = models;
    this.#offer = offer;
  }

  /** Adds files in their order, and classifies them. */
  async add(files) {
    const added = files.map((file) => new Card(file, {
      classify: (card) => this.classify(card),
      sendSmaller: (card) => this.#sendSmaller(card),
      remove: (card) => this.remove(card),
      fetchMaps: (card) => this.#fetchMaps(card),
    }));
    const first = this.cards.length === 0;
    this.cards.push(...added);
    byId("cards").append(...added.map((card) => card.root));
    if (!first) reveal(added[0].root);
    for (const card of added) {
      if (card.file.size > HUGE_BYTES) this.#ask(card);
      else this.classify(card);
    }
    this.#show();
  }

  /** Asks the server of one image. */
  async classify(card) {
    card.report({ state: "queued" });
    this.#alikes.remove(card);
    card.showAlike([]);
    card.controller.abort();
    const { signal } = (card.controller = new AbortController());
    this.#show();
    const path = predictPath({
      model: this.#models.chosen,
      outputs: "predictions,embedding",
      encoding_format: "base64",
    });
    const report = (step) => {
      if (!signal.aborted) card.report(step);
    };
    const answer = await this.#queue.add(() => classify(path, card.sent, report, signal));
    if (!answer || signal.aborted) return;
    this.#end(card, answer);
  }

  /** Asks once more of every image, or of those for which the filter holds. */
  again(filter = () => true) {
    for (const card of this.cards.filter((one) => one.state !== "asking" && filter(one))) {
      this.classify(card);
    }
  }

  remove(card) {
    const place = this.cards.indexOf(card);
    card.close();
    this.#alikes.remove(card);
    this.cards = this.cards.filter((one) => one !== card);
    this.#asking = this.#asking.filter((one) => one !== card);
    this.#showOffer();
    this.#show();
    // The focus was on a button that is gone.
    const next = this.cards[place] ?? this.cards.at(-1);
    if (next) next.focus();
    else byId("choose").focus();
  }

  clear() {
    for (const card of [...this.cards]) this.remove(card);
    this.showHeatMaps(false);
  }

  /** Over every image that has a result, and over those to come. */
  showHeatMaps(on) {
    this.#heatMaps = on;
    byId("heat-maps").setAttribute("aria-pressed", String(on));
    for (const card of this.cards) if (card.state === "done") card.toggleHeatMap(on);
  }

  get heatMaps() {
    return this.#heatMaps;
  }

  #end(card, { result, problem }) {
    if (problem) {
      card.fail(problem);
    } else {
      card.succeed(result);
      const { model, embedding } = result;
      if (embedding) this.#alikes.add(card, `${model.name} ${model.precision}`, embedding);
      if (this.#heatMaps) card.toggleHeatMap(true);
    }
    say(card.summary);
    this.#show();
  }

  #fetchMaps(card) {
    const path = predictPath({
      model: card.result.model.name,
      outputs: "class_activation_map",
      classes: card.result.predictions.map((one) => one.class_id).join(","),
      overlay: "true",
      encoding_format: "base64",
    });
    const { signal } = card.controller;
    return this.#queue.add(() => classify(path, card.sent, () => {}, signal));
  }

  async #ask(card) {
    card.report({ state: "asking" });
    // What the browser can't show it can't make smaller.
    if (await card.size === null) {
      this.classify(card);
      return;
    }
    if (!this.cards.includes(card)) return;
    this.#asking.push(card);
    this.#showOffer();
  }

  #showOffer() {
    const asking = this.#asking;
    if (!asking.length) {
      this.#offer.hide();
      return;
    }
    const images = asking.map(({ name, file, image }) => ({
      name,
      bytes: file.size,
      size: { width: image.naturalWidth, height: image.naturalHeight },
    }));
    const one = asking.length === 1;
    const decide = (act) => () => {
      this.#asking = [];
      asking.forEach(act);
    };
    this.#offer.show(offerWords(images, this.#models.inputSize), {
      [one ? "Send a smaller copy" : "Send smaller copies"]: decide((card) =>
        this.#sendSmaller(card)),
      [one ? "Send it as it is" : "Send them as they are"]: decide((card) => this.classify(card)),
    });
  }

  async #sendSmaller(card) {
    card.sent = (await smallerCopy(card.file, card.image)) ?? card.file;
    this.classify(card);
  }

  #show() {
    showOverall(this.cards);
  }
}
