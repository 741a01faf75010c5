// The page, used as a person uses it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { BASE, launch, SETUPS } from "./browser.mjs";
import { accuracy, png, variantWeights, walkProbabilities, weightsBytes } from "./command_line.mjs";
import { cifarImage, testImage } from "./images.mjs";
import { difference } from "./pictures.mjs";

for (const [setup, { args, backend, patience }] of Object.entries(SETUPS)) {
  describe(`page, ${setup}`, { timeout: 600_000 }, () => {
    let browser, page;
    let errors = [];
    const requested = [];

    // The tests prefer less motion, so the page shows the end of a walk at once.
    const open = async (hash, { viewport = { width: 1280, height: 900 }, prepare = async () => {} } = {}) => {
      await page?.context().close();
      errors = [];
      requested.length = 0;
      const context = await browser.newContext({ viewport, reducedMotion: "reduce" });
      page = await context.newPage();
      page.setDefaultTimeout(patience);
      page.on("pageerror", (error) => errors.push(String(error)));
      page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
      context.on("request", (request) => requested.push(request.url()));
      await prepare(context);
      await page.goto(`${BASE}#${hash}&backend=${backend}`);
    };
    const text = (id) => page.locator(`#${id}`).innerText();
    const until = (id, pattern) => page.waitForFunction(
      ([id, source]) => new RegExp(source).test(document.getElementById(id).innerText),
      [id, pattern.source],
      { timeout: patience },
    );
    const settled = async () => {
      await until("label", /^\d$/);
      await until("verdict", /% sure/);
    };

    before(async () => {
      browser = await launch(args);
    });
    after(() => browser?.close());

    test("shows what the command line says", async () => {
      const walk = { sampler: "heun", steps: 5, seed: 3 };
      const index = 500;
      await open(`image=${index}&sampler=heun&steps=5&seed=3`);
      await settled();
      const last = walkProbabilities(testImage(index), walk).at(-1);
      const best = last.indexOf(Math.max(...last));
      assert.equal(await text("label"), String(best));
      const bars = await page.locator("#bars li .value").allInnerTexts();
      bars.forEach((shown, c) => {
        const percent = Number(shown.match(/[\d.]+/)[0]);
        assert.ok(Math.abs(percent - 100 * last[c]) <= 0.1, `class ${c}: ${shown}, command line ${100 * last[c]}`);
      });
      assert.match(await text("backend"), backend === "cpu" ? /^CPU/ : /^WebGPU ✓/);
      assert.match(await text("backend-why"), backend === "cpu" ? /^CPU: you chose/ : /^WebGPU: .*16 of 16 predictions agree/);
      assert.deepEqual(errors, []);
    });

    test("fetches the WebGPU engine only where it is used", () => {
      const fetched = requested.some((url) => url.endsWith("worker-gpu_bg.wasm"));
      assert.equal(fetched, backend === "webgpu", requested.join("\n"));
    });

    test("one step back is one step back", async () => {
      await page.locator("body").press("ArrowLeft");
      await until("step", /step 4 of 5/);
      await page.locator("#back").click();
      await until("step", /step 3 of 5/);
      await page.locator("body").press("ArrowRight");
      await until("step", /step 4 of 5/);
    });

    test("the address keeps the state", async () => {
      await page.locator("#seed").fill("11");
      await page.locator("#seed").press("Enter");
      await page.waitForFunction(() => location.hash.includes("seed=11"));
      await page.reload();
      await settled();
      assert.equal(await page.locator("#seed").inputValue(), "11");
      assert.equal(await page.locator("#sampler").inputValue(), "heun");
      assert.equal(await page.locator("#steps").inputValue(), "5");
      assert.deepEqual(errors, []);
    });

    test("a walk from the mean has no noise", async () => {
      const start = page.locator("#temperature");
      assert.ok(!(await start.isVisible()));
      await page.locator("details.advanced summary").click();
      await start.fill("0");
      await page.waitForFunction(() => location.hash.includes("temperature=0"));
      const walk = { sampler: "heun", steps: 5, seed: 11, temperature: 0 };
      const last = walkProbabilities(testImage(500), walk).at(-1);
      await until("temperature-value", /^0.00$/);
      await page.waitForFunction((expected) => {
        const bars = [...document.querySelectorAll("#bars li .value")];
        const shown = bars.map((bar) => Number(bar.innerText.match(/[\d.]+/)[0]));
        return shown.length === expected.length && shown.every((percent, c) => Math.abs(percent - expected[c]) <= 0.1);
      }, last.map((p) => 100 * p));
      await start.fill("1");
      await page.waitForFunction(() => location.hash.includes("temperature=1"));
      assert.deepEqual(errors, []);
    });

    test("a drawing is classified, and a cleared one is not", async () => {
      await page.locator("#draw-open").click();
      const pad = await page.locator("#pad").boundingBox();
      await page.mouse.move(pad.x + 0.5 * pad.width, pad.y + 0.2 * pad.height);
      await page.mouse.down();
      await page.mouse.move(pad.x + 0.48 * pad.width, pad.y + 0.8 * pad.height, { steps: 8 });
      await page.mouse.up();
      await page.waitForFunction(() => location.hash.includes("drawing="));
      // The right label of a drawing is not known, so the page names none.
      await until("verdict", /% at step 5/);
      assert.equal(await text("label"), "1");
      await page.locator("#clear").click();
      await until("label", /^\D$/);
      await page.locator("#draw-done").click();
      assert.deepEqual(errors, []);
    });

    test("CIFAR-10 is another choice: its pictures, its classes, its weights", async () => {
      await open("image=0");
      await settled();
      assert.equal(requested.some((url) => url.includes("cifar10")), false, "fetched before it was chosen");
      await page.locator("#dataset").focus();
      await page.keyboard.press("ArrowDown");
      await until("label", /^[a-z]+$/);
      await until("verdict", /% sure/);
      const { pixels } = cifarImage(0);
      const last = walkProbabilities(pixels, { sampler: "ddim", steps: 20, seed: 0 }, "cifar10").at(-1);
      const bars = await page.locator("#bars li").allInnerTexts();
      assert.equal(bars.length, 10);
      bars.forEach((shown, c) => {
        const percent = Number(shown.match(/([\d.]+) %/)[1]);
        assert.ok(Math.abs(percent - 100 * last[c]) <= 0.1, `${shown}, command line ${100 * last[c]}`);
      });
      assert.match(bars[0], /^airplane/);
      const strip = await page.locator("#digits button").evaluateAll((all) => all.map((button) => button.title));
      assert.ok(strip.length >= 30 && strip[0].startsWith("an airplane, test image "), strip[0]);
      // The page shows the pixels of the file, in colour and in both themes.
      const shown = await page.evaluate(() => {
        const canvas = document.getElementById("picture");
        return [canvas.width, canvas.height, ...canvas.getContext("2d").getImageData(0, 0, 32, 32).data.slice(0, 3)];
      });
      assert.deepEqual(shown, [32, 32, pixels[0], pixels[1024], pixels[2048]]);
      assert.equal(await page.locator("#draw-open").isVisible(), false);
      assert.equal(await page.locator("#banner").isVisible(), false);
      assert.deepEqual(errors, []);
    });

    test("a link leads to CIFAR-10, and back to MNIST", async () => {
      assert.ok((await page.evaluate(() => location.hash)).includes("dataset=cifar10"));
      await page.reload();
      await until("label", /^[a-z]+$/);
      await until("verdict", /% sure/);
      assert.equal(await page.locator("#dataset").inputValue(), "cifar10");
      await page.evaluate((chosen) => { location.hash = `image=3&backend=${chosen}`; }, backend);
      await settled();
      assert.equal(await page.locator("#dataset").inputValue(), "mnist");
      assert.equal(await page.locator("#draw-open").isVisible(), true);
      assert.deepEqual(errors, []);
    });

    if (backend === "cpu") {
      test("a picture of one's own is classified, and a link carries it", async () => {
        await open("dataset=cifar10&image=1&sampler=ddim&steps=10&seed=0");
        await until("verdict", /% sure/);
        const { pixels } = cifarImage(7);
        const file = { name: "frog.png", mimeType: "image/png", buffer: png(pixels, [3, 32, 32]) };
        await page.locator("#own-file").setInputFiles(file);
        await page.waitForFunction(() => location.hash.includes("picture="));
        const expected = walkProbabilities(pixels, { sampler: "ddim", steps: 10, seed: 0 }, "cifar10").at(-1);
        const best = expected.indexOf(Math.max(...expected));
        const percent = (100 * expected[best]).toFixed(1);
        // The right label is not known, so the page names none.
        await until("verdict", new RegExp(`^${percent.replace(".", "\\.")} % at step 10$`));
        await page.reload();
        await until("verdict", /% at step 10$/);
        assert.match(await text("verdict"), new RegExp(`^${percent}`));
        await page.locator("#own-file").setInputFiles({ name: "notes.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
        await page.locator("#banner").waitFor({ state: "visible" });
        assert.match(await text("banner"), /notes\.png cannot be read/);
        assert.deepEqual(errors, []);
      });

      test("accuracy on CIFAR-10 is the command line's", async () => {
        await open("dataset=cifar10&image=0&sampler=ddim&steps=10&seed=0");
        await until("verdict", /% sure/);
        assert.equal(await text("evaluate"), "Classify 500 test images");
        await page.locator("#evaluate").click();
        await page.locator("#confusion table").waitFor();
        const expected = accuracy({ sampler: "ddim", steps: 10, seed: 0 }, "cifar10");
        const shown = await text("accuracy");
        assert.ok(shown.includes(`${expected.accuracy.toFixed(1)} % of ${expected.images} `), shown);
        assert.ok(shown.includes(`the command line gave ${expected.accuracy.toFixed(1)} %`), shown);
        assert.match(await page.locator("#confusion thead").innerText(), /airplane.*truck/s);
        assert.deepEqual(errors, []);
      });

      test("weights for other pictures are a sentence, and the model stays", async () => {
        await open("image=0");
        await settled();
        await page.evaluate((base64) => {
          const data = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([data], "photos.safetensors"));
          document.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }, weightsBytes("cifar10").toString("base64"));
        await page.locator("#banner").waitFor({ state: "visible" });
        assert.match(await text("banner"), /MNIST has grey images of 28×28.*choose CIFAR-10/);
        await page.locator("#reroll").click();
        await settled();
      });

      test("accuracy is the command line's", async () => {
        await open("image=0&sampler=ddim&steps=10&seed=0");
        await settled();
        await page.locator("#evaluate").click();
        await page.locator("#confusion table").waitFor();
        const expected = accuracy({ sampler: "ddim", steps: 10, seed: 0 });
        const shown = await text("accuracy");
        assert.ok(shown.includes(`${expected.accuracy.toFixed(1)} % of ${expected.images} `), shown);
        const recorded = `the command line gave ${expected.accuracy.toFixed(1)} %`;
        assert.ok(shown.includes(recorded), `${shown} lacks “${recorded}”`);
        assert.equal(await page.locator("#confusion tbody tr").count(), 10);
        assert.deepEqual(errors, []);
      });

      test("a model with latents of another dimension takes the place of the first, in the middle of a walk", async () => {
        const bytes = variantWeights("learned").toString("base64");
        const context = await browser.newContext();
        const moving = await context.newPage();
        const broken = [];
        moving.on("pageerror", (error) => broken.push(String(error)));
        moving.on("console", (message) => message.type() === "error" && broken.push(message.text()));
        await moving.goto(`${BASE}#image=0&steps=40&backend=cpu`);
        await moving.waitForFunction(() => document.getElementById("step").innerText.startsWith("step 5"));
        await moving.locator("#field").click();
        await moving.evaluate((base64) => {
          const data = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([data], "model.safetensors"));
          document.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }, bytes);
        await moving.waitForFunction(() => document.getElementById("latency").innerText.includes("model.safetensors"));
        await moving.waitForFunction(() => document.getElementById("step").innerText === "step 40 of 40");
        // Of the 24 numbers of z, the first ten are shown.
        assert.match(await moving.locator("#inspector").innerText(), / …/);
        assert.deepEqual(broken, []);
        await context.close();
      });

      test("the blocks of NoProp-DT are the steps of its walk", async () => {
        await open("image=0&sampler=heun&steps=40&compare=euler");
        await until("step", /step 40 of 40/);
        await page.evaluate((base64) => {
          const data = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([data], "blocks.safetensors"));
          document.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }, variantWeights("blocks").toString("base64"));
        await until("step", /step 3 of 3/);
        assert.equal(await page.locator("#sampler").inputValue(), "ddim");
        assert.equal(await page.locator("#steps").isDisabled(), true);
        assert.equal(await page.locator("#sampler option[value=heun]").evaluate((option) => option.disabled), true);
        assert.equal(await page.locator("#compare").isChecked(), false);
        assert.deepEqual(errors, []);
      });

      test("damaged weights are a sentence, and nothing is predicted with them", async () => {
        const damaged = Buffer.from(weightsBytes());
        damaged[damaged.length - 1] ^= 1;
        const prepare = (context) => context.route("**/mnist.safetensors", (route) => route.fulfill({ body: damaged }));
        await open("image=0", { prepare });
        await page.locator("#banner").waitFor({ state: "visible" });
        assert.match(await text("banner"), /damaged/);
        assert.doesNotMatch(await text("label"), /\d/);
      });

      test("weights that could not be fetched are fetched at the second try", async () => {
        let offline = true;
        const prepare = (context) => context.route("**/mnist.safetensors", (route) => (offline ? route.abort() : route.continue()));
        await open("image=0", { prepare });
        await page.locator("#retry").waitFor({ state: "visible" });
        assert.match(await text("banner"), /could not be fetched/);
        offline = false;
        await page.locator("#retry").click();
        await settled();
        assert.equal(await page.locator("#banner").isVisible(), false);
      });

      for (const width of [360, 390, 1280]) {
        test(`nothing is wider than a window of ${width} pixels`, async () => {
          await open("image=0", { viewport: { width, height: 800 } });
          await settled();
          const wide = await page.evaluate(() => document.documentElement.scrollWidth);
          assert.ok(wide <= width, `${wide}`);
          await open("dataset=cifar10&image=0", { viewport: { width, height: 800 } });
          await until("verdict", /% sure/);
          await page.locator("#evaluate").click();
          await page.locator("#confusion table").waitFor();
          const wider = await page.evaluate(() => document.documentElement.scrollWidth);
          assert.ok(wider <= width, `with words ${wider}`);
        });
      }
    }

    if (backend === "webgpu") {
      test("WebGPU draws the stage as Canvas 2D does", async (t) => {
        const picture = async (hash, drawnByGpu, options) => {
          await open(hash, options);
          await settled();
          await page.waitForFunction((by) => document.getElementById("stage-gpu").hidden !== by, drawnByGpu);
          await page.waitForTimeout(500);
          return page.locator("#stage").screenshot();
        };
        const withoutGpu = { prepare: (context) => context.route("**/worker.js?worker-stage", (route) => route.abort()) };
        // From noise: from its mean every seed gives the same walk.
        const hash = "image=0&sampler=heun&steps=8&seed=5&temperature=1&compare=ddim";
        const byGpu = await picture(hash, true);
        assert.deepEqual(errors, []);
        const byCanvas = await picture(hash, false, withoutGpu);
        const same = await difference(page, byGpu, byCanvas);
        const other = await picture("image=0&sampler=heun&steps=8&seed=6&temperature=1&compare=ddim", false, withoutGpu);
        const others = await difference(page, byCanvas, other);
        t.diagnostic(`${(100 * same).toFixed(2)} % of the pixels differ; of another seed's ${(100 * others).toFixed(2)} %`);
        // The two renderers smooth edges differently; another walk would be elsewhere.
        assert.ok(same < 0.01 && same < others / 3, `${same}, ${others}`);
      });

      test("a device that is lost is a sentence, and the walk goes on with the CPU", async () => {
        // The devices of the worker, which the test destroys when it is time.
        const loses = `
          const request = GPUAdapter.prototype.requestDevice;
          const devices = [];
          GPUAdapter.prototype.requestDevice = async function (...args) {
            devices.push(await request.apply(this, args));
            return devices.at(-1);
          };
          new BroadcastChannel("lose").onmessage = () => devices.forEach((device) => device.destroy());
        `;
        const prepare = (context) => context.route("**/worker.js?worker-gpu", async (route) => {
          const response = await route.fetch();
          await route.fulfill({ response, body: loses + await response.text() });
        });
        await open("image=0&seed=1", { prepare });
        await settled();
        assert.match(await text("backend"), /^WebGPU/);
        await page.evaluate(() => new BroadcastChannel("lose").postMessage("now"));
        await page.waitForTimeout(500);
        await page.locator("#reroll").click();
        await until("backend", /^CPU$/);
        await settled();
        assert.match(await text("banner"), /device failed.*goes on with the CPU/);
      });
    }
  });
}
