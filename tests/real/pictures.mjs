// The pictures of the dashboard in the documentation, from a network under the same load each time: run by hand, after
// `cargo build` and `npm ci` in dashboard/, as `node tests/real/pictures.mjs`. PROGRAM and CHROMIUM say where those are, if not in
// their usual places.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const DATA = mkdtempSync(join(tmpdir(), "watermaster-pictures-"));
const DOCS = join(ROOT, "docs");
process.env.ROOT = ROOT;
process.env.DATA = DATA;
process.env.SCREENS = DATA;
process.env.PROGRAM ??= join(ROOT, "target/debug/watermaster");
process.env.CHROMIUM ??= "/usr/bin/chromium";
const { base, call, drive } = await import("./browser.mjs");

const SIZE = { width: 1400, height: 790 };
const REQUESTS = 430;
/** The nodes between which traffic goes, those with more of it more often; the classes; and what each asks for, in Mbit/s. */
const NODES = "WA CA1 CA1 CA2 UT CO TX TX NE IL IL GA PA MI NY NY MD NJ".split(" ");
const CLASSES = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2];
const SIZES = [[200, 400, 600, 1000], [100, 200, 300], [50, 100, 150]];

/** The same choices each time (xorshift). */
let seed = 2026;
function pick(among) {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return among[(seed >>> 0) % among.length];
}

/** NSFNET as a new service has it, asked for by all three classes until it is nearly full. */
async function load() {
  const requests = Array.from({ length: REQUESTS }, () => {
    const [ingress, class_type] = [pick(NODES), pick(CLASSES)];
    return { topology: "nsfnet", ingress, egress: pick(NODES.filter((node) => node !== ingress)), class_type, bandwidth_bps: pick(SIZES[class_type]) * 1e6 };
  });
  assert.equal((await call("POST", "/v1/allocations/batch", { requests })).status, 200);
}

async function picture(page, name) {
  await page.mouse.move(0, 0);
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path: join(DOCS, name) });
  console.log(`  docs/${name}`);
}

try {
  await drive(async (page) => {
    await load();
    await page.setViewportSize(SIZE);
    await page.goto(`${base}/#/map?topology=nsfnet`);
    await page.getByText("● live").waitFor();
    await page.getByText(/^Busiest:/).waitFor();
    await picture(page, "dashboard.png");
    await page.goto(`${base}/#/what-if?topology=nsfnet&ingress=WA&egress=NJ&class_type=1&bandwidth=4G`);
    await page.getByRole("button", { name: "Ask", exact: true }).click();
    await page.getByRole("heading", { name: /ATCS/ }).waitFor();
    await picture(page, "what-if.png");
  });
} finally {
  rmSync(DATA, { recursive: true, force: true });
}
