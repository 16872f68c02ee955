// A service of its own and Debian's Chromium, for the scripts that look at the dashboard. dashboard.rs says where they are.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { serve } from "./service.mjs";

const { SCREENS, CHROMIUM, ROOT } = process.env;
const require = createRequire(join(ROOT, "dashboard/package.json"));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const { server, base } = await serve();
export { base };

export async function call(method, path, body) {
  const response = await fetch(base + path, { method, headers: { "content-type": "application/json" }, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await response.text();
  return { status: response.status, body: text ? JSON.parse(text) : null };
}

export async function accessible(page, where) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const bad = violations.filter((one) => one.impact === "serious" || one.impact === "critical");
  assert.deepEqual(bad.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`), [], `accessibility of ${where}`);
}

export const screen = (page, name) => page.screenshot({ path: join(SCREENS, `${name}.png`), fullPage: true });

/** Takes the steps with a page and its browser, which has nothing to complain of; a screenshot shows where they failed. */
export async function drive(steps) {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  page.setDefaultTimeout(20_000);
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  try {
    await steps(page, browser);
    assert.deepEqual(complaints, []);
  } catch (error) {
    await screen(page, "failed").catch(() => null);
    throw error;
  } finally {
    await browser.close();
    server.removeAllListeners("exit");
    server.kill("SIGKILL");
  }
}
