// One image's way to its result: sent, sent again where the server asks for patience, answered.

import { request } from "./api.js";
import { givenUpWords, problemOf, waitingWords } from "./problem.js";

/** Sends the file to `path` until there is an answer or no more hope.
 * report: called with {state, ...} at each step: "sending" (share), "working", "waiting" (words).
 * Resolves with {result} or {problem: {words, needsKey, tooLarge}}, or null after an abort. */
export async function classify(path, file, report, signal) {
  for (let attempt = 1; ; attempt += 1) {
    report({ state: "sending", share: 0 });
    const onProgress = (share) =>
      report(share < 1 ? { state: "sending", share } : { state: "working" });
    const answer = await request(path, { file, signal, onProgress });
    if (answer.aborted) return null;
    const problem = problemOf(answer, file);
    if (!problem) return { result: answer.body };
    if (!problem.wait) return { problem };
    if (attempt >= problem.wait.attempts) {
      return { problem: { ...problem, words: givenUpWords(problem) } };
    }
    report({ state: "waiting", words: waitingWords(problem) });
    await pause(problem.wait.seconds, signal);
    if (signal.aborted) return null;
  }
}

/** The path and query of a request. model: null for the server's default. */
export function predictPath({ model, ...parameters }) {
  const query = Object.entries({ ...parameters, ...(model ? { model } : {}) })
    .map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll("%2C", ",")}`)
    .join("&");
  return query ? `predict?${query}` : "predict";
}

function pause(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
