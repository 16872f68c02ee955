// Looks at a plan in the dashboard and applies it, has failures studied, and commits what is held, in Debian's Chromium.
// Started by dashboard.rs.
import assert from "node:assert/strict";
import { accessible, base, call, drive, screen } from "./browser.mjs";

async function admit(more) {
  const { status, body } = await call("POST", "/v1/allocations", { topology: "square", ingress: "oslo", egress: "rome", class_type: 0, ...more });
  assert.equal(status, 201, JSON.stringify(body));
  return body.id;
}

/** Two ways from Oslo to Rome; Malta hangs on one link alone. */
const link = (from, to) => ({ id: `${from}-${to}`, from, to, capacity_bps: 1e9, bidirectional: true });
const SQUARE = { nodes: ["oslo", "kyiv", "bern", "rome", "malta"].map((id) => ({ id })), links: [link("oslo", "kyiv"), link("kyiv", "rome"), link("oslo", "bern"), link("bern", "rome"), link("rome", "malta")] };

/** Out of service, Bern's link sends everybody by Kyiv; back in service, it is empty. */
const bern = (state) => call("PATCH", "/v1/topologies/square/links/oslo-bern", { state });

/** No serious fault of accessibility in what is shown. */
/** A plan is asked for and looked at by keys; applied after a question; and refused once the network is another. */
async function plan(page, moved) {
  await page.goto(`${base}/#/map?topology=square`);
  await page.getByText("● live").waitFor();
  await page.locator("main").focus();
  await page.keyboard.press("g");
  await page.keyboard.press("p");
  await page.getByRole("heading", { name: "Moves that empty the fullest link" }).waitFor();
  await page.getByRole("spinbutton", { name: "Most moves" }).fill("5");
  await page.keyboard.press("Enter");
  await page.getByText(/^The fullest link would go from 80 % to 40 %/).waitFor();
  await page.getByText(/^No routing of this traffic could go below (39\.9|40) %/).waitFor();
  await page.waitForURL(/max_moves=5/);
  const moves = page.getByRole("table", { name: "Moves" });
  assert.match(await moves.innerText(), /east\s+ACME\s+400 Mbit\/s[^]*40 %/);
  const bar = () => page.getByRole("table", { name: "Links before and after" }).getByRole("row", { name: /^oslo-kyiv / }).innerText();
  assert.match(await bar(), /80 %\s+80 %\s+40 %/);
  await page.getByRole("slider", { name: "From before to after" }).focus();
  await page.keyboard.press("End");
  assert.match(await bar(), /40 %\s+80 %\s+40 %/, "the bar follows the slider");
  const light = page.getByRole("button", { name: "Light the moves on the map" });
  await light.press("Enter");
  assert.equal(await light.getAttribute("aria-pressed"), "true");
  await screen(page, "plan");
  await accessible(page, "a plan");
  const before = (await call("GET", "/readyz")).body.sequence;
  await page.getByRole("button", { name: "Apply …" }).click();
  await page.getByRole("dialog").getByRole("heading", { name: "Move 1 allocation in square?" }).waitFor();
  await accessible(page, "the question before a plan is applied");
  assert.equal((await call("GET", "/readyz")).body.sequence, before, "nothing moves unasked");
  await page.getByRole("dialog").getByRole("button", { name: "Move it" }).click();
  await page.getByText("1 allocation moved: the fullest link goes from 80 % to 40 %.").waitFor();
  await page.getByText("● Applied: 1 allocation moved.").waitFor();
  const paths = await Promise.all(moved.map(async (id) => (await call("GET", `/v1/allocations/${id}`)).body.path[0]));
  assert.deepEqual(paths.sort(), ["oslo-bern", "oslo-kyiv"]);
}

/** A plan that the network has left behind is refused in the server's words, nothing is moved, and another is made. */
async function stale(page) {
  await bern("maintenance");
  await bern("up");
  await page.getByRole("button", { name: "Plan", exact: true }).click();
  await page.getByRole("button", { name: "Apply …" }).waitFor();
  await bern("maintenance");
  await page.getByRole("button", { name: "Apply …" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Move it" }).click();
  await page.getByRole("alert").waitFor();
  await page.getByText(/^Move 1, allocation \d+ \(east, ACME\), cannot be made any more\. Nothing was moved\./).waitFor();
  await screen(page, "plan-refused");
  await accessible(page, "a refused plan");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText(/^No move would make the fullest link emptier than 80 %/).waitFor();
  await bern("up");
}

/** The same by another objective, and its only move as a step of its own. */
async function steps(page) {
  await page.getByLabel("Better").selectOption("max_min");
  await page.getByRole("heading", { name: "Moves that leave the most free everywhere" }).waitFor();
  await page.waitForURL(/objective=max_min/);
  await page.getByRole("button", { name: "Plan", exact: true }).click();
  await page.getByText(/^The least free bandwidth of a link would go from 200 Mbit\/s to 600 Mbit\/s/).waitFor();
  await accessible(page, "a plan by another objective");
  await page.getByRole("button", { name: "Apply next step" }).click();
  await page.getByText("● Applied: 1 allocation moved.").waitFor();
  assert.match(await page.getByRole("table", { name: "Moves" }).innerText(), /● 1/);
  await screen(page, "plan-step");
  await bern("maintenance");
  await bern("up");
}

/** What was denied lately is filled in; a plan moves one away, and admits it. */
async function admitAll(page) {
  for (const id of (await call("GET", "/v1/allocations?topology=square&state=active")).body.items.map((one) => one.id)) await call("DELETE", `/v1/allocations/${id}`);
  for (const by of ["kyiv", "bern"]) {
    const id = await admit({ bandwidth_bps: 4e8, constraints: { route: [{ link: `oslo-${by}` }, { link: by === "kyiv" ? "kyiv-rome" : "bern-rome" }] } });
    assert.equal((await call("PATCH", `/v1/allocations/${id}`, { constraints: {} })).status, 200);
  }
  const asked = { topology: "square", ingress: "oslo", egress: "rome", class_type: 0, bandwidth_bps: 9e8 };
  assert.equal((await call("POST", "/v1/allocations", { ...asked, relocation: { max_moves: 0 } })).status, 409);
  await page.getByLabel("Better").selectOption("admit_all");
  await page.getByRole("heading", { name: "Moves that make room for requests" }).waitFor();
  await page.getByText("Write 1 to 100 requests, one a line.").waitFor();
  const box = page.getByRole("textbox", { name: /^Requests, one a line/ });
  await box.fill("oslo, nowhere, 600M, 0");
  await page.getByText("Line 1: there is no node nowhere.").waitFor();
  assert.ok(await page.getByRole("button", { name: "Plan", exact: true }).isDisabled());
  await page.getByRole("button", { name: /^Fill in what was denied lately/ }).click();
  assert.match(await box.inputValue(), /oslo, rome, 900000000, 0$/);
  await box.fill("oslo, rome, 900M, CT0");
  await page.getByRole("button", { name: "Plan", exact: true }).click();
  await page.getByText(/^What is admitted of the requests would go from 0 bit\/s to 900 Mbit\/s/).waitFor();
  await page.getByText("by 1 move and 1 admission.").waitFor();
  await accessible(page, "a plan for requests");
  await screen(page, "plan-admit");
  await page.getByRole("button", { name: "Apply …" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Make them" }).click();
  await page.getByText("● Applied: 1 allocation moved, 1 request admitted.").waitFor();
  const { items } = (await call("GET", "/v1/allocations?topology=square&state=active&sort=-bandwidth_bps")).body;
  assert.deepEqual(items.map((one) => one.bandwidth_bps), [9e8, 4e8, 4e8]);
  for (const { id } of items) await call("DELETE", `/v1/allocations/${id}`);
  await admit({ bandwidth_bps: 4e8, name: "east", customer: "ACME" });
  await admit({ bandwidth_bps: 4e8, name: "east", customer: "ACME" });
}

async function failures(page) {
  await page.getByRole("link", { name: "Failures", exact: true }).click();
  await page.getByRole("heading", { name: "What failures would take with them" }).waitFor();
  await page.getByRole("button", { name: "Study" }).click();
  await page.getByText("1 failure of a link would lose allocations, of 5 studied.").waitFor();
  const worst = page.getByRole("table", { name: "Failures" }).locator("tbody tr");
  assert.match(await worst.first().innerText(), /rome-malta\s+1\s+300 Mbit\/s\s+\d+ \(island, Fjord Power\), 300 Mbit\/s/);
  const row = page.getByRole("table", { name: "Each link's worst case" }).getByRole("row", { name: /^oslo-bern / });
  assert.match(await row.innerText(), /0 %\s+80 %\s+oslo-kyiv/);
  await screen(page, "failures");
  await accessible(page, "a failure study");
  await page.getByRole("button", { name: "Kept" }).click();
  await page.waitForURL(/sort-failures=-Kept/);
  await page.getByLabel("Fails").selectOption("nodes");
  await page.getByLabel("when traffic has grown by").fill("200");
  await page.getByRole("button", { name: "Study" }).click();
  await page.getByText(/could not grow by 200 %, before anything fails/).waitFor();
  await page.waitForURL(/growth=200/);
  assert.match(page.url(), /scenarios=nodes/);
  await accessible(page, "a failure study with growth");
  await row.getByRole("link", { name: "oslo-bern", exact: true }).click();
  await page.getByRole("heading", { name: "oslo-bern" }).waitFor();
}

async function commit(page, held) {
  await page.goto(`${base}/#/allocations?topology=square&tenant=fjord`);
  const row = page.getByRole("table", { name: "Allocations" }).locator("tbody tr");
  await row.first().waitFor();
  assert.equal(await row.count(), 2, "those of the tenant alone");
  assert.match(await row.last().innerText(), /fjord[^]*held\s+until \d/);
  await accessible(page, "held allocations");
  await screen(page, "held");
  await page.goto(`${base}/#/allocations/${held[1]}?topology=square`);
  await page.getByText("Held until").waitFor();
  await accessible(page, "a held allocation");
  await page.getByRole("button", { name: `Commit ${held[1]}` }).click();
  await page.getByText(`Allocation ${held[1]} is committed.`).waitFor();
  await page.getByRole("heading", { name: `Allocation ${held[1]}` }).getByText("active").waitFor();
  await page.getByRole("link", { name: "fjord" }).click();
  await page.getByRole("button", { name: `Commit ${held[0]}` }).click();
  await page.getByText(`Allocation ${held[0]} is committed.`).waitFor();
  await page.getByRole("button", { name: /^Commit/ }).waitFor({ state: "detached" });
  for (const id of held) assert.equal((await call("GET", `/v1/allocations/${id}`)).body.state, "active");
}

async function onAPhone(browser) {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, colorScheme: "dark" });
  const page = await context.newPage();
  for (const [view, button] of [["moves", "Plan"], ["failures", "Study"]]) {
    await page.goto(`${base}/#/plans/${view}?topology=square`);
    await page.getByRole("button", { name: button, exact: true }).click();
    await page.locator("main .verdict").waitFor();
    await accessible(page, `${view} in the dark`);
    await screen(page, `phone-${view}`);
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 391, `${view} fits a phone`);
  }
  await context.close();
}

await drive(async (page, browser) => {
  assert.equal((await call("PUT", "/v1/topologies/square", SQUARE)).status, 201);
  assert.equal((await call("PUT", "/v1/tenants/fjord", { quotas: [] })).status, 201);
  await bern("maintenance");
  const both = [await admit({ bandwidth_bps: 4e8, name: "east", customer: "ACME" }), await admit({ bandwidth_bps: 4e8, name: "east", customer: "ACME" })];
  await bern("up");
  console.log("  a plan");
  await plan(page, both);
  console.log("  a plan that is too old");
  await stale(page);
  console.log("  a plan step by step");
  await steps(page);
  console.log("  a plan that makes room for requests");
  await admitAll(page);
  await admit({ bandwidth_bps: 3e8, ingress: "rome", egress: "malta", name: "island", customer: "Fjord Power" });
  console.log("  a failure study");
  await failures(page);
  const held = [await admit({ bandwidth_bps: 1e6, tenant: "fjord", hold_ms: 600_000 }), await admit({ bandwidth_bps: 1e6, tenant: "fjord", hold_ms: 600_000 })];
  console.log("  held allocations");
  await commit(page, held);
  console.log("  on a phone");
  await onAPhone(browser);
});
