"use strict";
const byId = (id) => document.getElementById(id);
const drop = byId("drop"), choose = byId("choose"), answers = byId("answers"), status = byId("status");

function element(name, text, attributes = {}) {
  const made = Object.assign(document.createElement(name), attributes);
  if (text !== undefined) made.textContent = text;
  return made;
}

function show(file, result) {
  const article = element("article");
  const image = element("img", undefined, { alt: file.name, src: URL.createObjectURL(file) });
  image.onload = () => URL.revokeObjectURL(image.src);
  article.append(image);
  if (result.predictions) {
    const list = element("ol");
    for (const { label, wnid, probability } of result.predictions) {
      const item = element("li", undefined, { title: wnid ?? "" });
      item.append(element("span", label), element("span", `${(100 * probability).toFixed(1)} %`));
      item.append(element("meter", undefined, { value: probability }));
      list.append(item);
    }
    article.append(list);
  } else {
    article.append(element("p", `${file.name}: ${result.detail}`, { className: "error" }));
  }
  answers.prepend(article);
}

async function ask(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const response = await fetch(path, { ...options, headers });
  // The field appears only where keys are configured.
  if (response.status === 401) byId("access").hidden = false;
  return response.json();
}

async function predict(file) {
  const form = new FormData();
  form.append("file", file);
  try {
    const body = await ask("predict", { method: "POST", body: form });
    show(file, body);
    if (body.model) {
      const { decode, queue, inference } = body.timing_ms;
      status.textContent = `${body.model.name}, ${body.model.precision}: ` +
        `decoding ${decode} ms, queue ${queue} ms, inference ${inference} ms`;
    }
  } catch (error) {
    show(file, { detail: `The server did not answer: ${error.message}` });
  }
}

// A link is followed without the key.
async function showModels() {
  try {
    const body = await ask("models");
    if (body.models) answers.prepend(element("pre", JSON.stringify(body, null, 2)));
    status.textContent = body.models ? "" : body.detail;
  } catch (error) {
    status.textContent = `The server did not answer: ${error.message}`;
  }
}

async function predictAll(files) {
  for (const file of files) {
    status.textContent = `${file.name} …`;
    await predict(file);
  }
}

byId("access").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", byId("key").value);
});
byId("models").addEventListener("click", (event) => { event.preventDefault(); showModels(); });
choose.addEventListener("change", () => { predictAll([...choose.files]); choose.value = ""; });
document.addEventListener("paste", (event) => predictAll([...event.clipboardData.files]));
for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", type === "dragenter" || type === "dragover");
    if (type === "drop") predictAll([...event.dataTransfer.files]);
  });
}
