// The walk of somebody who has never seen it: from what `watermaster demo` prints to the busiest link, the class that fills
// it, and what would be preempted or devolved to fit 500 Mbit/s more; then the paper's Figure 6, live. Started by demo.rs.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";

const { PROGRAM, OUT, SCREENS, CHROMIUM, ROOT } = process.env;
const require = createRequire(join(ROOT, "dashboard/package.json"));
const { chromium } = require("playwright-core");

const demo = spawn(PROGRAM, ["demo", "--fast", "--stay", "--listen", "127.0.0.1:0", "--out", OUT], { stdio: ["ignore", "pipe", "inherit"] });
let told = "";
demo.stdout.on("data", (chunk) => (told += chunk));

/** Waits until it has said something. */
async function said(pattern) {
  for (let tries = 0; tries < 1_200; tries += 1) {
    const found = pattern.exec(told);
    if (found) return found;
    assert.equal(demo.exitCode, null, `the demo ended: ${told}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the demo did not say ${pattern}: ${told}`);
}

const get = async (base, path) => (await fetch(base + path)).json();

async function findTheBusiest(page, base) {
  await page.goto(`${base}/`);
  await page.locator(".headline").getByText(/Busiest:/).waitFor();
  await page.locator(".map canvas").waitFor();
  const { items } = await get(base, "/v1/topologies/nsfnet/links?allocations=false&limit=1000");
  const most = Math.max(...items.map((link) => link.utilisation_ppm));
  const headline = page.locator(".headline");
  const name = (await headline.getByRole("link").nth(1).innerText()).trim();
  const link = items.find((one) => one.link === name);
  assert.equal(link?.utilisation_ppm, most, `${name} is the busiest`);
  const fullest = [...link.classes].sort((one, two) => two.reserved_bps - one.reserved_bps)[0].class_type;
  assert.match(await headline.innerText(), new RegExp(`mostly[^.]*${fullest}`), "which class fills it is said at once");
  await page.screenshot({ path: join(SCREENS, "demo-1-map.png") });
  await headline.getByRole("link", { name, exact: true }).click();
  await page.getByRole("heading", { name, exact: false }).first().waitFor();
  return link;
}

/** One click: the amount stands there already. */
async function askForVictims(page, base, link) {
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  const verdict = page.locator(".verdict").first();
  await verdict.waitFor();
  await page.screenshot({ path: join(SCREENS, "demo-2-link.png"), fullPage: true });
  const body = { topology: "nsfnet", ingress: link.from, egress: link.to, class_type: 2, bandwidth_bps: 5e8, constraints: { route: [{ link: link.link }] } };
  const response = await fetch(`${base}/v1/allocations?dry_run=true`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const answer = await response.json();
  const victims = [...answer.preempted, ...answer.devolved];
  assert.ok(victims.length > 0, `500 Mbit/s more need another allocation to go: ${JSON.stringify(answer)}`);
  const text = await verdict.innerText();
  assert.match(text, /would be (preempted|devolved)/);
  for (const id of victims) assert.ok(text.includes(id), `${id} is named: ${text}`);
}

async function watchFigureSix(page, base) {
  await page.goto(`${base}/#/aggregators`);
  for (const name of ["Ag1", "Ag2", "Ag3"]) await page.getByRole("heading", { name }).waitFor();
  // The buffer with the fourth topic is full, and those of the others are not.
  const level = (name, at) => page.locator("section.aggregator", { has: page.getByRole("heading", { name }) }).locator("table.cards tbody tr").nth(at);
  await level("Ag1", 0).getByText(/boosted/).waitFor();
  const filled = async (name, at) => Number(/(\d+) %/.exec(await level(name, at).innerText())[1]);
  assert.ok((await filled("Ag1", 0)) >= 50, "Ag1's buffer fills");
  for (const at of [0, 1, 2]) assert.ok((await filled("Ag2", at)) <= 5, "Ag2's stays near-empty");
  await said(/▶ the end/);
  await page.screenshot({ path: join(SCREENS, "demo-3-figure6.png"), fullPage: true });
}

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
const page = await context.newPage();
page.setDefaultTimeout(30_000);
const complaints = [];
page.on("pageerror", (error) => complaints.push(error.message));
page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
try {
  const base = (await said(/open {2}(http:\/\/[0-9.:]+)\//))[1];
  await said(/Three aggregators report/);
  const link = await findTheBusiest(page, base);
  await askForVictims(page, base, link);
  await watchFigureSix(page, base);
  assert.deepEqual(complaints, [], "no error in the console");
  await said(/All processes stay up/);
  await page.getByRole("heading", { name: "Ag3" }).waitFor();
} catch (error) {
  await page.screenshot({ path: join(SCREENS, "demo-failed.png"), fullPage: true }).catch(() => null);
  throw error;
} finally {
  await browser.close();
  const ended = new Promise((resolve) => (demo.exitCode === null ? demo.once("exit", resolve) : resolve()));
  demo.kill("SIGINT");
  await ended;
}
