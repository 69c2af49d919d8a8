// The class activation maps of one image, laid over it.

import { element } from "./dom.js";

/** An image's maps. fetchMaps: asks the server, once, for all classes of the list; resolves with
 * {result} or {problem}, or null after an abort. onChange(classId or null, words): what is shown. */
export class HeatMap {
  #overlay = element("img", { className: "overlay", alt: "", hidden: true });
  #fetchMaps;
  #onChange;
  #maps = null;
  #fetching = null;
  #wanted = null;

  constructor(figure, fetchMaps, onChange) {
    figure.append(this.#overlay);
    this.#fetchMaps = fetchMaps;
    this.#onChange = onChange;
  }

  /** The class whose map is shown or asked for; null for none. */
  get shown() {
    return this.#wanted;
  }

  async show({ class_id: classId, label }) {
    this.#wanted = classId;
    this.#onChange(classId, this.#maps?.has(classId) ? "" : "Computing the heat map …");
    const problem = await (this.#fetching ??= this.#fetch());
    // Meanwhile another class may have been asked for, or none.
    if (this.#wanted !== classId) return;
    const map = this.#maps?.get(classId);
    if (!map?.overlay) {
      this.hide(problem ?? "The server has no heat map of this class.");
      return;
    }
    this.#overlay.src = map.overlay;
    this.#overlay.hidden = false;
    this.#onChange(classId, `Where the model sees ${label}`);
  }

  hide(words = "") {
    this.#wanted = null;
    this.#overlay.hidden = true;
    this.#onChange(null, words);
  }

  /** The words of what went wrong, after which it may be tried again; null where nothing did. */
  async #fetch() {
    const answer = await this.#fetchMaps();
    if (!answer?.result) {
      this.#fetching = null;
      return answer?.problem.words ?? "";
    }
    const maps = answer.result.class_activation_maps ?? [];
    this.#maps = new Map(maps.map((map) => [map.class_id, map]));
    return null;
  }
}
