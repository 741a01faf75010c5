// The bundled test images.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

const FILE = join(dirname(fileURLToPath(import.meta.url)), "../../assets/mnist-subset/t10k-images.idx.gz");
// IDX: magic number and three dimensions, four bytes each.
const HEADER = 16;

export function testImage(index) {
  const start = HEADER + 784 * index;
  return [...gunzipSync(readFileSync(FILE)).subarray(start, start + 784)];
}
