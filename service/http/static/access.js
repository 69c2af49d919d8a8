// The API key. Its field appears once the server has refused a request for want of one.

import { byId } from "./dom.js";

export const access = {
  get key() {
    return sessionStorage.getItem("key");
  },

  /** Shows the field, with the server's reason. */
  ask(status, body) {
    const form = byId("access");
    const refused = status === 403 || this.key !== null;
    form.querySelector("label").textContent = refused
      ? `The API key was refused${body?.detail ? `: ${body.detail}` : "."}`
      : "This server asks for an API key";
    form.hidden = false;
  },

  /** Calls back once there is a new key. */
  onKey(callback) {
    byId("access").addEventListener("submit", (event) => {
      event.preventDefault();
      // This session alone: closing the tab forgets it.
      sessionStorage.setItem("key", byId("key").value.trim());
      byId("key").value = "";
      byId("access").hidden = true;
      callback();
    });
  },
};
