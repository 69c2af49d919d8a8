// Whether the server can answer: a dot and words, asked again every few seconds while it can't.

import { request } from "./api.js";
import { byId } from "./dom.js";

const READY_SECONDS = 30;
const UNREADY_SECONDS = 2;

/** Watches it. onReady: called whenever the server turns ready. */
export function watchReadiness(onReady) {
  let state = null;
  const look = async () => {
    if (!document.hidden) {
      const found = readinessOf(await request("health/ready"));
      byId("readiness").dataset.state = found.state;
      const words = byId("readiness-words");
      if (words.textContent !== found.words) words.textContent = found.words;
      if (found.state === "ready" && state !== "ready") onReady();
      state = found.state;
    }
    setTimeout(look, 1000 * (state === "ready" ? READY_SECONDS : UNREADY_SECONDS));
  };
  look();
}

function readinessOf({ status, body }) {
  if (status === 200 && body?.status === "ready") return { state: "ready", words: "Ready" };
  if (body?.detail) {
    const loading = /loading/i.test(body.detail);
    return { state: loading ? "loading" : "unready", words: `Not ready: ${body.detail}` };
  }
  return { state: "unready", words: "The server does not answer" };
}
