// What went wrong, in words for the person in front of the page.

import { wantsKey } from "./api.js";
import { bytes, readable, seconds } from "./format.js";

// How many times it is asked again before the page gives up: a model may load for minutes.
const ATTEMPTS = { loading: 120, busy: 8 };
const SECONDS = { loading: 5, busy: 2 };
// A connection that breaks under a body this large was probably closed because of it.
const LARGE_BYTES = 1_000_000;

/** What an answer means for one image; null where it is a result. file: what was sent.
 * `words`; `wait`: null, or {seconds, attempts} where the page asks again; `again`: whether the user
 * may; `needsKey`; `tooLarge`: whether a smaller copy may help. */
export function problemOf(answer, file) {
  const { status, body } = answer;
  if (status === 200 && body !== null) return null;
  const known = typeof body?.code === "string";
  const kind = kindOf(status, body);
  const words = known ? wordsOf(body, file) : foreignWords(status, file);
  return {
    words,
    wait: kind in ATTEMPTS ? waitOf(kind, answer) : null,
    again: status < 400 || status >= 500 || [401, 403, 429].includes(status),
    needsKey: wantsKey(status, body),
    tooLarge: status === 413 || (status === 0 && file.size > LARGE_BYTES),
  };
}

/** The words while the page waits to ask again. */
export function waitingWords(problem) {
  return `${problem.words} The page asks again in ${seconds(problem.wait.seconds)}.`;
}

/** The words after the last attempt. */
export function givenUpWords(problem) {
  return `${problem.words} The page has asked ${problem.wait.attempts} times.`;
}

function kindOf(status, body) {
  if (body?.code === "model_not_ready") {
    // A model that failed to load stays so until somebody looks at the server.
    return /loading/i.test(body.detail) ? "loading" : "failed";
  }
  return status === 503 || status === 429 ? "busy" : "final";
}

function waitOf(kind, { retryAfter }) {
  const wanted = retryAfter ?? SECONDS[kind];
  return { seconds: Math.min(Math.max(wanted, 0.1), 60), attempts: ATTEMPTS[kind] };
}

/** From the service itself: RFC 9457. */
function wordsOf(body, file) {
  const limit = /may have (\d+) bytes/.exec(body.detail)?.[1];
  switch (body.code) {
    case "unauthorized":
      return "This server answers with an API key only. Enter one above.";
    case "payload_too_large":
      return `The file has ${bytes(file.size)}, and this server takes `
        + `${limit ? bytes(Number(limit)) : "less"} at once.`;
    case "queue_full":
    case "overloaded":
      return "The server is busy with other images.";
    case "rate_limited":
      return "This server limits how many images may be sent in a while.";
    case "model_not_ready":
      return body.detail;
    default:
      return readable(body.detail ?? body.title ?? `The server answered with ${body.status}.`);
  }
}

/** Without a body of the service's: from a proxy between, or from nobody. */
function foreignWords(status, file) {
  switch (status) {
    case 0:
      return file.size > LARGE_BYTES
        ? `The connection broke while ${bytes(file.size)} were sent. The server or a proxy may `
          + "not take files as large as this."
        : "The server did not answer. Either it is not running, or the network is down.";
    case 200:
      return "The answer is not from this server: a proxy or a login page stands in between.";
    case 413:
      return `A proxy in front of the server refuses a file of ${bytes(file.size)}: `
        + "it is set to let less through.";
    case 429:
      return "A proxy in front of the server limits how many requests may be sent.";
    case 502:
    case 503:
      return "A proxy found no server that is ready to answer.";
    case 504:
      return "A proxy waited for the server, and gave up.";
    default:
      return `A proxy in front of the server answered with ${status} and no explanation.`;
  }
}
