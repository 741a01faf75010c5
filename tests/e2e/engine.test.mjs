// The engine in a browser gives the same numbers as the command line.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, SETUPS } from "./browser.mjs";
import { accuracy, variantWeights, walkProbabilities, weightsBytes, weightsSha256 } from "./command_line.mjs";
import { Engine, start, WEIGHTS } from "./engine.mjs";
import { cifarImage } from "./images.mjs";

// The largest difference of class probabilities. Kernels that sum in another order differ by 1e-5; a wrong kernel or
// other noise by 0.1 and more.
const TOLERANCE = 1e-3;
const DDIM = { sampler: "ddim", steps: 10, seed: 0, temperature: 1 };
const WALKS = [
  DDIM,
  { sampler: "heun", steps: 10, seed: 3, temperature: 1 },
  { sampler: "ancestral", steps: 10, seed: 7, temperature: 1 },
];

const digit = (ready, i) => ready.images.slice(784 * i, 784 * (i + 1));
const rows = (flat, width) => Array.from({ length: flat.length / width }, (_, i) => flat.slice(width * i, width * (i + 1)));
const argmax = (row) => row.indexOf(Math.max(...row));

for (const [setup, { args, worker, backend, slow }] of Object.entries(SETUPS)) {
  describe(`engine, ${setup}`, { timeout: 600_000 }, () => {
    let browser, context, engine, ready;
    let lastId = 0;
    const walked = (pixels, walk, seeds = 1) => engine.ask({ Walk: { id: (lastId += 1), pixels, walk, seeds } }, "Walk");

    before(async () => {
      browser = await launch(args);
      context = await browser.newContext();
      engine = await Engine.open(context, worker);
      ready = await engine.start(weightsSha256());
    });
    after(() => browser?.close());

    test("describes the model", (t) => {
      assert.equal(ready.backend, backend);
      assert.equal(ready.reason, "a test asks for it");
      assert.equal(ready.weights_from, "network");
      assert.deepEqual(ready.shape, [1, 28, 28]);
      assert.equal(ready.images.length, 1000 * 784);
      assert.equal(ready.labels.length, 1000);
      assert.equal(ready.embeddings.length, ready.classes.length * ready.latent_dim);
      assert.equal(ready.log_snr.length, 101);
      t.diagnostic(`${setup}: ready after ${(ready.load_ms + ready.warm_up_ms).toFixed(0)} ms, self-test ${ready.warm_up_ms.toFixed(0)} ms of it`);
    });

    test("was compared with the CPU where it is none", (t) => {
      if (backend === "cpu") return assert.equal(ready.self_test, null);
      t.diagnostic(`self-test: probabilities differ by at most ${ready.self_test.max_difference.toExponential(1)}`);
      assert.ok(ready.self_test.passed && ready.self_test.max_difference <= TOLERANCE);
      assert.equal(ready.self_test.images, 16);
      assert.equal(ready.self_test.agreeing, 16);
    });

    test("a walk has the command line's probabilities after each step", async (t) => {
      const classes = ready.classes.length;
      let furthest = 0;
      for (const walk of WALKS) {
        for (const i of slow ? [500] : [0, 1, 500]) {
          const pixels = digit(ready, i);
          const found = await walked(pixels, walk);
          const expected = walkProbabilities(pixels, walk);
          assert.equal(found.latents.length, (walk.steps + 1) * ready.latent_dim);
          const steps = rows(found.probabilities, classes);
          assert.equal(steps.length, expected.length);
          steps.forEach((row, k) => {
            assert.ok(Math.abs(row.reduce((a, b) => a + b) - 1) < 1e-4, `image ${i}, step ${k}: the sum is not 1`);
            row.forEach((p, c) => {
              furthest = Math.max(furthest, Math.abs(p - expected[k][c]));
            });
          });
          assert.equal(found.predictions[0], argmax(steps.at(-1)));
        }
      }
      t.diagnostic(`${setup}: largest difference from the command line ${furthest.toExponential(1)}`);
      assert.ok(furthest <= TOLERANCE, `${furthest}`);
    });

    test("the same request has the same answer", async () => {
      const numbers = ({ id, features_ms, walk_ms, ...rest }) => rest;
      const [first, between, again] = [
        await walked(digit(ready, 2), DDIM, 8),
        await walked(digit(ready, 3), DDIM, 8),
        await walked(digit(ready, 2), DDIM, 8),
      ];
      assert.deepEqual(numbers(again), numbers(first));
      assert.notDeepEqual(numbers(between), numbers(first));
    });

    test("temperature scales the start, and no more seeds change the main walk", async () => {
      const [one, half, many] = [
        await walked(digit(ready, 4), DDIM),
        await walked(digit(ready, 4), { ...DDIM, temperature: 0.5 }),
        await walked(digit(ready, 4), DDIM, 64),
      ];
      const start = (found) => found.latents.slice(0, ready.latent_dim);
      start(half).forEach((z, i) => assert.equal(z, Math.fround(start(one)[i] / 2)));
      assert.deepEqual(start(many), start(one));
      assert.equal(many.predictions.length, 64);
    });

    test("T = 40 with 64 seeds is timed", async (t) => {
      const walk = { ...DDIM, steps: 40 };
      await walked(digit(ready, 5), walk, 64);
      const times = [];
      for (let i = 0; i < (slow ? 1 : 5); i += 1) times.push((await walked(digit(ready, 6 + i), walk, 64)).walk_ms);
      times.sort((a, b) => a - b);
      t.diagnostic(`${setup}: T = 40, 64 seeds: median ${times[times.length >> 1].toFixed(0)} ms (${times.map((x) => x.toFixed(0)).join(", ")})`);
    });

    test("the field points to the class that the denoiser believes", async () => {
      const d = ready.latent_dim;
      const origin = Array(d).fill(0);
      const ask = (first, points) => {
        // The embeddings are one-hot: the first axis leads to class `first`, the second to the next class.
        const axes = Array.from({ length: 2 * d }, (_, k) => Number(k === 2 * first || k === 2 * ((first + 1) % d) + 1));
        return engine.ask({ Field: { id: 9, pixels: digit(ready, 0), t: 0.5, axes, origin, points } }, "Field");
      };
      const [believed] = (await ask(0, [0, 0])).belief;
      const points = [0, 0, 1, 0, 0, 1, -1, -1];
      const found = await ask(believed, points);
      assert.equal(found.id, 9);
      assert.equal(found.velocity.length, points.length);
      assert.ok(found.velocity.every(Number.isFinite));
      assert.ok(found.belief.length === 4 && found.belief.every((c) => c < ready.classes.length));
      // At z = 0 the velocity is ½√ᾱ û, and û lies at the class with the largest probability.
      const [along, across] = found.velocity;
      assert.ok(along > 0.1 && along > 10 * Math.abs(across), `${along}, ${across}`);
    });

    test("accuracy is the command line's", async (t) => {
      const id = (lastId += 1);
      await engine.send({ Accuracy: { id, walk: DDIM } });
      let found;
      do found = await engine.answer("Accuracy"); while (!found.finished);
      const expected = accuracy(DDIM);
      t.diagnostic(`${setup}: ${found.correct} of ${found.total} in ${found.ms.toFixed(0)} ms; command line ${expected.accuracy} %`);
      assert.equal(found.total, expected.images);
      assert.equal(found.done, found.total);
      // One image may lie on the boundary between two classes.
      const slack = backend === "cpu" ? 0.05 : 0.15;
      assert.ok(Math.abs((100 * found.correct) / found.total - expected.accuracy) < slack, `${found.correct}`);
      assert.ok(found.interval.every((edge, i) => Math.abs(edge - expected.interval[i]) < 2 * slack));
      const confusion = rows(found.confusion, ready.classes.length);
      assert.equal(confusion.flat().reduce((a, b) => a + b), found.total);
      assert.equal(confusion.reduce((sum, row, i) => sum + row[i], 0), found.correct);
    });

    test("other requests are served during an evaluation, and it can be cancelled", async () => {
      const id = (lastId += 1);
      await engine.send({ Accuracy: { id, walk: { ...DDIM, steps: slow ? 10 : 200 } } });
      assert.equal((await engine.answer("Accuracy")).finished, false);
      await engine.send({ Walk: { id: 77, pixels: digit(ready, 0), walk: DDIM, seeds: 1 } });
      await engine.send("Cancel");
      const seen = [];
      while (!seen.some((found) => found.kind === "Walk")) seen.push(await engine.receive());
      assert.equal(seen.at(-1).id, 77);
      // After a cancellation, work that was under way may still report, but never the end.
      await engine.send({ Walk: { id: 78, pixels: digit(ready, 0), walk: DDIM, seeds: 1 } });
      do seen.push(await engine.receive()); while (seen.at(-1).id !== 78);
      assert.ok(seen.every((found) => found.kind !== "Accuracy" || !found.finished));
    });

    test("of walks that wait only the newest is computed", async () => {
      const count = 20;
      const requests = Array.from({ length: count }, (_, i) => (
        // The walks are long: all requests are posted while the first is computed.
        { Walk: { id: 1001 + i, pixels: digit(ready, 7), walk: { ...DDIM, steps: 200, seed: i }, seeds: 64 } }
      ));
      await engine.send(...requests);
      const seen = [];
      while (seen.at(-1) !== 1000 + count) seen.push((await engine.answer("Walk")).id);
      assert.ok(seen.length <= 4, `answered: ${seen}`);
    });

    if (backend === "cpu") failures();

    // A failure on WebGPU makes the page switch to the CPU, so these tests need the CPU.
    function failures() {
      const failing = async (request) => {
        await engine.send(request);
        const { message, fatal } = await engine.answer("Error");
        assert.match(message, /\w+ \w+/);
        assert.equal(fatal, false, message);
        return message;
      };

      test("what cannot be computed is refused with a sentence, and the engine goes on", async () => {
        const before = await walked(digit(ready, 1), DDIM);
        assert.match(await failing({ Walk: { id: 1, pixels: [1, 2, 3], walk: DDIM, seeds: 1 } }), /784/);
        const field = { Field: { id: 2, pixels: digit(ready, 0), t: 0.5, axes: [1], origin: [0], points: [0, 0] } };
        assert.match(await failing(field), /axes/);
        await failing({ Load: { bytes: [...weightsBytes().subarray(0, 20_000)], name: "half.safetensors" } });
        await failing({ Load: { bytes: [], name: "empty.safetensors" } });
        const again = await walked(digit(ready, 1), DDIM);
        assert.deepEqual(again.latents, before.latents);
      });

      test("weights for other images are refused with a sentence", async () => {
        const load = { Load: { bytes: [...weightsBytes("cifar10")], name: "photos.safetensors" } };
        assert.match(await failing(load), /MNIST has grey images of 28×28.*RGB images of 32×32.*CIFAR-10/);
      });

      test("a user's own weights replace the model", async () => {
        const loaded = await engine.ask({ Load: { bytes: [...weightsBytes()], name: "mine.safetensors" } }, "Ready");
        assert.equal(loaded.weights_from, "mine.safetensors");
        assert.equal(loaded.images.length, 0);
      });

      test("flow matching and NoProp-DT are walked as on the command line", async () => {
        const pixels = digit(ready, 3);
        for (const [variant, samplers, fixed, refused] of [
          ["flow", ["euler", "heun"], null, { sampler: "ancestral", steps: 5 }],
          ["blocks", ["ddim", "ancestral"], 3, { sampler: "ddim", steps: 5 }],
        ]) {
          const bytes = variantWeights(variant);
          const loaded = await engine.ask({ Load: { bytes: [...bytes], name: `${variant}.safetensors` } }, "Ready");
          for (const sampler of samplers) {
            assert.ok(loaded.samplers.includes(sampler), `${sampler} of ${loaded.samplers}`);
          }
          assert.ok(!loaded.samplers.includes(refused.sampler) || refused.steps !== fixed);
          assert.equal(loaded.steps, fixed);
          assert.equal(loaded.is_flow, variant === "flow");
          const walk = { ...DDIM, sampler: samplers.at(-1), steps: fixed ?? 5 };
          const found = await walked(pixels, walk);
          const expected = walkProbabilities(pixels, walk, "mnist", bytes).flat();
          assert.equal(found.probabilities.length, expected.length);
          const furthest = Math.max(...expected.map((p, i) => Math.abs(p - found.probabilities[i])));
          assert.ok(furthest <= TOLERANCE, `${variant}: ${furthest}`);
          for (const belief of rows(found.beliefs, ready.classes.length)) {
            assert.ok(Math.abs(belief.reduce((a, b) => a + b) - 1) < 1e-4, `${variant}: ${belief}`);
          }
          const axes = Array.from({ length: 20 }, (_, k) => Number(k === 0 || k === 3));
          const field = { Field: { id: 5, pixels, t: 1, axes, origin: Array(10).fill(0), points: [0, 0, 1, 0] } };
          const { velocity } = await engine.ask(field, "Field");
          assert.ok(velocity.length === 4 && velocity.every(Number.isFinite), `${velocity}`);
          await failing({ Walk: { id: 6, pixels, walk: { ...DDIM, ...refused }, seeds: 1 } });
        }
        await engine.ask({ Load: { bytes: [...weightsBytes()], name: "mine.safetensors" } }, "Ready");
      });

      test("weights are kept, and verified when they are taken out again", async () => {
        const second = await Engine.open(context, worker);
        assert.equal((await second.start(weightsSha256())).weights_from, "cache");
        await second.close();
        const kept = await engine.page.evaluate(async (path) => {
          let count = 0;
          for (const name of await caches.keys()) {
            const cache = await caches.open(name);
            for (const request of await cache.keys()) {
              if (!request.url.endsWith(path)) continue;
              await cache.put(request, new Response("damaged"));
              count += 1;
            }
          }
          return count;
        }, WEIGHTS);
        assert.equal(kept, 1);
        const third = await Engine.open(context, worker);
        assert.equal((await third.start(weightsSha256())).weights_from, "network");
        await third.close();
      });

      test("weights that are damaged or missing are never used", async () => {
        for (const [url, sha256, expected] of [
          [WEIGHTS, "0".repeat(64), /damaged|sha256/],
          ["assets/README.md", weightsSha256(), /damaged|sha256/],
          ["assets/none.safetensors", weightsSha256(), /none\.safetensors/],
        ]) {
          const other = await Engine.open(context, worker);
          await other.send(start({ weights_url: url, weights_sha256: sha256 }));
          const { message, fatal } = await other.answer("Error");
          assert.match(message, expected);
          assert.equal(fatal, true, "without a model nothing works");
          await other.send({ Walk: { id: 1, pixels: digit(ready, 0), walk: DDIM, seeds: 1 } });
          assert.match((await other.answer("Error")).message, /not loaded/);
          await other.close();
        }
      });
    }
  });
}

for (const [setup, { args, worker, backend, slow }] of Object.entries(SETUPS)) {
  describe(`engine on CIFAR-10, ${setup}`, { timeout: 600_000 }, () => {
    let browser, engine, ready;
    before(async () => {
      browser = await launch(args);
      engine = await Engine.open(await browser.newContext(), worker);
      ready = await engine.start(weightsSha256("cifar10"), "cifar10");
    });
    after(() => browser?.close());

    test("has RGB images in the official order", () => {
      assert.deepEqual(ready.shape, [3, 32, 32]);
      assert.equal(ready.labels.length, 500);
      assert.equal(ready.images.length, 500 * 3072);
      for (const i of [0, 499]) {
        const { label, pixels } = cifarImage(i);
        assert.equal(ready.labels[i], label);
        assert.deepEqual([...ready.images.slice(3072 * i, 3072 * (i + 1))], pixels);
      }
      // The first three test images of CIFAR-10 are a cat and two ships.
      assert.deepEqual([0, 1, 2].map((i) => ready.classes[ready.labels[i]]), ["cat", "ship", "ship"]);
      if (backend === "webgpu") assert.ok(ready.self_test.passed && ready.self_test.max_difference <= TOLERANCE);
    });

    test("a walk has the command line's probabilities after each step", async (t) => {
      const { pixels } = cifarImage(3);
      const found = await engine.ask({ Walk: { id: 1, pixels, walk: DDIM, seeds: 1 } }, "Walk");
      const expected = walkProbabilities(pixels, DDIM, "cifar10").flat();
      assert.equal(found.probabilities.length, expected.length);
      const furthest = Math.max(...expected.map((p, k) => Math.abs(p - found.probabilities[k])));
      t.diagnostic(`${setup}: largest difference from the command line ${furthest.toExponential(1)}`);
      assert.ok(furthest <= TOLERANCE, `${furthest}`);
    });

    // In software this takes minutes, and the walk above has used the same code.
    if (!slow) {
      test("accuracy is the command line's", async (t) => {
        await engine.send({ Accuracy: { id: 2, walk: DDIM } });
        let found;
        do found = await engine.answer("Accuracy"); while (!found.finished);
        const expected = accuracy(DDIM, "cifar10");
        t.diagnostic(`${setup}: ${found.correct} of ${found.total} in ${found.ms.toFixed(0)} ms; command line ${expected.accuracy} %`);
        assert.equal(found.total, expected.images);
        assert.ok(Math.abs((100 * found.correct) / found.total - expected.accuracy) < 0.05, `${found.correct}`);
      });
    }
  });
}

test("without an adapter the WebGPU engine says so", async () => {
  const browser = await launch([]);
  try {
    const engine = await Engine.open(await browser.newContext(), "worker-gpu");
    await engine.send(start({ weights_sha256: weightsSha256() }));
    const { message, fatal } = await engine.answer("Error");
    assert.match(message, /WebGPU/);
    assert.equal(fatal, true);
  } finally {
    await browser.close();
  }
});
