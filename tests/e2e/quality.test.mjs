// Properties of the page as a whole: everybody can use it, nothing leaves it, nothing freezes.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { BASE, launch, SETUPS } from "./browser.mjs";

const AXE = readFileSync(new URL("./node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

describe("the page as a whole", { timeout: 300_000 }, () => {
  let browser;
  before(async () => {
    browser = await launch(SETUPS["no adapter"].args);
  });
  after(() => browser?.close());

  const open = async (options, prepare = async () => {}, picture = "image=0") => {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    await prepare(context, page);
    await page.goto(`${BASE}#${picture}&backend=cpu`);
    await page.waitForFunction(() => document.querySelectorAll("#bars li").length === 10);
    return page;
  };

  // The image is a 4: its colour is the darkest, and text is written on it.
  const looks = [["dark", "image=4"], ["light", "image=4"], ["dark", "dataset=cifar10&image=22"], ["light", "dataset=cifar10&image=22"]];
  for (const [colorScheme, picture] of looks) {
    test(`axe finds nothing serious in the ${colorScheme} theme with ${picture}`, async () => {
      const page = await open({ colorScheme, reducedMotion: "reduce" }, undefined, picture);
      await page.locator("#evaluate").click();
      await page.locator("#confusion table").waitFor();
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => window.axe.run());
      const serious = violations
        .filter(({ impact }) => impact === "serious" || impact === "critical")
        .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`);
      assert.deepEqual(serious, []);
      await page.context().close();
    });
  }

  test("nothing is fetched from another host", async () => {
    const hosts = new Set();
    const page = await open({}, async (context) => {
      context.on("request", (request) => hosts.add(new URL(request.url()).host));
    });
    await page.locator("#field").click();
    await page.locator("#compare").click();
    await page.waitForTimeout(1000);
    assert.deepEqual([...hosts], [new URL(BASE).host]);
    await page.context().close();
  });

  test("the first picture and the longest pause of the main thread are measured", async (t) => {
    const start = Date.now();
    const page = await open({}, async (context) => {
      await context.addInitScript(() => {
        window.pauses = [];
        new PerformanceObserver((list) => window.pauses.push(...list.getEntries().map((e) => e.duration)))
          .observe({ entryTypes: ["longtask"] });
      });
    });
    const first = Date.now() - start;
    // The test makes a whole walk with everything switched on, and an evaluation at the same time.
    await page.locator("#field").click();
    await page.locator("#evaluate").click();
    await page.locator("#confusion table").waitFor();
    const pauses = await page.evaluate(() => window.pauses);
    t.diagnostic(`first picture after ${first} ms; ${pauses.length} pause(s) above 50 ms, the longest ${Math.max(0, ...pauses)} ms`);
    assert.equal(await page.locator("#confusion tbody tr").count(), 10);
    await page.context().close();
  });

  test("a second walk is compared with the first", async () => {
    const page = await open({ reducedMotion: "reduce" });
    await page.locator("#compare").click();
    await page.waitForFunction(() => location.hash.includes("compare=seed"));
    await page.reload();
    await page.waitForFunction(() => document.querySelectorAll("#bars li").length === 10);
    assert.equal(await page.locator("#compare").isChecked(), true);
    await page.context().close();
  });
});
