// Quantities as people read them.

/** 512 bytes, 71 kB, 14.2 MB: decimal, as file managers and the settings of proxies count. */
export function bytes(count) {
  if (count < 1000) return `${count} bytes`;
  if (count < 999_500) return `${Math.round(count / 1000)} kB`;
  return count < 99.95e6 ? `${(count / 1e6).toFixed(1)} MB` : `${Math.round(count / 1e6)} MB`;
}

/** One decimal. No class is certain or impossible: the server's numbers are rounded as well. */
export function percent(share) {
  if (share < 0.0005) return "<0.1 %";
  if (share >= 0.9995) return ">99.9 %";
  return `${(100 * share).toFixed(1)} %`;
}

export const pixels = ({ width, height }) => `${width} × ${height}`;

/** A decimal where it says something. */
export const rounded = (value) => (value < 9.95 ? value.toFixed(1) : String(Math.round(value)));

/** With a space that no line breaks at. */
export const milliseconds = (value) => `${rounded(value)}\u00a0ms`;

export function seconds(value) {
  return value < 90 ? `${Math.ceil(value)} s` : `${Math.round(value / 60)} minutes`;
}

/** 42 s, 5 min, 3 h 20 min, 2 d 4 h. */
export function duration(value) {
  const minutes = Math.floor(value / 60);
  const [hours, days] = [Math.floor(minutes / 60), Math.floor(minutes / 1440)];
  if (minutes < 1) return `${Math.max(0, Math.floor(value))} s`;
  if (hours < 1) return `${minutes} min`;
  return days < 1 ? `${hours} h ${minutes % 60} min` : `${days} d ${hours % 24} h`;
}

/** 25.6 million, 4.1 billion. */
export function large(count) {
  const [divisor, word] = count >= 1e9 ? [1e9, "billion"] : [1e6, "million"];
  return `${(count / divisor).toFixed(1)} ${word}`;
}

export const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** "payload of 20971520 bytes" with its numbers of bytes from 1000 on in kB or MB. */
export function readable(text) {
  return text.replace(/\b(\d{4,}) bytes\b/g, (_, count) => bytes(Number(count)));
}
