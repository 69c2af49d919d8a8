// Smaller copies of huge images: offered, never made unasked.

import { bytes, counted, pixels } from "./format.js";

/** From so many bytes on the page asks before it sends. */
export const HUGE_BYTES = 10e6;
// The longer edge of a copy: many times what a model looks at.
const COPY_EDGE = 2048;
const QUALITY = 0.9;

/** What a copy of an image would measure. */
export function copyPixels({ width, height }) {
  const scale = Math.min(1, COPY_EDGE / Math.max(width, height));
  return { width: Math.round(scale * width), height: Math.round(scale * height) };
}

/** The copy, a JPEG file with `pixels`, {width, height}; null where the browser can't make it.
 * image: an element that shows the file, turned as its Exif says. */
export async function smallerCopy(file, image) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const size = copyPixels({ width, height });
  const canvas = Object.assign(document.createElement("canvas"), size);
  const context = canvas.getContext("2d", { alpha: false });
  if (!width || !context) return null;
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, size.width, size.height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
  return blob && Object.assign(new File([blob], file.name, { type: blob.type }), { pixels: size });
}

/** The question. images: of each {name, bytes, size}. inputSize: the edge of what the model sees,
 * or null. */
export function offerWords(images, inputSize) {
  const sees = inputSize ? ` The model looks at ${inputSize} × ${inputSize} pixels.` : "";
  if (images.length === 1) {
    const [{ name, bytes: count, size }] = images;
    return `${name} has ${bytes(count)} and ${pixels(size)} pixels.${sees} `
      + `A copy of ${pixels(copyPixels(size))} pixels is much smaller to send.`;
  }
  const total = images.reduce((sum, one) => sum + one.bytes, 0);
  return `${counted(images.length, "image")} have more than ${bytes(HUGE_BYTES)} each, `
    + `${bytes(total)} together.${sees} Copies of at most ${COPY_EDGE} pixels a side are much `
    + "smaller to send.";
}
