// The walk of a newcomer, in the network of `watermaster demo` and in one of the size of Kdl (754 nodes, 1,798 links) with 5,000
// allocations: the busiest link, what fills it, what a cut of it would do, and 500 Mbit/s booked with protection for tonight; once
// by mouse alone, once by keys alone. Steps are counted and printed. Started by dashboard.rs.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { base as served, drive, screen } from "./browser.mjs";

const { PROGRAM } = process.env;
const ALLOCATIONS = 5_000;
const BOOKED_BPS = 5e8;
/** More keys than this for one control, and it cannot be reached in a minute. */
const TABS_MAX = 80;

/** A service, and the topology that is walked in. */
const at = (base, topology) => ({
  topology,
  page: (view) => `${base}/#/${view}?topology=${topology}`,
  async call(method, path, body) {
    const response = await fetch(base + path, { method, headers: { "content-type": "application/json" }, body: body && JSON.stringify(body) });
    const text = await response.text();
    return { status: response.status, body: text ? JSON.parse(text) : null };
  },
});

/** 26 rows of 29 nodes along one line that turns at the end of each row, with 146 links between rows: every node has two ways. */
async function large(place) {
  const [columns, rows] = [29, 26];
  const name = (row, column) => `n${row * columns + (row % 2 ? columns - 1 - column : column)}`;
  const nodes = [];
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const shift = (seed) => (((row * 31 + column * 17) * seed) % 11) / 25;
      nodes.push({ id: name(row, column), latitude: 30 + row * 0.7 + shift(3), longitude: -100 + column + shift(7) });
    }
  const links = Array.from({ length: columns * rows - 1 }, (_, at) => [`n${at}`, `n${at + 1}`]);
  const ladder = [];
  for (let row = 0; row + 1 < rows; row++)
    for (let column = 0; column < columns; column++)
      // Where the line turns there is a link already.
      if (column !== (row % 2 ? 0 : columns - 1)) ladder.push([name(row, column), name(row + 1, column)]);
  // Evenly, the first of all among them, and the one that gives the last node its second way.
  const last = ladder.findIndex(([, to]) => to === `n${columns * rows - 1}`);
  const others = ladder.filter((_, at) => at !== last);
  const count = (at) => Math.floor((at * 145) / others.length);
  links.push(...others.filter((_, at) => count(at) !== count(at - 1)), ladder[last]);
  const put = await place.call("PUT", `/v1/topologies/${place.topology}`, { nodes, links: links.map(([from, to], at) => ({ id: `l${at}`, from, to, capacity_bps: 1e10, bidirectional: true })) });
  assert.equal(put.status, 201, JSON.stringify(put.body));
  assert.deepEqual([put.body.nodes, put.body.links], [754, 1_798]);
  const request = (at) => ({ topology: place.topology, ingress: `n${(at * 37) % 754}`, egress: `n${(at * 37 + 1 + ((at * 101) % 60)) % 754}`, class_type: at % 3, bandwidth_bps: 1e6 * (5 + (at % 20)) });
  for (let begun = 0; begun < ALLOCATIONS; begun += 500) {
    const requests = Array.from({ length: 500 }, (_, at) => request(begun + at));
    const { status, body } = await place.call("POST", "/v1/allocations/batch", { requests, atomic: true });
    assert.equal(status, 200, JSON.stringify(body).slice(0, 400));
  }
}

async function demo() {
  const folder = mkdtempSync(join(tmpdir(), "watermaster-walk-"));
  const process_ = spawn(PROGRAM, ["demo", "--fast", "--stay", "--listen", "127.0.0.1:0", "--out", join(folder, "figure.svg")], { stdio: ["ignore", "pipe", "inherit"] });
  let told = "";
  process_.stdout.on("data", (chunk) => (told += chunk));
  const found = await new Promise((resolve, reject) => {
    process_.on("exit", (code) => reject(new Error(`the demo ended with ${code}: ${told}`)));
    process_.stdout.on("data", () => {
      const said = /open {2}(http:\/\/[0-9.:]+)\//.exec(told);
      // The backbone is filled then.
      if (said && told.includes("Three aggregators report")) resolve(said[1]);
    });
  });
  process_.removeAllListeners("exit");
  const stop = async () => {
    const gone = new Promise((resolve) => process_.once("exit", resolve));
    process_.kill("SIGINT");
    await gone;
    rmSync(folder, { recursive: true, force: true });
  };
  return { base: found, stop };
}

/** A hand that only has a mouse. The list of a choice is the system's, beyond the page: opening it and choosing are two clicks. */
function mouse(page) {
  const hand = {
    steps: 0,
    async click(locator) {
      await locator.click();
      hand.steps += 1;
    },
    async clickAt({ x, y }) {
      await page.mouse.click(x, y);
      hand.steps += 1;
    },
    async choose(locator, value) {
      await locator.selectOption(value);
      hand.steps += 2;
    },
  };
  return hand;
}

/** One that only has keys. */
function keys(page) {
  const hand = {
    steps: 0,
    async press(key) {
      await page.keyboard.press(key);
      hand.steps += 1;
    },
    async type(text) {
      await page.keyboard.type(text);
      hand.steps += text.length;
    },
    /** Goes on with Tab until something has the focus. */
    async to(locator) {
      for (let tries = 0; tries < TABS_MAX; tries++) {
        if (await locator.evaluate((element) => element === document.activeElement)) return;
        await hand.press("Tab");
      }
      throw new Error(`${locator} is not reached within ${TABS_MAX} keys`);
    },
  };
  return hand;
}

/** What the server says of the links, the busiest first. */
async function busiest(place) {
  const { body } = await place.call("GET", `/v1/topologies/${place.topology}/links?sort=-utilisation_ppm&limit=1&fields=link,utilisation_ppm`);
  return body.items[0];
}

/** The link view: what fills it, the largest first, and what a cut would do, which is shown and does not happen. */
async function lookAtLink(page, place, link, cut) {
  await page.getByRole("heading", { name: link }).first().waitFor();
  const { body } = await place.call("GET", `/v1/allocations?topology=${place.topology}&link=${encodeURIComponent(link)}&sort=-bandwidth_bps&limit=1`);
  const first = page.getByRole("table", { name: "Allocations on the link" }).locator("tbody tr").first();
  await first.waitFor();
  assert.ok((await first.innerText()).includes(body.items[0].id), "the largest is the first");
  const before = (await place.call("GET", `/v1/topologies/${place.topology}/links/${encodeURIComponent(link)}`)).body.state;
  await cut();
  await page.getByRole("heading", { name: /^Take it down: / }).waitFor();
  const would = (await place.call("PATCH", `/v1/topologies/${place.topology}/links/${encodeURIComponent(link)}?dry_run=true`, { state: "down" })).body;
  assert.ok(would.victims.length, "a cut of the busiest link moves or ends some");
  const outcome = would.victims[0].outcome === "failed" ? "would fail" : `would be ${would.victims[0].outcome}`;
  await page.getByText(new RegExp(outcome)).first().waitFor();
  assert.equal((await place.call("GET", `/v1/topologies/${place.topology}/links/${encodeURIComponent(link)}`)).body.state, before, "nothing is cut by looking");
}

/** What was booked, as the server has it. */
async function isBooked(page, place, ends) {
  await page.getByRole("heading", { name: /^Allocation \d+/ }).getByText("scheduled").waitFor();
  const id = /allocations\/(\d+)/.exec(page.url())[1];
  const { body } = await place.call("GET", `/v1/allocations/${id}`);
  assert.deepEqual([body.ingress, body.egress, body.bandwidth_bps, body.state, body.protection?.kind], [...ends, BOOKED_BPS, "scheduled", "dedicated"]);
  assert.ok(body.path.length && body.backup_path?.length && !body.path.some((link) => body.backup_path.includes(link)));
  const [starts, until] = [Date.parse(body.starts_at), Date.parse(body.expires_at)];
  assert.ok(starts > Date.now() && until > starts && until - Date.now() < 36 * 3_600_000, `${body.starts_at} to ${body.expires_at}`);
  assert.equal((await place.call("DELETE", `/v1/allocations/${id}`)).status, 204);
}

/** Sends what was previewed; where others would lose by it, that is asked first. */
async function send(page, act) {
  await act(page.getByRole("button", { name: "Ask for it for real" }));
  const dialog = page.getByRole("button", { name: "Ask for it all the same" });
  await dialog.or(page.getByRole("heading", { name: /^Allocation \d+/ })).first().waitFor();
  if (await dialog.isVisible()) await act(dialog);
}

/** Where a node is on the map that shows everything. */
async function nodeAt(page, place, node) {
  const { body } = await place.call("GET", `/v1/topologies/${place.topology}/layout`);
  const box = await page.locator(".map canvas").boundingBox();
  const k = Math.min((box.width - 180) / body.width, (box.height - 80) / body.height);
  const spot = body.nodes.find((one) => one.node === node);
  return { x: box.x + (box.width - body.width * k) / 2 + spot.x * k, y: box.y + (box.height - body.height * k) / 2 + spot.y * k };
}

async function byMouse(page, place, ends) {
  const hand = mouse(page);
  await page.goto(place.page("map"));
  await page.getByText("● live").waitFor();
  const { link } = await busiest(place);
  await hand.click(page.getByText(/^Busiest:/).getByRole("link", { name: link, exact: true }));
  await lookAtLink(page, place, link, () => hand.click(page.getByRole("button", { name: "Take it down …" })));
  await screen(page, `walk-${place.topology}-cut`);
  await hand.click(page.getByRole("link", { name: "Map", exact: true }));
  await page.locator(".map canvas").waitFor();
  for (const [which, node] of ends.entries()) {
    await hand.clickAt(await nodeAt(page, place, node));
    await page.getByRole("heading", { name: which ? "A request" : `From ${node}` }).waitFor();
  }
  const panel = page.getByRole("region", { name: "A request between two nodes" });
  assert.equal(await panel.getByLabel("Bandwidth", { exact: true }).first().inputValue(), "500M");
  await hand.choose(panel.getByLabel("Protect"), "link");
  await hand.click(panel.getByRole("button", { name: "Tonight" }));
  await panel.getByText("Backup path:").waitFor();
  await page.screenshot({ path: join(process.env.SCREENS, `walk-${place.topology}-request.png`) });
  await send(page, (button) => hand.click(button));
  await isBooked(page, place, ends);
  return hand.steps;
}

async function byKeys(page, place, ends) {
  const hand = keys(page);
  await page.goto(place.page("map"));
  await page.getByText("● live").waitFor();
  await page.locator(".map canvas").waitFor();
  const { link } = await busiest(place);
  await hand.to(page.locator(".map"));
  await hand.press("n");
  const tip = page.locator(".tip");
  await tip.waitFor();
  assert.ok((await tip.innerText()).startsWith(link), `${link} is the first`);
  await hand.press("Enter");
  await lookAtLink(page, place, link, async () => {
    await hand.to(page.getByRole("button", { name: "Take it down …" }));
    await hand.press("Enter");
  });
  await hand.press("g");
  await hand.press("w");
  const main = page.locator("main");
  await page.getByRole("heading", { name: "What if …" }).waitFor();
  for (const [title, node] of [["From", ends[0]], ["To", ends[1]]]) {
    const field = main.getByLabel(new RegExp(`^${title}`)).first();
    await hand.to(field);
    await hand.type(node);
    assert.equal(await field.inputValue(), node);
  }
  await hand.to(main.getByLabel("Protect"));
  await hand.press("ArrowDown");
  assert.equal(await main.getByLabel("Protect").inputValue(), "link");
  for (const name of ["Tonight", "Ask"]) {
    await hand.to(main.getByRole("button", { name, exact: true }));
    await hand.press("Enter");
  }
  await main.getByText("Backup path:").first().waitFor();
  await send(page, async (button) => {
    await hand.to(button);
    await hand.press("Enter");
  });
  await isBooked(page, place, ends);
  return hand.steps;
}

await drive(async (page) => {
  page.setDefaultTimeout(60_000);
  const walk = async (what, place, ends) => {
    console.log(`  ${what}: ${await byMouse(page, place, ends)} steps by mouse`);
    console.log(`  ${what}: ${await byKeys(page, place, ends)} steps by keys`);
  };
  const shown = await demo();
  try {
    await walk("the demo", at(shown.base, "nsfnet"), ["WA", "NJ"]);
  } finally {
    await shown.stop();
  }
  const kdl = at(served, "kdl-like");
  await large(kdl);
  await walk("754 nodes, 1,798 links, 5,000 allocations", kdl, ["n40", "n400"]);
});
