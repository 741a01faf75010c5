// The results of the command line on the same images.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32, deflateSync } from "node:zlib";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

// For each dataset of the page: its folder, the shape of its images, and the flags with which `noprop eval` reads the
// page's test images.
const DATASETS = {
  mnist: { weights: join(ROOT, "assets/mnist.safetensors"), shape: [1, 28, 28], source: ["--offline"] },
  cifar10: {
    weights: join(ROOT, "assets/cifar10.safetensors"),
    shape: [3, 32, 32],
    source: ["--dataset", "cifar10", "--data-root", join(ROOT, "assets/cifar10-subset"), "--allow-unverified"],
  },
};

export const weightsBytes = (dataset = "mnist") => readFileSync(DATASETS[dataset].weights);
export const weightsSha256 = (dataset = "mnist") => createHash("sha256").update(weightsBytes(dataset)).digest("hex");

// Class probabilities after each step, `[T + 1][m]`, by the page's weights or those in `bytes`.
export function walkProbabilities(pixels, { sampler, steps, seed, temperature = 1 }, dataset = "mnist", bytes = weightsBytes(dataset)) {
  const { shape } = DATASETS[dataset];
  return inFolder((folder) => {
    const image = join(folder, "picture.png");
    writeFileSync(image, png(pixels, shape));
    const weights = join(folder, "model.safetensors");
    writeFileSync(weights, bytes);
    const walk = ["--sampler", sampler, "--steps", steps, "--seed", seed, "--temperature", temperature].map(String);
    return noprop(folder, "predict", weights, image, "--json", "--walk", "--device", "cpu", ...walk).walk;
  });
}

// The accuracy in percent on the page's test images.
export function accuracy({ sampler, steps, seed, temperature }, dataset = "mnist") {
  const { weights, source } = DATASETS[dataset];
  // Without a temperature it is the one that the weights recommend.
  const start = temperature === undefined ? [] : ["--temperature", temperature];
  const walk = ["--samplers", sampler, "--steps", steps, "--seed", seed, ...start].map(String);
  return inFolder((folder) => {
    const found = noprop(folder, "eval", weights, ...source, "--json", "--device", "cpu", ...walk);
    return { images: found.images, ...found.rows[0] };
  });
}

// The recipes of small models that differ from the page's own.
const VARIANTS = {
  // The latents have another dimension than there are classes.
  learned: `
    [model]
    class_embedding = { kind = "learned", dim = 24 }`,
  flow: `
    [method]
    kind = "fm"
    [model]`,
  blocks: `
    [method]
    kind = "dt"
    steps = 3
    [model]`,
};

// Weights of one of these models, trained for a few steps.
export function variantWeights(variant) {
  return inFolder((folder) => {
    const recipe = VARIANTS[variant].replace("[model]", `
      [data]
      limit = 300
      validation = 0
      [train]
      epochs = 1
      batch_size = 50
      [model]
      embed_dim = 16
      time_dim = 16
      backbone = { kind = "resnet", depth = 10, stem = "strided", width = 4 }
      head = { hidden = [16, 16] }`);
    writeFileSync(join(folder, "small.toml"), recipe);
    const run = join(folder, "run");
    const args = ["train", "--recipe", join(folder, "small.toml"), "--out", run, "--offline", "--no-table", "--device", "cpu"];
    program(folder, args);
    return readFileSync(join(run, "model.safetensors"));
  });
}

// The home folder is empty, so that no complete MNIST in a cache replaces the embedded subset.
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

// A PNG file of an image `[c, h, w]`, grey or RGB; every row begins with its filter, none.
export function png(pixels, [channels, height, width]) {
  const at = (y, x, c) => pixels[(c * height + y) * width + x];
  const row = (y) => Array.from({ length: width * channels }, (_, i) => at(y, Math.floor(i / channels), i % channels));
  const rows = Array.from({ length: height }, (_, y) => [0, ...row(y)]);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.writeUInt8(8, 8);
  header.writeUInt8(channels === 3 ? 2 : 0, 9);
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
