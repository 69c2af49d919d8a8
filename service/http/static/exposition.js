// Prometheus's text format, as far as a page needs it.

const LINE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** The samples of a text. Filters are functions of a sample's labels. */
export class Exposition {
  #samples = new Map();

  constructor(text) {
    for (const line of text.split("\n")) {
      const [, name, labels = "", value] = LINE.exec(line) ?? [];
      if (name === undefined) continue;
      const named = Object.fromEntries([...labels.matchAll(LABEL)].map(([, key, quoted]) =>
        [key, quoted.replace(/\\(.)/g, (_, one) => (one === "n" ? "\n" : one))]));
      if (!this.#samples.has(name)) this.#samples.set(name, []);
      this.#samples.get(name).push({ labels: named, value: number(value) });
    }
  }

  /** Those of one name: {labels, value} each. */
  of(name, filter = () => true) {
    return (this.#samples.get(name) ?? []).filter(({ labels }) => filter(labels));
  }

  /** Their sum; null where there is none. */
  sum(name, filter) {
    const found = this.of(name, filter);
    return found.length ? found.reduce((total, { value }) => total + value, 0) : null;
  }

  /** The mean of what a histogram has seen; null where that is nothing. */
  mean(name, filter) {
    const count = this.sum(`${name}_count`, filter);
    return count ? this.sum(`${name}_sum`, filter) / count : null;
  }

  /** Below which a share of a histogram's values lies, 0 to 1, as histogram_quantile has it; null
   * where it has seen nothing. The last bound where it lies above. */
  quantile(name, share, filter) {
    const totals = new Map();
    for (const { labels, value } of this.of(`${name}_bucket`, filter)) {
      const bound = number(labels.le);
      totals.set(bound, (totals.get(bound) ?? 0) + value);
    }
    const bounds = [...totals.keys()].sort((one, other) => one - other);
    const wanted = share * (totals.get(Infinity) ?? 0);
    if (!wanted) return null;
    const place = bounds.findIndex((bound) => totals.get(bound) >= wanted);
    const [low, below] = place ? [bounds[place - 1], totals.get(bounds[place - 1])] : [0, 0];
    const high = bounds[place];
    if (high === Infinity) return low;
    return low + (high - low) * (wanted - below) / (totals.get(high) - below);
  }
}

const number = (text) => (text === "+Inf" ? Infinity : Number(text));
