// How far all images are.

import { say } from "./announcer.js";
import { byId } from "./dom.js";
import { counted } from "./format.js";

let busy = false;

/** Shows it. cards: all on the page. */
export function showOverall(cards) {
  const done = cards.filter((card) => card.state === "done").length;
  const failed = cards.filter((card) => card.state === "failed").length;
  const ended = done + failed;
  const whole = cards.length;
  const words = wordsOf(done, failed, whole);
  byId("overall").hidden = whole === 0;
  document.body.classList.toggle("filled", whole > 0);
  byId("overall-words").textContent = words;
  const bar = byId("overall-bar");
  bar.max = Math.max(whole, 1);
  bar.value = ended;
  bar.hidden = ended === whole;
  byId("heat-maps").hidden = byId("show-code").hidden = done === 0;
  if (busy && ended === whole && whole > 1) say(words);
  busy = ended < whole;
}

function wordsOf(done, failed, whole) {
  const bad = failed ? `, ${failed} could not be classified` : "";
  return done + failed < whole
    ? `${done + failed} of ${counted(whole, "image")} done${bad}`
    : `${counted(done, "image")} classified${bad}`;
}
