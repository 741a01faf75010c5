// A worker of the page, driven by the tests without the page.

import { readFileSync } from "node:fs";
import { BASE } from "./browser.mjs";
import { codec, decode, encode } from "./postcard.mjs";

// The layout of the messages, as crates/noprop-protocol writes it.
const TYPES = JSON.parse(readFileSync(new URL("./protocol.json", import.meta.url)));
const REQUEST = codec({ TYPENAME: "Request" }, TYPES);
const RESPONSE = codec({ TYPENAME: "Response" }, TYPES);

export const WEIGHTS = "assets/mnist.safetensors";
const EMPTY = `${BASE}engine-test.html`;

// The first request to a worker.
export const start = (fields) => ({ Start: { weights_url: WEIGHTS, dataset: "mnist", reason: "a test asks for it", ...fields } });

export class Engine {
  // A worker in a page of its own.
  static async open(context, worker) {
    const page = await context.newPage();
    const engine = new Engine(page);
    page.on("console", (message) => message.type() === "error" && engine.complaints.push(message.text()));
    await page.route(EMPTY, (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html>" }));
    await page.goto(EMPTY);
    await page.evaluate((name) => {
      const inbox = [];
      let wake = () => {};
      const worker = new Worker(`worker.js?${name}`, { type: "module" });
      const put = (message) => {
        inbox.push(message);
        wake();
      };
      worker.onmessage = ({ data }) => {
        const reader = new FileReader();
        reader.onload = () => put({ base64: reader.result.split(",")[1] });
        reader.readAsDataURL(new Blob([data]));
      };
      worker.onerror = (event) => put({ failure: event.message ?? "the worker did not start" });
      window.engine = {
        send: (base64) => worker.postMessage(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer),
        receive: async (ms) => {
          const end = performance.now() + ms;
          while (inbox.length === 0) {
            const left = end - performance.now();
            if (left <= 0) return null;
            await new Promise((resolve) => {
              wake = resolve;
              setTimeout(resolve, left);
            });
          }
          return inbox.shift();
        },
      };
    }, worker);
    const first = await engine.receive();
    if (first.kind !== "Listening") throw new Error(`expected the worker to listen, found ${JSON.stringify(first)}`);
    return engine;
  }

  constructor(page) {
    this.page = page;
    this.complaints = [];
  }

  // Several requests are sent together, before the worker serves the first of them.
  async send(...requests) {
    const messages = requests.map((request) => Buffer.from(encode(REQUEST, request)).toString("base64"));
    await this.page.evaluate((all) => all.forEach(window.engine.send), messages);
  }

  // Waits for the next response, and returns its fields with its name as `kind`.
  async receive(ms = 120_000) {
    const message = await this.page.evaluate((limit) => window.engine.receive(limit), ms);
    if (message === null) throw new Error(`no answer within ${ms} ms; console: ${this.complaints.join(" | ")}`);
    if (message.failure) throw new Error(`the worker failed: ${message.failure}`);
    const response = decode(RESPONSE, Uint8Array.from(Buffer.from(message.base64, "base64")));
    const [kind, fields] = typeof response === "string" ? [response, {}] : Object.entries(response)[0];
    return { kind, ...fields };
  }

  // Waits for the next response, which must be of `kind`; reports about the weights are skipped.
  async answer(kind) {
    for (;;) {
      const found = await this.receive();
      if (found.kind === kind) return found;
      if (found.kind !== "Loading") throw new Error(`expected ${kind}, found ${JSON.stringify(found).slice(0, 300)}`);
    }
  }

  async ask(request, kind) {
    await this.send(request);
    return this.answer(kind);
  }

  // Starts the engine with a bundled model and its test images.
  async start(weightsSha256, dataset = "mnist") {
    return this.ask(start({ weights_sha256: weightsSha256, dataset, weights_url: `assets/${dataset}.safetensors` }), "Ready");
  }

  async close() {
    await this.page.close();
  }
}
