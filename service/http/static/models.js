// The models of the server: a chooser where several are served, and a table of all.

import { request } from "./api.js";
import { byId, element } from "./dom.js";
import { large } from "./format.js";

const STATES = { ready: "served", unavailable: "not ready", available: "not served here" };

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

  /** The table, those that are served first. */
  table() {
    if (!this.#all.length) return element("p", {}, "The server has not named its models.");
    const order = (one) => Object.keys(STATES).indexOf(one.state);
    const rows = [...this.#all].sort((one, other) => order(one) - order(other)).map(row);
    const heads = ["Model", "State", "Precision", "Parameters", "Multiply-adds", "Top-1, published",
      "Licence"];
    return element(
      "div",
      { className: "table", tabIndex: 0, role: "region", aria: { label: "Table of models" } },
      element(
        "table",
        {},
        element("thead", {}, element("tr", {}, ...heads.map((head) =>
          element("th", { scope: "col" }, head)))),
        element("tbody", {}, ...rows),
      ),
    );
  }
}

function row(one) {
  const cells = [
    element("span", { className: "state", data: { state: one.state }, title: one.reason ?? "" },
      element("span", { className: "dot", aria: { hidden: "true" } }), STATES[one.state]),
    one.served ? `${one.served.precision}, ${one.served.engine}` : "",
    large(one.parameters),
    large(one.macs),
    one.top1_percent === null ? "" : `${one.top1_percent} %`,
    one.licence,
  ];
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, one.name),
    ...cells.map((cell) => element("td", {}, cell)),
  );
}
