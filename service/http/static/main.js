// Puts the page together.

import { access } from "./access.js";
import { Board } from "./board.js";
import { predictPath } from "./classification.js";
import { byId, dialog } from "./dom.js";
import { watchIntake } from "./intake.js";
import { watchMetrics } from "./metrics.js";
import { Models } from "./models.js";
import { Note } from "./note.js";
import { watchReadiness } from "./readiness.js";
import { snippets } from "./snippet.js";

const notice = new Note("notice");
const models = new Models(offerAgain);
const board = new Board(models, new Note("offer"));

/** Another model was chosen: the results on the page are those of the one before. */
function offerAgain() {
  if (!board.cards.length) return;
  notice.show(`The results below are not of ${models.chosen} yet.`, {
    "Classify them again": () => board.again(),
    "Leave them": () => {},
  });
}

watchIntake(
  (files) => {
    notice.hide();
    board.add(files);
  },
  (words) => notice.show(words),
);
watchReadiness(() => models.read());
access.onKey(() => {
  models.read();
  board.again((card) => card.problem?.needsKey);
});

const showModels = dialog("models");
byId("show-models").addEventListener("click", async () => {
  await models.read();
  showModels(...models.content());
});
watchMetrics(models);
const showCode = dialog("code");
byId("show-code").addEventListener("click", () => {
  const done = board.cards.filter((card) => card.state === "done");
  const names = done.map((card) => card.name);
  showCode(...snippets(names, predictPath({ model: models.chosen }), access.key !== null));
});
byId("heat-maps").addEventListener("click", () => board.showHeatMaps(!board.heatMaps));
byId("clear").addEventListener("click", () => board.clear());
