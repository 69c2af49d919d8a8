// The server's metrics as people read them: the figures that tell how it is doing.

import { request } from "./api.js";
import { byId, dialog, element } from "./dom.js";
import { Exposition } from "./exposition.js";
import { bytes, counted, duration, milliseconds, rounded } from "./format.js";

const LATENCY = "resnet_http_request_duration_seconds";
const BATCH = "resnet_batch_size";
const HEADS = ["Model", "State", "Images", "Waiting", "Images a batch", "Inference"];
const NONE = "none yet";
const PAUSE_SECONDS = 5;

/** Opens the panel at its button, and asks the server again while it is open. */
export function watchMetrics(models) {
  const [box, show] = [byId("metrics"), dialog("metrics")];
  let timer = null;
  const later = () => {
    clearTimeout(timer);
    if (box.open) timer = setTimeout(look, 1000 * PAUSE_SECONDS);
  };
  const look = async () => {
    const content = await contentOf(models);
    if (box.open) update(byId("metrics-content"), content);
    later();
  };
  byId("show-metrics").addEventListener("click", async () => {
    show(...await contentOf(models));
    later();
  });
  box.addEventListener("close", () => clearTimeout(timer));
}

/** Replaces what changed alone: the focus and a reader's place stay. */
function update(shown, content) {
  const fresh = element("div", {}, ...content);
  const [before, after] = [shown, fresh].map((one) => [...one.querySelectorAll("td")]);
  if (before.length !== after.length) {
    shown.replaceChildren(...fresh.childNodes);
    return;
  }
  before.forEach((cell, place) => {
    const { textContent } = after[place];
    if (cell.textContent !== textContent) cell.textContent = textContent;
  });
}

async function contentOf(models) {
  const [{ status, text }] = await Promise.all([request("metrics"), models.read()]);
  if (status !== 200) {
    const why = status ? ` (status ${status})` : "";
    return [
      element("p", {}, `The metrics can't be read from here${why}. A proxy in front of the server may `
        + "keep them for its operators."),
    ];
  }
  const found = new Exposition(text);
  return [
    table("The server", [], figures(found)),
    table("Its models", HEADS, models.here.map((one) => modelRow(found, one))),
    element("p", { className: "hint" }, "Counted since the server started. ",
      element("a", { href: "metrics" }, "All metrics, as text for Prometheus")),
  ];
}

/** Rows of a name and a value. */
function figures(found) {
  // Requests that bring images; those of the page itself and of probes are left out.
  const posted = ({ method }) => method === "POST";
  const routes = new Set(found.of("resnet_http_requests_total", posted)
    .map(({ labels }) => labels.route));
  const inRoutes = ({ route }) => routes.has(route);
  const http = found.sum("resnet_http_requests_total", posted) ?? 0;
  const grpc = found.sum("resnet_grpc_requests_total") ?? 0;
  const half = found.quantile(LATENCY, 0.5, inRoutes);
  const started = found.of("process_start_time_seconds").map(({ value }) => value);
  const version = found.of("resnet_build_info")[0]?.labels.version;
  return [
    ["State", found.sum("resnet_ready") ? "Ready" : "Not ready"],
    ["Version", version ?? "unknown"],
    ["Running for", started.length ? duration(Date.now() / 1000 - Math.min(...started)) : "unknown"],
    ["Requests with images", grpc ? `${http} over HTTP, ${grpc} over gRPC` : String(http)],
    ["Answered within", half === null ? NONE : `${milliseconds(1000 * half)} (half of them), `
      + `${milliseconds(1000 * found.quantile(LATENCY, 0.95, inRoutes))} (95 %)`],
    ["Requests refused", reasons(found)],
    // 503 is a refusal.
    ["Server errors", String(found.sum("resnet_http_requests_total",
      (labels) => posted(labels) && /^5(?!03)/.test(labels.status)) ?? 0)],
    ["Images", images(found, () => true)],
    ["Longest expected wait", wait(found)],
    ["Memory", bytes(found.sum("process_resident_memory_bytes") ?? 0)],
    ["Open connections", String(found.sum("resnet_connections") ?? 0)],
  ];
}

function reasons(found) {
  const refused = found.of("resnet_rejections_total").filter(({ value }) => value > 0);
  if (!refused.length) return "0";
  return refused.map(({ labels, value }) => `${value} ${labels.reason.replaceAll("_", " ")}`)
    .join(", ");
}

function images(found, filter) {
  const count = (result) => found.sum("resnet_images_total",
    (labels) => labels.result === result && filter(labels)) ?? 0;
  const bad = ["failed", "dropped"].filter((result) => count(result))
    .map((result) => `, ${count(result)} ${result}`);
  return `${count("ok")} classified${bad.join("")}`;
}

function wait(found) {
  const waits = found.of("resnet_queue_expected_wait_seconds").map(({ value }) => value);
  const longest = Math.max(0, ...waits);
  return longest ? milliseconds(1000 * longest) : "none";
}

function modelRow(found, { name, state }) {
  const ofModel = ({ model }) => model === name;
  const batch = found.mean(BATCH, ofModel);
  const inference = found.mean("resnet_inference_seconds", ofModel);
  return [
    name,
    state,
    images(found, ofModel),
    counted(found.sum("resnet_queue_depth", ofModel) ?? 0, "image"),
    batch === null ? NONE : rounded(batch),
    inference === null ? NONE : `${milliseconds(1000 * inference)} a batch`,
  ];
}

/** heads: none for a table of names and values. */
function table(label, heads, rows) {
  const head = element("thead", {}, element("tr", {}, ...heads.map((one) =>
    element("th", { scope: "col" }, one))));
  return element("section", { className: "figures" },
    element("h3", {}, label),
    element("div", { className: "table", tabIndex: 0, role: "region", aria: { label } },
      element("table", {}, heads.length ? head : null,
        element("tbody", {}, ...rows.map(([name, ...cells]) => element("tr", {},
          element("th", { scope: "row" }, name),
          ...cells.map((cell) => element("td", {}, cell))))))));
}
