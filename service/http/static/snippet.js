// The requests of this page as lines for a shell and for Python.

import { button, element } from "./dom.js";

// Of one request; the server's own limit is 32 images.
const MOST_FILES = 16;
const LINE = 72;

/** Two blocks of code. names: of the files on the page. path: of the request, with its query.
 * withKey: whether the server asks for a key, which the code reads from the environment. */
export function snippets(names, path, withKey) {
  const url = new URL(path, document.baseURI).href;
  const some = names.slice(0, MOST_FILES);
  const left = names.length > some.length
    ? element("p", {}, `The first ${some.length} of ${names.length} files are named.`)
    : "";
  return [
    left,
    block("curl", curl(some, url, withKey)),
    block("Python", python(some, url, withKey)),
    withKey ? element("p", {}, "RESNET_API_KEY is the variable with your key.") : "",
  ];
}

function curl(names, url, withKey) {
  const parts = names.map((name) => `  -F ${plain(name)
    ? `file=@${name}`
    : shell(`file=@"${name.replace(/["\\]/g, "\\$&")}"`)}`);
  const key = withKey ? ['  -H "Authorization: Bearer $RESNET_API_KEY"'] : [];
  return ["curl", ...key, ...parts, `  ${shell(url)}`].join(" \\\n").replace("curl \\\n  ", "curl ");
}

function python(names, url, withKey) {
  const headers = withKey ? ", headers=headers" : "";
  return [
    ...(withKey ? ["import os", ""] : []),
    "import requests  # pip install requests",
    "",
    ...(withKey
      ? ['headers = {"Authorization": f"Bearer {os.environ[\'RESNET_API_KEY\']}"}']
      : []),
    `url = ${JSON.stringify(url)}`,
    ...list("names", names),
    "for name in names:",
    '    with open(name, "rb") as file:',
    `        answer = requests.post(url, files={"file": file}${headers})`,
    "    answer.raise_for_status()",
    '    best = answer.json()["predictions"][0]',
    '    print(name, best["label"], best["probability"])',
  ].join("\n");
}

/** A list of Python: on one line where it is short. */
function list(variable, names) {
  const items = names.map((name) => JSON.stringify(name));
  const line = `${variable} = [${items.join(", ")}]`;
  if (line.length <= LINE) return [line];
  return [`${variable} = [`, ...items.map((item) => `    ${item},`), "]"];
}

/** Whether neither a shell nor curl reads anything into a name. */
const plain = (name) => /^[\w.-]+$/.test(name);

/** Quoted for a POSIX shell. */
const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function block(title, code) {
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(code);
      copy.textContent = "Copied";
    } catch {
      // Outside HTTPS the clipboard is closed: the code is selected for the user's own keys.
      getSelection().selectAllChildren(text);
      copy.textContent = "Selected";
    }
  }, { aria: { label: `Copy the ${title} lines` } });
  const text = element("pre", { tabIndex: 0, role: "region", aria: { label: `${title} lines` } },
    element("code", {}, code));
  return element("section", { className: "code" },
    element("div", { className: "title" }, element("h3", {}, title), copy), text);
}
