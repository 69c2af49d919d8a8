// Which images on the page are alike: the cosine of the angle between their embeddings.

import { button, element, reveal } from "./dom.js";

const NEAREST = 3;

/** The numbers of an embedding, of length 1: from a list or base64 of little-endian float32. */
export function unitVector(embedding) {
  const values = typeof embedding === "string" ? decoded(embedding) : Float32Array.from(embedding);
  const length = Math.hypot(...values);
  return length > 0 ? values.map((value) => value / length) : values;
}

function decoded(base64) {
  const text = atob(base64);
  const buffer = new ArrayBuffer(text.length);
  const octets = new Uint8Array(buffer);
  for (let place = 0; place < text.length; place += 1) octets[place] = text.charCodeAt(place);
  const view = new DataView(buffer);
  return Float32Array.from({ length: text.length / 4 }, (_, at) => view.getFloat32(4 * at, true));
}

/** The images whose embeddings are known. Compared are those of one model only. */
export class Alikes {
  #vectors = new Map();
  #cosines = new Map();

  /** model: its name and precision. */
  add(card, model, embedding) {
    this.remove(card);
    const vector = unitVector(embedding);
    const cosines = new Map();
    for (const [other, known] of this.#vectors) {
      if (known.model !== model || known.vector.length !== vector.length) continue;
      const cosine = vector.reduce((sum, value, place) => sum + value * known.vector[place], 0);
      cosines.set(other, cosine);
      this.#cosines.get(other).set(card, cosine);
    }
    this.#vectors.set(card, { model, vector });
    this.#cosines.set(card, cosines);
    for (const one of [card, ...cosines.keys()]) one.showAlike(this.#nearest(one));
  }

  remove(card) {
    this.#vectors.delete(card);
    this.#cosines.delete(card);
    for (const [other, cosines] of this.#cosines) {
      if (cosines.delete(card)) other.showAlike(this.#nearest(other));
    }
  }

  /** The nearest others, the most alike first, each with its cosine. */
  #nearest(card) {
    return [...this.#cosines.get(card)].sort(([, one], [, other]) => other - one).slice(0, NEAREST);
  }
}

/** The row of a card that leads to its nearest; null where there are none. */
export function alikeRow(nearest) {
  if (!nearest.length) return null;
  const entries = nearest.map(([card, cosine]) => {
    const link = button("", () => {
      reveal(card.root);
      card.focus();
    }, { title: `Go to ${card.name}` });
    const words = cosine.toFixed(2);
    link.append(card.smallImage(), element("span", { className: "name" }, card.name), ` ${words}`);
    return element("li", {}, link);
  });
  return element(
    "div",
    { className: "alike" },
    element("h3", { title: "Cosine of the embeddings: 1 is the same" }, "Most alike here"),
    element("ul", {}, ...entries),
  );
}
