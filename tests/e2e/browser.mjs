// Chromium in the two states that the page knows: with a WebGPU adapter, and without one.

import { chromium } from "playwright-core";

// Options for WebGPU in software. Its numbers are checked, not its speed: it takes seconds for a GPU's milliseconds.
export const SETUPS = {
  "no adapter": { args: [], worker: "worker-cpu", backend: "cpu", slow: false, patience: 30_000 },
  "software WebGPU": { args: ["--enable-unsafe-webgpu"], worker: "worker-gpu", backend: "webgpu", slow: true, patience: 120_000 },
};

// The address of the page; `cargo xtask test --only web` sets it.
export const BASE = process.env.NOPROP_URL ?? "http://localhost:8080/";

export async function launch(args) {
  const executablePath = process.env.NOPROP_BROWSER;
  if (!executablePath) throw new Error("set NOPROP_BROWSER to a Chromium, Chrome or Edge, as `cargo xtask test --only web` does");
  return chromium.launch({ executablePath, args: ["--headless=new", "--no-sandbox", ...args] });
}
