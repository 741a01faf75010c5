// web/src/protocol.rs, field by field in its order.

import { bool, decode, encode, f32, f64, list, names, option, string, struct, tuple, u8, uint, variants } from "./postcard.mjs";

const backend = names("cpu", "webgpu");
const bundled = names("mnist", "cifar10");
const sampler = names("ddim", "euler", "heun", "ancestral", "reference-euler", "reference-heun");
const walk = struct({ sampler, steps: uint, seed: uint, temperature: f32 });
const pixels = list(u8);
const floats = list(f32);

const request = variants({
  start: struct({ weightsUrl: string, weightsSha256: string, images: option(bundled), reason: string }),
  load: struct({ bytes: list(u8), name: string }),
  trace: struct({ id: uint, pixels, walk, seeds: uint }),
  field: struct({ id: uint, pixels, t: f32, axes: floats, origin: floats, points: floats }),
  accuracy: struct({ id: uint, walk }),
  cancel: struct({}),
  check: struct({ pixels, walks: list(walk) }),
});

const selfTest = struct({ images: uint, maxDifference: f32, agreeing: uint, passed: bool });

const response = variants({
  listening: struct({}),
  loading: struct({ received: uint, total: option(uint) }),
  ready: struct({
    backend, reason: string, classes: list(string), shape: tuple(uint, uint, uint), latentDim: uint, embeddings: floats, oneHot: bool,
    parameters: uint, weightsFrom: string, bundled: bool, logSnr: floats, isFlow: bool, samplers: list(sampler), steps: option(uint), selfTest: option(selfTest),
    images: pixels, labels: list(u8), loadMs: f64, warmUpMs: f64,
  }),
  trace: struct({
    id: uint, latents: floats, probabilities: floats, beliefs: floats, predictions: list(uint),
    times: floats, alphaBar: floats, logSnr: floats, featuresMs: f64, walkMs: f64,
  }),
  field: struct({ id: uint, velocity: floats, belief: list(uint) }),
  accuracy: struct({
    id: uint, done: uint, total: uint, correct: uint, interval: tuple(f64, f64), confusion: list(uint),
    ms: f64, finished: bool,
  }),
  check: struct({
    backend, features: floats, walks: list(struct({ latents: floats, logits: floats })), ms: f64,
  }),
  error: struct({ message: string, fatal: bool }),
});

export const encodeRequest = (value) => encode(request, value);
export const decodeResponse = (bytes) => decode(response, bytes);
