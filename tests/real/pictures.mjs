// The pictures of the dashboard in the documentation, from a network under the same load each time: run by hand, after
// `cargo build` and `npm ci` in dashboard/, as `node tests/real/pictures.mjs`. PROGRAM and CHROMIUM say where those are, if not in
// their usual places. With a folder as its argument, it leaves screenshots of every view there instead: in the light, in the dark and
// on a phone.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { pick } from "./choices.mjs";

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

/** What each view is when it is complete: its address, what is pressed there, and what is awaited. */
const VIEWS = [
  { name: "map", ready: (page) => page.getByText(/^Busiest:/) },
  { name: "map-class", view: "map", query: "&by=class", ready: (page) => page.getByText(/^Busiest:/) },
  { name: "map-node", view: "map", query: "&ingress=WA&node=WA", ready: (page) => page.getByRole("heading", { name: "From WA" }) },
  { name: "map-request", view: "map", query: "&ingress=WA&egress=NJ&class_type=2&bandwidth=2G&protect=link", ready: (page) => page.getByText(/^● Admitted|^⊘/).first() },
  { name: "link", view: "link/CA1-UT", press: "Ask", ready: (page) => page.locator(".verdict").first() },
  { name: "link-cut", view: "link/CA1-UT", press: "Take it down …", ready: (page) => page.getByRole("heading", { name: /^Take it down/ }) },
  { name: "allocations", ready: (page) => page.locator("tbody tr").first() },
  { name: "allocations-denied", view: "allocations", query: "&state=denied", ready: (page) => page.locator("tbody tr").first() },
  { name: "allocation", view: () => `allocations/${first}`, ready: (page) => page.getByRole("heading", { name: /^Allocation/ }) },
  { name: "calendar", ready: (page) => page.getByRole("heading", { name: "Calendar" }) },
  { name: "what-if", query: "&ingress=WA&egress=NJ&class_type=1&bandwidth=4G&protect=node", press: "Ask", ready: (page) => page.getByRole("heading", { name: /ATCS/ }) },
  { name: "plans-moves", view: "plans/moves", press: "Plan", ready: (page) => page.locator("main .verdict") },
  { name: "plans-admit", view: "plans/moves", query: "&objective=admit_all", press: /^Fill in/, then: "Plan", ready: (page) => page.locator("main .verdict") },
  { name: "plans-failures", view: "plans/failures", press: "Study", ready: (page) => page.locator("main .verdict") },
  { name: "aggregators", ready: (page) => page.locator("main h1, main h2").first() },
  { name: "topologies", ready: (page) => page.locator("tbody tr").first() },
  { name: "alerts", ready: (page) => page.locator("tbody tr").first() },
  { name: "events", ready: (page) => page.locator("main li").first() },
  { name: "health", ready: (page) => page.getByText("mqtt connections", { exact: true }) },
];
const DEVICES = {
  light: { viewport: { width: 1280, height: 800 }, colorScheme: "light" },
  dark: { viewport: { width: 1280, height: 800 }, colorScheme: "dark" },
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, colorScheme: "light" },
};
let first;

async function everyView(browser, folder) {
  mkdirSync(folder, { recursive: true });
  await call("PUT", "/v1/tenants/acme", { quotas: [] });
  const soon = (hours) => new Date(Date.now() + hours * 3_600_000).toISOString();
  const named = { topology: "nsfnet", ingress: "MI", egress: "NY", class_type: 1, bandwidth_bps: 2e8, name: "ACME east, by Ithaca", customer: "ACME Industries", note: "ticket 4711", tenant: "acme" };
  const made = await call("POST", "/v1/allocations", { ...named, protection: { kind: "dedicated", disjoint: "link", revertive: true } });
  first = made.body.id;
  assert.equal(made.status, 201, JSON.stringify(made.body));
  for (const hours of [3, 20, 50]) await call("POST", "/v1/allocations", { ...named, starts_at: soon(hours), expires_at: soon(hours + 8) });
  await call("POST", "/v1/topologies/nsfnet/maintenances", { links: ["UT-MI"], starts_at: soon(30), duration_ms: 7_200_000, note: "splice at km 12" });
  await call("POST", "/v1/allocations", { topology: "nsfnet", ingress: "WA", egress: "NJ", class_type: 0, bandwidth_bps: 9e9 });
  await call("PATCH", "/v1/topologies/nsfnet/links/GA-PA", { state: "down" });
  await call("PATCH", "/v1/topologies/nsfnet/links/MD-NJ", { state: "maintenance" });
  for (const [device, options] of Object.entries(DEVICES)) {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    for (const { name, view = name, query = "", press, then, ready } of VIEWS) {
      await page.goto("about:blank");
      await page.goto(`${base}/#/${typeof view === "string" ? view : view()}?topology=nsfnet${query}`);
      await page.getByText("● live").waitFor();
      for (const button of [press, then].filter(Boolean)) await page.getByRole("button", { name: button, exact: typeof button === "string" }).first().click();
      await ready(page).waitFor();
      // What is drawn with the next frames, and answers that nothing waits for.
      await page.waitForTimeout(500);
      await page.screenshot({ path: join(folder, `${name}-${device}.png`), fullPage: true });
    }
    await context.close();
  }
}

const [folder] = process.argv.slice(2);
try {
  await drive(async (page, browser) => {
    await load();
    if (folder) return everyView(browser, folder);
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
