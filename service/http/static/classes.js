// The classes of one image: the winner large, the others as what they are.

import { element } from "./dom.js";
import { percent } from "./format.js";

// Bars of less than this share would be dots.
const VISIBLE_SHARE = 0.005;

/** How sure the model is of a class: calibrated, where the server has calibrated it. */
export const certainty = ({ confidence, probability }) => confidence ?? probability;

/** The list. result: of one image. onClass(prediction): one was chosen. Each entry is a button. */
export function classList(result, name, onClass) {
  return element(
    "ol",
    { className: "classes", aria: { label: `Classes of ${name}` } },
    ...result.predictions.map((prediction, rank) =>
      element("li", { className: rank ? "" : "winner" }, entry(prediction, onClass))),
  );
}

/** What the server says of the answer as a whole: it abstains, or the image is unlike others. */
export function remarks(result) {
  const found = [];
  if (result.abstained) {
    found.push("The model is not sure enough to decide: below the server's threshold.");
  }
  if (result.out_of_distribution) {
    const score = Number.isFinite(result.ood_score) ? ` (score ${result.ood_score.toFixed(2)})` : "";
    found.push(`Unlike the images that the model was made for${score}.`);
  }
  return found.map((words) => element("p", { className: "remark" }, words));
}

function entry(prediction, onClass) {
  const share = certainty(prediction);
  const bar = element("span", { className: "bar", aria: { hidden: "true" } });
  bar.style.setProperty("--share", String(Math.min(share, 1)));
  const shown = element(
    "button",
    {
      type: "button",
      title: [
        "Show where in the image",
        prediction.wnid ? `WordNet ${prediction.wnid}` : "",
        prediction.confidence === undefined ? "" : `probability ${percent(prediction.probability)}`,
      ].filter(Boolean).join(" · "),
      aria: { pressed: "false" },
      data: { classId: prediction.class_id },
      onclick: () => onClass(prediction),
    },
    element("span", { className: "label" }, prediction.label),
    " ",
    element("span", { className: "share" }, percent(share)),
    share < VISIBLE_SHARE ? null : bar,
  );
  return shown;
}

/** Marks the class whose heat map is shown; null for none. */
export function markShown(list, classId) {
  for (const one of list.querySelectorAll("button")) {
    one.setAttribute("aria-pressed", String(one.dataset.classId === String(classId)));
  }
}
