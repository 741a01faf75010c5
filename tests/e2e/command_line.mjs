// What the command line says about the same images.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32, deflateSync } from "node:zlib";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const WEIGHTS = join(ROOT, "assets/mnist.safetensors");

export const weightsBytes = () => readFileSync(WEIGHTS);
export const weightsSha256 = () => createHash("sha256").update(weightsBytes()).digest("hex");

// Class probabilities after each step, `[T + 1][m]`.
export function trajectory(pixels, { sampler, steps, seed }) {
  return inFolder((folder) => {
    const image = join(folder, "digit.png");
    writeFileSync(image, png(pixels));
    const walk = ["--sampler", sampler, "--steps", steps, "--seed", seed].map(String);
    return noprop(folder, "predict", WEIGHTS, image, "--json", "--trajectory", "--device", "cpu", ...walk).trajectory;
  });
}

// Accuracy in percent over the embedded test images, which are those of the page.
export function accuracy({ sampler, steps, seed }) {
  const walk = ["--samplers", sampler, "--steps", steps, "--seed", seed].map(String);
  return inFolder((folder) => {
    const found = noprop(folder, "eval", WEIGHTS, "--offline", "--json", "--device", "cpu", ...walk);
    return { images: found.images, ...found.rows[0] };
  });
}

// Weights of a small model whose latents have another dimension, trained for a few steps.
export function otherWeights() {
  return inFolder((folder) => {
    const recipe = `
      [model]
      embed_dim = 16
      time_dim = 16
      class_embedding = { kind = "learned", dim = 24 }
      backbone = { kind = "resnet", depth = 10, stem = "strided", width = 4 }
      head = { hidden = [16, 16] }
      [data]
      limit = 300
      validation = 0
      [train]
      epochs = 1
      batch_size = 50`;
    writeFileSync(join(folder, "other.toml"), recipe);
    const run = join(folder, "run");
    const args = ["train", "--recipe", join(folder, "other.toml"), "--out", run, "--offline", "--no-table", "--device", "cpu"];
    program(folder, args);
    return readFileSync(join(run, "model.safetensors"));
  });
}

// `home` is empty: no complete MNIST in somebody's cache takes the embedded subset's place.
function noprop(home, ...args) {
  return JSON.parse(program(home, args));
}

function program(home, args) {
  const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
  const path = process.env.NOPROP_BIN ?? join(target, "release", process.platform === "win32" ? "noprop.exe" : "noprop");
  if (!existsSync(path)) throw new Error(`${path} does not exist; run \`cargo build --release\`, or set NOPROP_BIN`);
  const env = { ...process.env, HOME: home, XDG_CACHE_HOME: home, XDG_DATA_HOME: home };
  return execFileSync(path, args, { encoding: "utf8", env, stdio: ["ignore", "pipe", "pipe"] });
}

function inFolder(act) {
  const folder = mkdtempSync(join(tmpdir(), "noprop-e2e-"));
  try {
    return act(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

// A grey image of 28 × 28 pixels; every row begins with its filter, none.
function png(pixels) {
  const rows = Array.from({ length: 28 }, (_, y) => [0, ...pixels.slice(28 * y, 28 * (y + 1))]);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(28, 0);
  header.writeUInt32BE(28, 4);
  header.writeUInt8(8, 8);
  const chunks = [["IHDR", header], ["IDAT", deflateSync(Buffer.from(rows.flat()))], ["IEND", Buffer.alloc(0)]];
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), ...chunks.map(([name, data]) => chunk(name, data))]);
}

function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name, "latin1"), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const check = Buffer.alloc(4);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}
