// What a screen reader is told: of each result one sentence, not the whole card.

import { byId } from "./dom.js";

const PAUSE_MS = 300;
let waiting = [];
let timer = null;

/** Says the words soon, with others that come at the same time: each change of the region would
 * interrupt the one before. */
export function say(words) {
  waiting.push(words);
  timer ??= setTimeout(() => {
    byId("announcer").textContent = waiting.join(". ");
    waiting = [];
    timer = null;
  }, PAUSE_MS);
}
