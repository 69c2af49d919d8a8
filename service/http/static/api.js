// Requests to the server, with the API key where there is one.

import { access } from "./access.js";

/** The answer to a request: `status` (0: none came), `text`, `body` (parsed JSON, or null where it is
 * none), `retryAfter` (seconds, or null), `aborted`. Never throws.
 * options: file (sent as a form's part), signal (AbortSignal), onProgress (share sent, 0 to 1). */
export function request(path, { file = null, signal = null, onProgress = null } = {}) {
  return new Promise((resolve) => {
    const xhr = new XMLHttpRequest();
    const end = (aborted) => {
      signal?.removeEventListener("abort", abort);
      const body = parsed(xhr.responseText);
      if (wantsKey(xhr.status, body)) access.ask(xhr.status, body);
      const after = xhr.status ? retryAfter(xhr.getResponseHeader("Retry-After")) : null;
      resolve({ status: xhr.status, text: xhr.responseText, body, retryAfter: after, aborted });
    };
    const abort = () => xhr.abort();
    if (signal?.aborted) {
      resolve({ status: 0, text: "", body: null, retryAfter: null, aborted: true });
      return;
    }
    signal?.addEventListener("abort", abort);
    xhr.onload = xhr.onerror = xhr.ontimeout = () => end(false);
    xhr.onabort = () => end(true);
    if (onProgress) {
      xhr.upload.onprogress = (event) => {
        if (event.lengthComputable) onProgress(event.loaded / event.total);
      };
    }
    // Relative to the page's base: behind a proxy's prefix as well.
    xhr.open(file ? "POST" : "GET", new URL(path, document.baseURI));
    if (access.key) xhr.setRequestHeader("Authorization", `Bearer ${access.key}`);
    xhr.setRequestHeader("Accept", "application/json");
    if (!file) {
      xhr.send();
      return;
    }
    const form = new FormData();
    form.append("file", file);
    xhr.send(form);
  });
}

/** Whether a key may help. A proxy that keeps a path for others says 403 too, but not as the service
 * does. */
export function wantsKey(status, body) {
  return status === 401 || (status === 403 && typeof body?.code === "string");
}

function parsed(text) {
  try {
    const body = JSON.parse(text);
    return body !== null && typeof body === "object" ? body : null;
  } catch {
    return null;
  }
}

/** Seconds, of a number or a date. */
function retryAfter(header) {
  if (!header) return null;
  const given = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(given) ? Math.max(given, 0) : null;
}
