// The models of the server: a chooser where several are served, and a table of them.

import { request } from "./api.js";
import { byId, element } from "./dom.js";
import { large } from "./format.js";

const STATES = { ready: "served", unavailable: "not ready", available: "not loaded" };
// Columns that are compared digit by digit.
const NUMBERS = new Set([3, 4, 5]);
const HEADS = ["Model", "State", "Runs as", "Parameters", "Multiply-adds", "Top-1, published",
  "Licence"];

/** What GET /models says, as one list of checkpoints with their network's input size. */
export class Models {
  #all = [];

  /** onChange: called when the user has chosen another model. */
  constructor(onChange) {
    byId("model").addEventListener("change", onChange);
  }

  /** The name to ask for; null for the server's default. */
  get chosen() {
    return byId("chooser").hidden ? null : byId("model").value;
  }

  /** The edge of what the chosen model looks at; null where it is not known. */
  get inputSize() {
    const served = this.#all.filter((one) => one.served);
    return (served.find((one) => one.name === this.chosen) ?? served[0])?.inputSize ?? null;
  }

  /** What the server was told to load: each one's name and its state in words. */
  get here() {
    return this.#all.filter((one) => one.state !== "available")
      .map(({ name, state }) => ({ name, state: STATES[state] }));
  }

  async read() {
    const { status, body } = await request("models");
    if (status !== 200 || !Array.isArray(body?.models)) return;
    this.#all = body.models.flatMap(({ checkpoints, input_size: inputSize }) =>
      checkpoints.map((one) => ({ ...one, inputSize })));
    this.#fill(body.default);
  }

  #fill(byDefault) {
    const select = byId("model");
    const served = this.#all.filter((one) => one.state !== "available");
    const before = this.chosen ?? byDefault;
    select.replaceChildren(...served.map((one) => element("option", {
      value: one.name,
      disabled: !one.served,
      selected: one.name === before,
    }, one.served ? `${one.name} · ${one.served.precision}` : `${one.name} (not ready)`)));
    byId("chooser").hidden = served.length < 2;
  }

  /** What is served as a table, and below it what could be. */
  content() {
    if (!this.#all.length) return [element("p", {}, "The server has not named its models.")];
    const here = this.#all.filter((one) => one.state !== "available");
    const elsewhere = this.#all.filter((one) => one.state === "available");
    return [
      table(here, "Models that are served"),
      element(
        "details",
        {},
        element("summary", {}, `${elsewhere.length} more that it could serve`),
        element("p", { className: "hint" }, "The server is told which to load when it starts: "
          + "RESNET_MODELS=NAME,NAME or resnet serve --models NAME,NAME"),
        table(elsewhere, "Models that could be served"),
      ),
    ];
  }
}

/** The roles are said, since a phone's style, which stacks the cells, takes them from the elements. */
function table(rows, label) {
  return element(
    "div",
    { className: "table stacked", tabIndex: 0, role: "region", aria: { label } },
    element(
      "table",
      { role: "table" },
      element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...HEADS.map((head, column) =>
        element("th", { role: "columnheader", className: NUMBERS.has(column) ? "number" : "" }, head)))),
      element("tbody", { role: "rowgroup" }, ...rows.map(row)),
    ),
  );
}

function row(one) {
  const cells = [
    element("span", { className: "state", data: { state: one.state }, title: one.reason ?? "" },
      element("span", { className: "dot", aria: { hidden: "true" } }), STATES[one.state]),
    one.served ? `${one.served.precision}, ${one.served.engine}` : "",
    large(one.parameters),
    large(one.macs),
    one.top1_percent === null ? "" : `${one.top1_percent.toFixed(1)} %`,
    one.licence,
  ];
  return element(
    "tr",
    { role: "row" },
    element("th", { role: "rowheader" }, one.name),
    ...cells.map((cell, place) => element("td", {
      role: "cell",
      className: NUMBERS.has(place + 1) ? "number" : "",
      data: { head: HEADS[place + 1] },
    }, cell)),
  );
}
