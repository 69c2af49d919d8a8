// How images come to the page: chosen, taken with a camera, dropped, pasted, or one of the examples.

import { byId } from "./dom.js";

const LINK_WORDS = "That was a link, not a file. This page fetches nothing from the web: save the "
  + "image first, then drop or choose the file.";
const TEXT_WORDS = "There is no image in that, only text.";
const FOLDER_WORDS = "That was a folder. Open it, and drop the images in it.";

let pasted = 0;

/** take(files): called with the images of one choice, in order. refuse(words): with what there was
 * instead of images. */
export function watchIntake(take, refuse) {
  for (const [opener, input] of [["choose", "files"], ["photograph", "camera"]]) {
    byId(opener).addEventListener("click", () => byId(input).click());
    byId(input).addEventListener("change", () => {
      const files = [...byId(input).files];
      // The same file may be chosen twice in a row.
      byId(input).value = "";
      if (files.length) take(files);
    });
  }
  document.addEventListener("paste", (event) => {
    if (event.target.closest?.("input")) return;
    const files = [...event.clipboardData.files].map(named);
    if (files.length) take(files);
    else refuse(isLink(event.clipboardData) ? LINK_WORDS : TEXT_WORDS);
  });
  watchDrops(take, refuse);
  for (const example of document.querySelectorAll("#examples button")) {
    example.addEventListener("click", () => takeExample(example.dataset.name, take, refuse));
  }
}

async function takeExample(name, take, refuse) {
  try {
    const answer = await fetch(new URL(`page/${name}`, document.baseURI));
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    take([new File([await answer.blob()], name, { type: "image/jpeg" })]);
  } catch {
    refuse("The server did not send that example. Try again, or choose an image of yours.");
  }
}

function watchDrops(take, refuse) {
  const over = (shown) => document.body.classList.toggle("over", shown);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    over(true);
  });
  document.addEventListener("dragleave", (event) => {
    // Between two elements of the page there is a related one.
    if (!event.relatedTarget) over(false);
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    const { files, items } = event.dataTransfer;
    const folder = [...items].some((item) => item.webkitGetAsEntry?.()?.isDirectory);
    if (folder) refuse(FOLDER_WORDS);
    else if (files.length) take([...files]);
    else refuse(isLink(event.dataTransfer) ? LINK_WORDS : TEXT_WORDS);
  });
}

/** Browsers call every pasted image "image.png". */
function named(file) {
  if (file.name !== "image.png") return file;
  return new File([file], `pasted ${(pasted += 1)}.png`, { type: file.type });
}

function isLink(data) {
  return data.types.includes("text/uri-list") || /^\s*https?:\/\/\S+\s*$/.test(data.getData("text"));
}
