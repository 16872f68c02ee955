// Drives the dashboard in Debian's Chromium, against the program itself, and stops at the first thing that is not as it
// should be. Started by dashboard.rs, which says where everything is. Screenshots of every view are left in the folder.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const { PROGRAM, DATA, SCREENS, CHROMIUM, ROOT } = process.env;
const require = createRequire(join(ROOT, "dashboard/package.json"));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const KIND = { "content-type": "application/json" };

let server;
let base;

/** Starts the service; a second time on the same port and data, so that the page can find it again. */
async function start() {
  const listen = base ? new URL(base).host : "127.0.0.1:0";
  const process_ = spawn(PROGRAM, ["serve", "--listen", listen, "--data", DATA], { stdio: ["ignore", "pipe", "ignore"], env: { ...process.env, RUST_LOG: "warn" } });
  server = process_;
  let text = "";
  base = await new Promise((resolve, reject) => {
    process_.on("exit", (code) => reject(new Error(`the service ended with ${code}: ${text}`)));
    process_.stdout.on("data", (chunk) => {
      text += chunk;
      const found = /http:\/\/([0-9.:]+)\//.exec(text);
      if (found) resolve(`http://${found[1]}`);
    });
  });
  process_.removeAllListeners("exit");
}

async function drop() {
  const gone = new Promise((resolve) => server.once("exit", resolve));
  server.kill("SIGKILL");
  await gone;
}

async function call(method, path, body, headers = {}) {
  const response = await fetch(base + path, { method, headers: { ...KIND, ...headers }, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await response.text();
  return { status: response.status, body: text ? JSON.parse(text) : null };
}

/** Three routers in a ring of 1 Gbit/s, of which only one link leads the short way. */
const RING = JSON.stringify({
  nodes: [{ id: "oslo", latitude: 59.9, longitude: 10.7 }, { id: "rome", latitude: 41.9, longitude: 12.5 }, { id: "kyiv", latitude: 50.4, longitude: 30.5 }],
  links: [
    { id: "oslo-rome", from: "oslo", to: "rome", capacity_bps: 1e9, bidirectional: true },
    { id: "oslo-kyiv", from: "oslo", to: "kyiv", capacity_bps: 1e9, bidirectional: true },
    { id: "kyiv-rome", from: "kyiv", to: "rome", bidirectional: true },
  ],
});

const admit = (bps, class_type = 0, more = {}) =>
  call("POST", "/v1/allocations", { topology: "ring", ingress: "oslo", egress: "rome", class_type, bandwidth_bps: bps, ...more });

const complaints = [];
let expectTrouble = false;

function watch(page) {
  page.on("console", (message) => {
    if (message.type() !== "error" || expectTrouble) return;
    // The browser notes every answer that is no success: a denial in a dry run is one.
    const { pathname, search } = new URL(message.location().url || base);
    const denial = message.text().includes("409") && search.includes("dry_run=true");
    if (!denial) complaints.push(`${message.text()} (${pathname})`);
  });
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.message}`));
}

async function screen(page, name) {
  await page.screenshot({ path: join(SCREENS, `${name}.png`), fullPage: name !== "map" });
}

/** Lights a link on the map by keys, from the busiest on, and says where it is and what is said of it. */
async function pointAt(page, link) {
  await page.locator(".map").focus();
  await page.keyboard.press("Escape");
  for (let tries = 0; tries < 50; tries++) {
    await page.keyboard.press("n");
    const tip = page.locator(".tip");
    // A map that has just come up has nothing to point at yet.
    if (!(await tip.waitFor({ timeout: 1_000 }).then(() => true, () => false))) continue;
    const told = await tip.innerText();
    if (told.startsWith(`${link} `)) return { told, x: Number(await tip.getAttribute("data-x")), y: Number(await tip.getAttribute("data-y")) };
  }
  throw new Error(`${link} is not on the map`);
}

/** Whether the map has a colour of the sheet at a place, when nothing is lit. */
async function hasColour(page, { x, y }, name) {
  await page.keyboard.press("Escape");
  await page.mouse.move(0, 0);
  await page.waitForFunction(([x, y, name]) => {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = `var(--${name})`;
    const wanted = getComputedStyle(probe).color.match(/\d+/g).map(Number);
    probe.remove();
    const canvas = document.querySelector(".map canvas");
    const [left, top] = [x, y].map((at) => Math.round(at * devicePixelRatio) - 12);
    const { data } = canvas.getContext("2d").getImageData(left, top, 25, 25);
    for (let at = 0; at < data.length; at += 4) if (wanted.every((part, of) => Math.abs(part - data[at + of]) < 12)) return true;
    return false;
  }, [x, y, name]);
}

/** Where a node is on the map that shows everything. */
async function nodeAt(page, topology, node) {
  const { body } = await call("GET", `/v1/topologies/${topology}/layout`);
  const box = await page.locator(".map canvas").boundingBox();
  const k = Math.min((box.width - 180) / body.width, (box.height - 80) / body.height);
  const spot = body.nodes.find((one) => one.node === node);
  return { x: box.x + (box.width - body.width * k) / 2 + spot.x * k, y: box.y + (box.height - body.height * k) / 2 + spot.y * k };
}

async function textOf(download) {
  return readFileSync(await download.path(), "utf8");
}

/** The health view has its answers: it is as wide as it gets. */
async function asked(page) {
  await page.getByText("mqtt connections", { exact: true }).waitFor();
  await page.getByText("No controller is configured").waitFor();
}

/** No serious fault of accessibility in what is shown. */
async function accessible(page, where) {
  // The policy of the page allows no other scripts: the tool is run in the page's own context by the driver.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const bad = violations.filter((one) => one.impact === "serious" || one.impact === "critical");
  const told = bad.map((one) => `${one.id}: ${one.help} (${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")})`);
  assert.deepEqual(told, [], `accessibility of ${where}`);
}

async function loadAndUpload(page) {
  await page.goto(`${base}/`);
  await page.getByText("● live").waitFor();
  await page.getByRole("heading", { name: "There is no topology yet" }).or(page.locator(".map canvas")).first().waitFor();
  await page.getByRole("link", { name: "Topologies" }).first().click();
  // As if dropped: the same event that a hand gives.
  const transfer = await page.evaluateHandle((text) => {
    const data = new DataTransfer();
    data.items.add(new File([text], "ring.json"));
    return data;
  }, RING);
  await page.dispatchEvent(".drop", "drop", { dataTransfer: transfer });
  await page.getByText("1 warning").or(page.getByText("2 by default")).first().waitFor();
  await page.getByRole("heading", { name: /3 nodes, 6 links/ }).waitFor();
  await screen(page, "upload");
  await accessible(page, "the report of an upload");
  await page.getByRole("button", { name: "Put ring" }).click();
  await page.getByText("ring is put").waitFor();
  assert.equal((await call("GET", "/v1/topologies/ring/layout")).status, 200);
  await page.getByRole("heading", { name: "Map of ring" }).waitFor({ state: "attached" });
  assert.match(page.url(), /#\/map\?topology=ring$/, "the address says which topology");
  await pointAt(page, "oslo-rome");
}

async function admitAndWatch(page) {
  const marked = await page.evaluate(() => (window.notReloaded = true));
  assert.ok(marked);
  const { status, body } = await admit(9e8, 0, { name: "ACME east", customer: "ACME" });
  assert.equal(status, 201, JSON.stringify(body));
  assert.deepEqual(body.path, ["oslo-rome"]);
  await page.getByText(/Busiest:/).getByRole("link", { name: "oslo-rome" }).waitFor();
  await page.getByText("mostly CT0").or(page.locator(".headline .class-mark")).first().waitFor();
  assert.ok(await page.evaluate(() => window.notReloaded), "the page was not loaded again");
  const at = await pointAt(page, "oslo-rome");
  assert.match(at.told, /90 %, 900 Mbit\/s reserved/);
  await hasColour(page, at, "step3");
  await page.getByRole("button", { name: "Colour by class" }).click();
  await hasColour(page, at, "ct0");
  assert.match(page.url(), /by=class/, "how it is coloured is in the address");
  await page.getByRole("button", { name: "Colour by utilisation" }).click();
  await page.getByRole("link", { name: "1 alert" }).waitFor();
  const [picture] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "SVG" }).click()]);
  assert.equal(picture.suggestedFilename(), "ring.svg");
  assert.match(await textOf(picture), /^<svg [^]*>rome<\/text>[^]*<\/svg>\n$/);
  const [image] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "PNG" }).click()]);
  assert.equal(readFileSync(await image.path()).subarray(1, 4).toString(), "PNG");
  await screen(page, "map");
  await accessible(page, "the map");
  return body.id;
}

async function preemptAndSee(page, low) {
  // Full both ways, so that the higher class has to take from the lower.
  assert.equal((await admit(9e8, 0, { constraints: { route: [{ link: "oslo-kyiv" }, { link: "kyiv-rome" }] } })).status, 201);
  await call("PATCH", "/v1/topologies/ring/links/kyiv-rome", { capacity_bps: 1e9 });
  const high = await admit(4e8, 2, { constraints: { route: [{ link: "oslo-rome" }] } });
  assert.equal(high.status, 201, JSON.stringify(high.body));
  assert.deepEqual(high.body.preempted, [low]);
  await page.goto(`${base}/#/allocations/${low}`);
  await page.getByRole("heading", { name: `Allocation ${low}` }).getByText("preempted").waitFor();
  await page.getByText("a higher class or better priority needs it").waitFor();
  await page.getByText("ACME east").first().waitFor();
  await page.getByRole("link", { name: `allocation ${high.body.id}` }).waitFor();
  await screen(page, "victim");
  await accessible(page, "an allocation");
  return high.body.id;
}

async function whatIf(page) {
  await page.getByRole("link", { name: "What-if" }).click();
  const main = page.locator("main");
  await main.getByLabel(/^From/).selectOption("oslo");
  await main.getByLabel(/^To/).selectOption("rome");
  await main.getByLabel(/^Class/).selectOption("2");
  await main.getByLabel("Bandwidth").fill("1M");
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await page.getByRole("button", { name: "Ask for it for real" }).waitFor();
  await main.getByLabel("Bandwidth").fill("3G");
  await page.getByText("The request was changed: ask again.").waitFor();
  assert.equal(await page.getByRole("button", { name: "Ask for it for real" }).count(), 0, "what was not previewed is not sent");
  await main.getByLabel("Bandwidth").fill("700M");
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await page.locator(".verdicts .verdict").nth(3).waitFor();
  // Browsers refuse an address that changes with every letter: it is written a moment later.
  await page.waitForURL((url) => ["ingress=oslo", "egress=rome", "class_type=2", "bandwidth=700M"].every((part) => url.hash.includes(part)));
  const verdicts = await page.locator(".verdicts .verdict").allInnerTexts();
  assert.deepEqual(verdicts.map((text) => /^(MAM|RDM|G-BAM|ATCS)/.exec(text)?.[1]), ["MAM", "RDM", "G-BAM", "ATCS"]);
  assert.match(verdicts[0], /⊘[^]*binds?/, "under MAM a class has its share only");
  const before = (await call("GET", "/readyz")).body.sequence;
  await screen(page, "what-if");
  await accessible(page, "what-if");
  assert.equal((await call("GET", "/readyz")).body.sequence, before, "asking changes nothing");
}

/** Two nodes are clicked, what fits is dragged, who loses by it is asked for, and exactly what was previewed is sent, once. */
async function requestOnTheMap(page) {
  await page.goto(`${base}/#/map?topology=ring`);
  await page.getByText("● live").waitFor();
  await page.getByRole("heading", { name: "Map of ring" }).waitFor({ state: "attached" });
  for (const node of ["oslo", "rome"]) {
    const { x, y } = await nodeAt(page, "ring", node);
    await page.mouse.click(x, y);
    await page.getByRole("heading", { name: node === "oslo" ? "From oslo" : "A request" }).waitFor();
  }
  const panel = page.getByRole("region", { name: "A request between two nodes" });
  await panel.getByText("would be admitted.").waitFor();
  await panel.getByLabel("Bandwidth", { exact: true }).first().fill("700M");
  await panel.getByText(/would be preempted/).waitFor();
  await panel.getByText(/Together they would lose/).waitFor();
  await screen(page, "request");
  await accessible(page, "a request on the map");
  const before = (await call("GET", "/readyz")).body.sequence;
  await panel.getByRole("button", { name: "Ask for it for real" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText(/would be preempted/).first().waitFor();
  assert.equal((await call("GET", "/readyz")).body.sequence, before, "nobody is preempted unasked");
  await screen(page, "request-asked");
  // The answer is lost: the page asks again by the same key, and it is done once.
  const keys = [];
  const sent = (request) => request.method() === "POST" && request.url().endsWith("/v1/allocations");
  page.on("request", (request) => sent(request) && keys.push(request.headers()["idempotency-key"]));
  expectTrouble = true;
  await page.route("**/v1/allocations", async (route) => {
    await route.fetch();
    await route.abort();
  }, { times: 1 });
  await dialog.getByRole("button", { name: "Ask for it all the same" }).click();
  await page.getByText("The server cannot be reached.").waitFor();
  expectTrouble = false;
  await dialog.getByRole("button", { name: "Ask for it all the same" }).click();
  await page.getByRole("heading", { name: /^Allocation \d+/ }).waitFor();
  assert.equal(keys.length, 2);
  assert.ok(keys[0] && keys[0] === keys[1], `one key: ${keys}`);
  const id = /allocations\/(\d+)/.exec(page.url())[1];
  const { body } = await call("GET", `/v1/allocations/${id}`);
  assert.deepEqual([body.ingress, body.egress, body.class_type, body.bandwidth_bps], ["oslo", "rome", 2, 7e8]);
  const events = (await call("GET", `/v1/events?after=${before}`)).body.items.filter((one) => one.kind === "allocation_admitted");
  assert.equal(events.length, 1, "admitted once");
  return id;
}

/** What is shared by its address is seen by the other: the topology, the link, the filter. */
async function addresses(browser) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  watch(page);
  await page.goto(`${base}/#/link/oslo-rome?topology=ring`);
  await page.getByRole("heading", { name: "oslo-rome" }).waitFor();
  assert.equal(await page.locator("header select").inputValue(), "ring");
  await page.locator("header select").selectOption("large");
  await page.waitForURL(/#\/link\/[^?]+\?topology=large$/);
  await page.goBack();
  await page.getByRole("heading", { name: "oslo-rome" }).waitFor();
  await page.goto(`${base}/#/allocations?topology=ring&class_type=1&ingress=kyiv`);
  assert.equal(await page.getByLabel("Class").inputValue(), "1");
  await page.getByText("No allocation is like that").waitFor();
  await page.goto(`${base}/#/map?topology=nowhere`);
  await page.getByRole("heading", { name: "There is no topology nowhere" }).waitFor();
  await context.close();
}

/** One box finds nodes, links and allocations. */
async function search(page, id) {
  await page.goto(`${base}/#/map?topology=ring`);
  await page.getByText("● live").waitFor();
  await page.locator("main").focus();
  await page.keyboard.press("/");
  await page.keyboard.type("kyi");
  await page.getByRole("option", { name: "node kyiv" }).waitFor();
  await accessible(page, "the search");
  await page.keyboard.press("Enter");
  await page.waitForURL(/#\/map\?topology=ring&ingress=kyiv&node=kyiv$/);
  await page.getByRole("heading", { name: "From kyiv" }).waitFor();
  await page.keyboard.press("Control+k");
  await page.keyboard.type("kyiv-rome");
  await page.getByRole("option", { name: "link kyiv-rome kyiv → rome" }).waitFor();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "kyiv-rome" }).waitFor();
  await page.keyboard.press("Control+k");
  await page.keyboard.type(id);
  await page.getByRole("option", { name: `allocation ${id}` }).waitFor();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: `Allocation ${id}` }).waitFor();
  const named = await admit(1e6, 2, { name: "circuit-7", customer: "Fjord Power" });
  for (const text of ["circuit", "Fjord"]) {
    await page.keyboard.press("Control+k");
    await page.keyboard.type(text);
    await page.getByRole("option", { name: `allocation ${named.body.id} circuit-7, Fjord Power` }).click();
    await page.getByRole("heading", { name: `Allocation ${named.body.id}` }).waitFor();
  }
  assert.ok((await call("DELETE", `/v1/allocations/${named.body.id}`)).status < 300);
}

/** A link with more allocations than are read one by one: its figures are the server's; never 100 % for less. */
async function full(page) {
  const link = { id: "a-b", from: "a", to: "b", capacity_bps: 1e9, bidirectional: true };
  assert.equal((await call("PUT", "/v1/topologies/full", { nodes: [{ id: "a", label: "Ann Arbor" }, { id: "b", label: "Salt Lake City" }], links: [link] })).status, 201);
  const one = { topology: "full", ingress: "a", egress: "b", class_type: 0, bandwidth_bps: 284_857 };
  for (let batch = 0; batch < 7; batch++) assert.equal((await call("POST", "/v1/allocations/batch", { requests: Array(500).fill(one) })).status, 200);
  await page.goto(`${base}/#/link/a-b?topology=full`);
  await page.getByRole("heading", { name: "On it: 3,500 allocations, 997 Mbit/s" }).waitFor();
  await page.getByText("99.6 %", { exact: true }).first().waitFor();
  await page.getByText("997 Mbit/s in all.").waitFor();
  await page.getByText(/^The server has no sample yet|^The most was/).waitFor();
  await page.getByText("Ann Arbor").first().waitFor();
  await page.goto(`${base}/#/alerts?topology=full`);
  await page.getByRole("link", { name: "a-b", exact: true }).waitFor();
  await page.getByText("Ann Arbor → Salt Lake City").waitFor();
  await screen(page, "alerts");
  await accessible(page, "alerts");
  await page.getByRole("button", { name: "Acknowledge full/a-b step 5" }).click();
  await page.getByRole("heading", { name: "Nothing to acknowledge" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Nothing to acknowledge" }).waitFor();
}

/** Many are chosen and released at once, after their sum was shown; the list is saved as CSV with its filter. */
async function bulk(page) {
  await page.goto(`${base}/#/allocations?topology=full&state=active`);
  await page.getByText("50 allocations on this page").waitFor();
  const [saved] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV" }).click()]);
  const lines = (await textOf(saved)).trim().split("\r\n");
  assert.equal(lines.length, 3_501, "every row that the filter lets through");
  assert.match(lines[0], /^Id,.*State,From,To,Class,Bandwidth/);
  await page.getByRole("checkbox", { name: "Choose all that are shown" }).check();
  await page.getByText("14.2 Mbit/s in all").waitFor();
  await page.getByRole("button", { name: "Release 50 chosen …" }).click();
  await accessible(page, "a bulk release");
  await page.getByRole("dialog").getByRole("button", { name: "Release", exact: true }).click();
  await page.getByText("50 allocations are released: 14.2 Mbit/s.").waitFor();
  const { body } = await call("GET", "/v1/topologies/full");
  const summary = (await call("GET", "/v1/topologies")).body.items.find((found) => found.topology === "full");
  assert.equal(summary.allocations, 3_450, JSON.stringify(body).slice(0, 100));
}

/** Allocations are moved off a link together, and links drained together: those that cannot go come first. */
async function many(page) {
  const ids = [];
  for (const bps of [1e6, 2e6]) {
    const made = await admit(bps, 2, { name: `many-${bps}`, constraints: { route: [{ link: "oslo-kyiv" }, { link: "kyiv-rome" }] } });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    ids.push(made.body.id);
    await call("PATCH", `/v1/allocations/${made.body.id}`, { constraints: {} });
  }
  const stays = await admit(3e6, 2, { name: "stays", constraints: { route: [{ link: "oslo-kyiv" }, { link: "kyiv-rome" }] } });
  await page.goto(`${base}/#/link/kyiv-rome?topology=ring`);
  for (const id of [...ids, stays.body.id]) await page.getByRole("checkbox", { name: `Choose ${id}`, exact: true }).check();
  await page.getByRole("button", { name: "Move 3 chosen off this link …" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("1 allocation could not move").waitFor();
  await dialog.getByText("2 allocations would move: 3 Mbit/s.").waitFor();
  assert.match(await dialog.locator("tbody tr").first().innerText(), /stays/);
  await screen(page, "move-off");
  await accessible(page, "a bulk move");
  await dialog.getByRole("button", { name: "Move 2" }).click();
  await page.getByText("2 allocations moved off kyiv-rome: 3 Mbit/s.").waitFor();
  for (const id of ids) {
    const { body } = await call("GET", `/v1/allocations/${id}`);
    assert.deepEqual([body.path, body.constraints.exclude], [["oslo-rome"], [{ link: "kyiv-rome" }, { link: "kyiv-rome~" }]], "it moved, and keeps off");
  }
  await page.goto(`${base}/#/allocations/${ids[0]}?topology=ring`);
  for (const left of [1, 0]) {
    await page.getByRole("button", { name: "Lift" }).first().click();
    await page.waitForFunction((left) => [...document.querySelectorAll("button")].filter((one) => one.textContent === "Lift").length === left, left);
    assert.equal(((await call("GET", `/v1/allocations/${ids[0]}`)).body.constraints?.exclude ?? []).length, left);
  }
  await page.goto(`${base}/#/map?topology=ring`);
  for (const link of ["oslo-kyiv", "kyiv-rome"]) await page.getByRole("checkbox", { name: `Choose ${link}`, exact: true }).check();
  await page.getByRole("button", { name: "Drain 2 chosen …" }).click();
  await dialog.getByText(/could not move/).waitFor();
  await screen(page, "drain-many");
  await accessible(page, "a bulk drain");
  await dialog.getByRole("button", { name: "Drain", exact: true }).click();
  await page.getByText("oslo-kyiv, kyiv-rome: maintenance.").waitFor();
  for (const link of ["oslo-kyiv", "kyiv-rome"]) {
    assert.equal((await call("GET", `/v1/topologies/ring/links/${link}`)).body.state, "maintenance");
    await call("PATCH", `/v1/topologies/ring/links/${link}`, { state: "up" });
  }
  for (const id of [...ids, stays.body.id]) await call("DELETE", `/v1/allocations/${id}`);
}

async function drain(page) {
  await page.getByRole("link", { name: "Link", exact: true }).click();
  await page.goto(`${base}/#/link/oslo-rome`);
  await page.getByRole("heading", { name: "oslo-rome" }).waitFor();
  await page.getByLabel("What would it take to fit").fill("500M");
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await page.locator(".verdict").first().waitFor();
  await screen(page, "link");
  await accessible(page, "a link");
  await page.getByRole("button", { name: "Drain this link …" }).click();
  await page.getByRole("heading", { name: /Drain this link: oslo-rome and oslo-rome~/ }).waitFor();
  await page.getByText(/could not move|has another path/).first().waitFor();
  await page.getByRole("button", { name: "Drain this link", exact: true }).click();
  await page.getByText("oslo-rome and oslo-rome~: maintenance.").waitFor();
  assert.equal((await call("GET", "/v1/topologies/ring/links/oslo-rome")).body.state, "maintenance");
  await page.getByRole("link", { name: "Map", exact: true }).click();
  const at = await pointAt(page, "oslo-rome");
  assert.match(at.told, /maintenance/);
  await hasColour(page, at, "warn");
  await screen(page, "map-maintenance");
}

async function releaseAndChange(page, id) {
  await page.goto(`${base}/#/allocations?state=active`);
  await page.getByRole("button", { name: `Change ${id}` }).click();
  await page.getByLabel("New bandwidth").fill("100M");
  await page.getByRole("button", { name: "What would happen?" }).click();
  await page.getByText("No other allocation would be touched.").waitFor();
  await page.getByRole("button", { name: "Change", exact: true }).click();
  await page.getByText(`Allocation ${id} has 100 Mbit/s now.`).waitFor();
  await screen(page, "allocations");
  await accessible(page, "allocations");
  await page.getByRole("button", { name: `Release ${id}` }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Release" }).click();
  await page.getByText(`Allocation ${id} is released.`).waitFor();
  assert.equal((await call("GET", `/v1/allocations/${id}`)).body.state, "released");
  const denied = await admit(5e9, 1);
  assert.equal(denied.status, 409);
  await page.goto(`${base}/#/allocations?state=denied`);
  await page.getByText("5 Gbit/s", { exact: true }).waitFor();
  await screen(page, "denied");
  await accessible(page, "denials");
}

async function changeModel(page) {
  await page.goto(`${base}/#/topologies`);
  await page.getByText("MAM", { exact: true }).click();
  await page.getByRole("button", { name: "What would it do?" }).click();
  await page.getByRole("heading", { name: /Under MAM/ }).waitFor();
  await screen(page, "topologies");
  await accessible(page, "topologies");
  await page.getByRole("button", { name: "Put it in force" }).click();
  await page.getByText("ring is under MAM now").waitFor();
  assert.equal((await call("GET", "/v1/topologies/ring/bandwidth-model")).body.model, "mam");
}

async function dropAndRecover(page) {
  await page.goto(`${base}/#/health`);
  await page.getByText("● live").waitFor();
  await page.getByText("● answers").waitFor();
  await asked(page);
  await screen(page, "health");
  await accessible(page, "health");
  expectTrouble = true;
  await drop();
  await page.getByText("The server does not answer.").waitFor({ timeout: 30_000 });
  await screen(page, "offline");
  await start();
  await page.getByText("● live").waitFor({ timeout: 60_000 });
  await page.getByText("The server does not answer.").waitFor({ state: "detached" });
  expectTrouble = false;
  // What happens after it came back is heard.
  assert.equal((await call("PATCH", "/v1/topologies/ring/links/oslo-rome", { state: "up" })).status, 200);
  await page.locator(".feed").getByText("oslo-rome").first().waitFor();
}

/** By keys alone: to the map, moved and zoomed; and to a view by its letters. */
async function byKeys(page) {
  await page.goto(`${base}/#/health?topology=ring`);
  await page.locator("main").focus();
  await page.keyboard.press("g");
  await page.keyboard.press("m");
  await page.locator(".map").focus();
  await page.keyboard.press("+");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("0");
  const { x } = await pointAt(page, "kyiv-rome");
  await page.keyboard.press("ArrowLeft");
  const box = await page.locator(".map canvas").boundingBox();
  assert.ok(Math.abs((await pointAt(page, "kyiv-rome")).x - x - box.width / 12) < 2, "an arrow moves the map by a twelfth");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "kyiv-rome" }).waitFor();
}

/** Neither page nor interface is changed by another site. */
async function refuseForeigners(browser) {
  for (const headers of [{ origin: "http://elsewhere.example" }, { "sec-fetch-site": "cross-site" }, { "sec-fetch-site": "same-site" }]) {
    const { status, body } = await call("DELETE", "/v1/topologies/ring", undefined, headers);
    assert.deepEqual([status, body.type], [403, "/problems/foreign-origin"], JSON.stringify(headers));
  }
  // A real page of another site: the same machine under another name is another site.
  const context = await browser.newContext();
  const page = await context.newPage();
  const elsewhere = base.replace("127.0.0.1", "localhost");
  await page.route(`${elsewhere}/elsewhere`, (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html><title>elsewhere</title>" }));
  await page.goto(`${elsewhere}/elsewhere`);
  await page.evaluate((url) => fetch(url, { method: "POST", mode: "no-cors", body: "{}" }).catch(() => null), `${base}/v1/allocations`);
  const read = await page.evaluate((url) => fetch(url).then(() => "read", () => "not read"), `${base}/v1/topologies`);
  assert.equal(read, "not read", "another site reads nothing either");
  await context.close();
  await refuseReboundName();
  const response = await fetch(`${base}/`);
  const policy = response.headers.get("content-security-policy");
  assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'/);
  assert.doesNotMatch(policy, /unsafe/);
  assert.equal(response.headers.get("x-content-type-options"), "nosniff");
  const again = await fetch(`${base}/`, { headers: { "if-none-match": response.headers.get("etag") } });
  assert.equal(again.status, 304);
}

/** A name of another site that was made to lead here (DNS rebinding) is the same origin for the browser, and not for the service. */
async function refuseReboundName() {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--host-resolver-rules=MAP rebound.example 127.0.0.1"] });
  try {
    const page = await browser.newPage();
    const rebound = base.replace("127.0.0.1", "rebound.example");
    assert.equal((await page.goto(`${rebound}/`)).status(), 421);
    const statuses = await page.evaluate(async () => {
      const written = await fetch("/v1/topologies/ring", { method: "DELETE" });
      const read = await fetch("/v1/topologies");
      return [written.status, read.status];
    });
    assert.deepEqual(statuses, [421, 421]);
  } finally {
    await browser.close();
  }
}

const LISTED = /\/v1\/aggregators(\?|$)/;

/** The view of Figure 6 by answers of the documented shape, with buffers that fill and rates that follow. */
async function figureSix(page) {
  const before = Date.now() - 600_000;
  await page.route("**/v1/aggregators/*/history", (route) => {
    const levels = [0, 1, 2].map((qos_level) => ({ qos_level, buffer_ppm: 250_000, rate_bps: 3e5 }));
    const points = Array.from({ length: 60 }, (_, at) => ({ at: new Date(before + at * 5_000).toISOString(), levels }));
    return route.fulfill({ json: { id: "gateway-1", step_ms: 5_000, points } });
  });
  let second = 0;
  await page.route(LISTED, (route) => {
    second += 1;
    const level = (qos_level) => ({ qos_level, subscribers: 2, buffer_bytes: (second * 40_000 * (3 - qos_level)) % 1e6, buffer_capacity_bytes: 1e6, arrival_bps: 4e5, dropped: 0 });
    const given = (qos_level) => ({ qos_level, rate_bps: 1e5 * (qos_level + 1) + (second % 4 ? 0 : 2e5), allocations: [] });
    const now = new Date().toISOString();
    const one = {
      id: "gateway-1", topology: "ring", node: "oslo", state: "fresh", heard_at: now,
      demand: [0, 1, 2].map((qos_level) => ({ qos_level, demand_bps: 4e5, boosted: qos_level === 2 })),
      metadata: { node: "oslo", at: now, levels: [0, 1, 2].map(level) },
      rates: { sequence: second, at: now, lease_ms: 5000, levels: [0, 1, 2].map(given), fallback: [] },
    };
    // More than a page of plots has, and some of another topology.
    const others = Array.from({ length: 35 }, (_, at) => ({ ...one, id: `other-${String(at).padStart(2, "0")}`, topology: at < 30 ? "ring" : "large" }));
    return route.fulfill({ json: { items: [one, ...others] } });
  });
  await page.getByRole("heading", { name: /gateway-1.*fresh/ }).waitFor();
  await page.locator(".plot canvas").nth(1).waitFor();
  const label = "Rate of gateway-1 by QoS level over time";
  const [rows] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: `CSV: ${label}` }).click()]);
  const lines = (await textOf(rows)).split("\r\n");
  assert.equal(lines[0], "Time,QoS 0 (insensitive),QoS 1 (sensitive),QoS 2 (priority)");
  assert.equal(lines[1], `${new Date(before).toISOString()},300000,300000,300000`, "what the server remembers is there at once");
  const [drawn] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: `SVG: ${label}` }).click()]);
  assert.match(await textOf(drawn), /^<svg [^]*QoS 2 \(priority\)<\/text><\/svg>\n$/);
  await page.waitForResponse((response) => LISTED.test(response.url()) && second > 5);
  await page.getByText(/^31 aggregators: .* 5 more in other topologies\./).waitFor();
  assert.equal(await page.locator(".aggregator").count(), 12);
  await page.getByRole("button", { name: "Next ›" }).click();
  await page.getByRole("heading", { name: /other-11.*fresh/ }).waitFor();
  await page.getByLabel("Find", { exact: true }).fill("gateway");
  await page.getByRole("link", { name: "gateway-1" }).click();
  await page.getByRole("heading", { name: /gateway-1.*fresh/ }).waitFor();
  assert.match(page.url(), /aggregators\/gateway-1/);
  await page.goto(`${base}/#/aggregators?topology=ring`);
  await page.getByRole("heading", { name: /gateway-1.*fresh/ }).waitFor();
  await screen(page, "aggregators-live");
  await accessible(page, "live aggregators");
  await page.unroute(LISTED);
  await page.unroute("**/v1/aggregators/*/history");
}

/** The largest network of the Topology Zoo's size stays smooth. */
async function large(page) {
  const nodes = Array.from({ length: 754 }, (_, at) => ({ id: `n${at}` }));
  const links = Array.from({ length: 753 }, (_, at) => ({ from: `n${Math.floor(at / 1.4)}`, to: `n${at + 1}` }))
    .concat(Array.from({ length: 142 }, (_, at) => ({ from: `n${at * 5}`, to: `n${at * 5 + 7}` })))
    .filter((link) => link.from !== link.to)
    .map((link, at) => ({ id: `l${at}`, ...link, capacity_bps: 1e10, bidirectional: true }));
  const put = await call("PUT", "/v1/topologies/large", { nodes, links });
  assert.equal(put.status, 201, JSON.stringify(put.body));
  const requests = Array.from({ length: 900 }, (_, at) => ({ topology: "large", ingress: `n${(at * 37) % 754}`, egress: `n${(at * 101 + 5) % 754}`, class_type: at % 3, bandwidth_bps: 2e8 }))
    .filter((one) => one.ingress !== one.egress);
  assert.equal((await call("POST", "/v1/allocations/batch", { requests })).status, 200);
  await page.goto(`${base}/#/map`);
  await page.locator("header select").selectOption("large");
  await page.getByRole("heading", { name: "Map of large" }).waitFor({ state: "attached" });
  await screen(page, "large");
  const box = await page.locator(".map").boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.evaluate(() => {
    const [pen, whole] = [CanvasRenderingContext2D.prototype, document.querySelector(".map canvas")];
    const [clear, stroke] = [pen.fillRect, pen.stroke];
    // A painting begins with the paper.
    pen.fillRect = function (x, y, ...size) {
      if (this.canvas === whole && x === 0 && y === 0) window.paintings_ += 1;
      return clear.call(this, x, y, ...size);
    };
    pen.stroke = function (...what) {
      if (this.canvas === whole) window.lines_ += 1;
      return stroke.apply(this, what);
    };
  });
  const frames = async (what, work) => {
    const begun = await page.evaluate(() => {
      window.frames_ = window.paintings_ = window.lines_ = 0;
      const count = () => ((window.frames_ += 1), requestAnimationFrame(count));
      window.counting ??= requestAnimationFrame(count);
      return performance.now();
    });
    await work();
    const told = await page.evaluate((begun) => ({ rate: Math.round((window.frames_ * 1000) / (performance.now() - begun)), frames: window.frames_, paintings: window.paintings_, lines: window.lines_ }), begun);
    // The pace is the machine's, and other tests run beside this one: it is printed. The work is the page's: what is drawn of a
    // frame is drawn once, each lane by at most a line and its casing.
    console.log(`    754 nodes, ${links.length * 2} links, ${what}: ${told.rate} frames a second, drawn by the processor`);
    assert.ok(told.paintings > 0 && told.paintings <= told.frames + 1, `${what}: painted ${told.paintings} times in ${told.frames} frames`);
    assert.ok(told.lines <= told.paintings * (links.length * 2 * 2 + 754), `${what}: ${told.lines} lines in ${told.paintings} paintings`);
  };
  await frames("zoomed", async () => {
    for (let at = 0; at < 20; at++) await page.mouse.wheel(0, at < 10 ? -120 : 120).then(() => page.waitForTimeout(40));
  });
  await frames("moved", async () => {
    await page.mouse.down();
    for (let at = 0; at < 60; at++) await page.mouse.move(box.x + box.width / 2 + at * 3, box.y + box.height / 2 + at);
    await page.mouse.up();
  });
  await frames("25 events a second", async () => {
    for (const end = Date.now() + 3_000; Date.now() < end; await page.waitForTimeout(40))
      void call("POST", "/v1/allocations", { topology: "large", ingress: "n3", egress: `n${200 + (Date.now() % 400)}`, class_type: 0, bandwidth_bps: 1000 });
  });
  await page.locator("header select").selectOption("ring");
}

/** How colours look to those who lack one kind of cone (Machado, Oliveira, Fernandes 2009, severity 1), on linear RGB. */
const EYES = {
  all: [1, 0, 0, 0, 1, 0, 0, 0, 1],
  protan: [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
  deutan: [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
  tritan: [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039],
};
/** So far apart, in CIELAB, two colours have to be; 2.3 is just seen. */
const APART = 10;

function lab(colour, eyes) {
  const linear = colour.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  const times = (matrix, vector) => [0, 3, 6].map((row) => vector.reduce((sum, part, at) => sum + part * matrix[row + at], 0));
  const [r, g, b] = times(eyes, linear).map((part) => Math.min(1, Math.max(0, part)));
  const xyz = times([0.4339, 0.3762, 0.1899, 0.2126, 0.7152, 0.0722, 0.0177, 0.1095, 0.8729], [r, g, b]);
  const [x, y, z] = xyz.map((part) => (part > 0.008856 ? Math.cbrt(part) : 7.787 * part + 16 / 116));
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

/** The steps of utilisation, and the three classes, are told apart by everybody. */
async function toldApart(page, where) {
  const colours = (names) => page.evaluate((names) => {
    const probe = document.body.appendChild(document.createElement("i"));
    const found = names.map((name) => ((probe.style.color = `var(--${name})`), getComputedStyle(probe).color.match(/\d+/g).map(Number)));
    probe.remove();
    return found;
  }, names);
  for (const names of [[0, 1, 2, 3, 4, 5, 6].map((at) => `step${at}`), ["ct0", "ct1", "ct2"]]) {
    const found = await colours(names);
    for (const [eyes, matrix] of Object.entries(EYES))
      found.forEach((one, at) => found.slice(0, at).forEach((two, before) => {
        const [a, b] = [lab(one, matrix), lab(two, matrix)];
        const far = Math.hypot(...a.map((part, of) => part - b[of]));
        assert.ok(far >= APART, `${names[at]} and ${names[before]} are ${far.toFixed(1)} apart to ${eyes} eyes ${where}`);
      }));
  }
}

async function otherLooks(browser) {
  const dark = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "dark" });
  const page = await dark.newPage();
  watch(page);
  for (const view of ["map", "link/kyiv-rome", "what-if", "topologies"]) {
    await page.goto(`${base}/#/${view}?topology=ring`);
    await page.getByText("● live").waitFor();
    await page.locator("main h1, main h2").first().waitFor({ state: "attached" });
    await accessible(page, `${view} in the dark`);
    await screen(page, `dark-${view.split("/")[0]}`);
  }
  const paper = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const inTheDark = await paper();
  await toldApart(page, "in the dark");
  await page.getByRole("button", { name: "Colours: auto. Change to dark" }).click();
  assert.equal(await paper(), inTheDark);
  await page.getByRole("button", { name: "Colours: dark. Change to light" }).click();
  assert.notEqual(await paper(), inTheDark, "light was chosen, and the system is dark");
  await toldApart(page, "in the light");
  await page.reload();
  await page.getByRole("button", { name: "Colours: light. Change to auto" }).waitFor();
  assert.notEqual(await paper(), inTheDark, "the choice is kept");
  await dark.close();
  const phone = await browser.newContext({ viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true });
  const small = await phone.newPage();
  watch(small);
  for (const view of ["map", "link/a-b", "allocations", "what-if", "aggregators", "topologies", "alerts?show=all", "health"]) {
    await small.goto(`${base}/#/${view}${view.includes("?") ? "&" : "?"}topology=full`);
    await small.getByText("● live").waitFor();
    await small.locator("main h1, main h2").first().waitFor({ state: "attached" });
    if (["allocations", "alerts?show=all", "link/a-b"].includes(view)) await small.locator("tbody tr").first().waitFor();
    if (view === "health") await asked(small);
    await screen(small, `phone-${view.split(/[/?]/)[0]}`);
    const wide = await small.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 391, `${view} is ${wide} wide on a phone`);
    const sideways = await small.evaluate(() => [...document.querySelectorAll("main *")].filter((one) => one.scrollWidth > one.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(one).overflowX)).map((one) => one.outerHTML.slice(0, 120)));
    assert.deepEqual(sideways, [], `nothing in ${view} is scrolled sideways on a phone`);
  }
  await phone.close();
}

await start();
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  watch(page);
  const step = async (name, work) => {
    console.log(`  ${name}`);
    try {
      return await work();
    } catch (error) {
      await screen(page, "failed").catch(() => null);
      throw error;
    }
  };
  await step("load, upload a topology", () => loadAndUpload(page));
  const low = await step("admit, and watch the map change", () => admitAndWatch(page));
  const high = await step("preempt, and see the victim", () => preemptAndSee(page, low));
  await step("ask what if", () => whatIf(page));
  const id = await step("request on the map", () => requestOnTheMap(page));
  await step("search", () => search(page, id));
  assert.ok((await call("DELETE", `/v1/allocations/${id}`)).status < 300);
  await step("move and drain many", () => many(page));
  await step("drain a link", () => drain(page));
  await step("change, release, be denied", () => releaseAndChange(page, high));
  await step("change the model", () => changeModel(page));
  await step("aggregators", async () => {
    await page.goto(`${base}/#/aggregators?topology=ring`);
    await page.getByRole("heading", { name: "No aggregator has reported yet" }).waitFor();
    await screen(page, "aggregators");
    await accessible(page, "aggregators");
    await figureSix(page);
  });
  await step("a large network", () => large(page));
  await step("a full link", () => full(page));
  await step("release many", () => bulk(page));
  await step("addresses", () => addresses(browser));
  await step("keys alone", () => byKeys(page));
  await step("other sites", () => refuseForeigners(browser));
  await step("in the dark, on a phone", () => otherLooks(browser));
  await step("drop the server, and recover", () => dropAndRecover(page));
  assert.deepEqual(complaints, [], "no error in the console");
} finally {
  await browser.close();
  await drop().catch(() => null);
}
