// Classifies photos by any of the three HTTP protocols, with retries. For browsers, and Node.js 18
// and later, where it is also a command:
//
//   node classify.mjs --protocol v2 --url http://127.0.0.1:8000 photos/*.jpg
//
// In a page of another origin, RESNET_CORS_ORIGINS must name that origin:
//
//   import { PROTOCOLS, headers } from "./classify.mjs";
//   headers.Authorization = `Bearer ${key}`;      // where the server requires a key
//   const { label, probability } = await PROTOCOLS.v2("https://resnet.example", "resnet50", file);

// Beyond it a request that is refused is given up.
const GIVE_UP_SECONDS = 120;
// For one attempt.
const TIMEOUT_SECONDS = 60;
// 429: over the rate limit. 503: no room, loading or shutting down. 502: a balancer without servers.
const TRY_AGAIN = [429, 502, 503];

// Sent with each request. As a command, it takes the API key from the variable API_KEY.
export const headers = {};

const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

// The body of the answer, after as many attempts as it takes.
async function post(url, body) {
  const ends = Date.now() + 1000 * GIVE_UP_SECONDS;
  for (;;) {
    let response, failure, wait = 1;
    try {
      const signal = AbortSignal.timeout(1000 * TIMEOUT_SECONDS);
      response = await fetch(url, { method: "POST", headers, body, signal });
      if (response.ok) return await response.json();
      wait = Number(response.headers.get("Retry-After") ?? 1);
    } catch (error) {
      // The server may be starting again. A page sees no other cause.
      failure = error;
    }
    // Never sooner than it says, and not all clients at the same time.
    wait *= 1 + Math.random() / 4;
    const final = response !== undefined && !TRY_AGAIN.includes(response.status);
    if (final || Date.now() + 1000 * wait > ends) {
      // The text says what is wrong: problem details, or {"error": ...} below /v1 and /v2.
      throw failure ?? new Error(`${response.status}: ${await response.text()}`);
    }
    await sleep(wait);
  }
}

async function base64(image) {
  const bytes = new Uint8Array(await image.arrayBuffer());
  let text = "";
  // In pieces: a call has a limited number of arguments.
  for (let start = 0; start < bytes.length; start += 32768)
    text += String.fromCharCode(...bytes.subarray(start, start + 32768));
  return btoa(text);
}

// The service's own API.
async function byPredict(url, _model, image) {
  const form = new FormData();
  form.append("file", image);
  const { predictions } = await post(`${url}/predict?top_k=1`, form);
  return { label: predictions[0].label, probability: predictions[0].probability };
}

// The Open Inference Protocol: Triton, KServe.
async function byV2(url, model, image) {
  const tensor = { name: "image", datatype: "BYTES", shape: [1], data: [await base64(image)] };
  const output = { name: "probabilities", parameters: { classification: 1 } };
  const body = JSON.stringify({ inputs: [tensor], outputs: [output] });
  const { outputs } = await post(`${url}/v2/models/${model}/infer`, body);
  const [probability, , ...label] = outputs[0].data[0].split(":");
  return { label: label.join(":"), probability: Number(probability) };
}

// TensorFlow Serving's REST API.
async function byV1(url, model, image) {
  const body = JSON.stringify({ examples: [{ image: { b64: await base64(image) } }] });
  const { results } = await post(`${url}/v1/models/${model}:classify`, body);
  const [label, probability] = results[0][0];
  return { label, probability };
}

// Each takes the server's address, the model's name, and a File or Blob.
export const PROTOCOLS = { predict: byPredict, v2: byV2, v1: byV1 };

async function main(given) {
  const { readFile } = await import("node:fs/promises");
  const { parseArgs } = await import("node:util");
  const { values, positionals } = parseArgs({
    args: given,
    allowPositionals: true,
    options: {
      url: { type: "string", default: "http://127.0.0.1:8000" },
      model: { type: "string", default: "resnet50.keras_in1k" },
      protocol: { type: "string", default: "predict" },
      connections: { type: "string", default: "8" },
    },
  });
  if (process.env.API_KEY) headers.Authorization = `Bearer ${process.env.API_KEY}`;
  const waiting = [...positionals];
  async function worker() {
    for (let photo = waiting.shift(); photo !== undefined; photo = waiting.shift()) {
      const image = new Blob([await readFile(photo)]);
      const best = await PROTOCOLS[values.protocol](values.url, values.model, image);
      console.log(`${photo}\t${best.label}\t${best.probability.toFixed(6)}`);
    }
  }
  await Promise.all(Array.from({ length: Number(values.connections) }, worker));
}

// Where it is a command, and not a module of a page or another program.
if (globalThis.process?.argv[1] && import.meta.url.endsWith("/" + process.argv[1].split("/").pop()))
  await main(process.argv.slice(2));
