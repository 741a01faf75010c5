// The bundled test images, `[c, h, w]`.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

const ASSETS = join(dirname(fileURLToPath(import.meta.url)), "../../assets");
const unpacked = (path) => gunzipSync(readFileSync(join(ASSETS, path)));
// An IDX file begins with a magic number and three dimensions, four bytes each.
const HEADER = 16;

export function testImage(index) {
  const start = HEADER + 784 * index;
  return [...unpacked("mnist-subset/t10k-images.idx.gz").subarray(start, start + 784)];
}

// An image of CIFAR-10 is a byte of label and three planes of 32 × 32 pixels.
export function cifarImage(index) {
  const start = 3073 * index;
  const [label, ...pixels] = unpacked("cifar10-subset/test_batch.bin.gz").subarray(start, start + 3073);
  return { label, pixels };
}
