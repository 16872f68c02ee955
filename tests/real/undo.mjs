// Releases an allocation in the dashboard and takes it back, in Debian's Chromium. Started by dashboard.rs.
import assert from "node:assert/strict";
import { accessible, base, call, drive, screen } from "./browser.mjs";

const both = (id, from, to) => ({ id, from, to, capacity_bps: 1e9, bidirectional: true });
const NET = {
  nodes: [["oslo", 10.7, 59.9], ["rome", 12.5, 41.9], ["bonn", 7.1, 50.7]].map(([id, longitude, latitude]) => ({ id, longitude, latitude })),
  links: [both("oslo-rome", "oslo", "rome"), both("oslo-bonn", "oslo", "bonn"), both("bonn-rome", "bonn", "rome")],
};
const ASKED = {
  topology: "net", ingress: "oslo", egress: "rome", class_type: 1, bandwidth_bps: 6e8, name: "circuit-7", customer: "Fjord Power", note: "ticket 4711",
  expires_at: "2100-01-01T00:00:00.000Z", constraints: { include: [{ node: "bonn" }], max_hops: 4 }, flow: { ipv4_dst: "10.0.0.1/32" },
};

async function release(page, id) {
  await page.goto(`${base}/#/allocations/${id}?topology=net`);
  await page.getByRole("button", { name: "Release …" }).click();
  await page.getByRole("button", { name: "Release", exact: true }).click();
  await page.getByText(`Allocation ${id} is released.`).waitFor();
}

/** What is the same before and after: everything that was asked for, and the path. */
function asked(one) {
  const { id, created_at, updated_at, state, ...rest } = one;
  return rest;
}

/** A bulk release is taken back as a whole, each on its path; or none of it, and those are named that have no room. */
async function many(page) {
  const small = (bandwidth_bps, egress) => ({ topology: "net", ingress: "oslo", egress, class_type: 0, bandwidth_bps, name: `bulk-${egress}`, constraints: { max_hops: 1 } });
  const requests = [small(3e8, "rome"), small(4e8, "bonn"), small(2e8, "bonn")];
  const before = (await call("POST", "/v1/allocations/batch", { requests, atomic: true })).body.outcomes.map((one) => one.allocation);
  const releaseAll = async (ids) => {
    await page.goto(`${base}/#/allocations?topology=net&state=active&name=bulk*`);
    // The list before them is as long.
    for (const id of ids) await page.getByRole("checkbox", { name: `Choose ${id}`, exact: true }).waitFor();
    await page.getByRole("checkbox", { name: "Choose all that are shown" }).check();
    await page.getByRole("button", { name: "Release 3 chosen …" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Release", exact: true }).click();
    await page.getByText("3 allocations are released: 900 Mbit/s.").waitFor();
  };
  const living = async () => (await call("GET", "/v1/allocations?topology=net&state=active&name=bulk*")).body.items;
  await releaseAll(before.map((one) => one.id));
  assert.deepEqual(await living(), []);
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByText("3 allocations are booked again.").waitFor();
  const same = (one) => JSON.stringify([one.egress, one.bandwidth_bps, one.path, one.constraints]);
  assert.deepEqual((await living()).map(same), before.map(same));
  const ids = (await living()).map((one) => one.id);
  await releaseAll(ids);
  const taken = await call("POST", "/v1/allocations", { ...small(9e8, "bonn"), class_type: 2, name: "other" });
  assert.equal(taken.status, 201);
  await page.getByRole("button", { name: "Undo" }).click();
  const told = page.getByText(/none was booked again/);
  await told.waitFor();
  const text = await told.innerText();
  assert.ok(!text.includes(`Allocation ${ids[0]} `) && text.includes(`Allocation ${ids[1]} cannot`) && text.includes(`Allocation ${ids[2]} cannot`), text);
  assert.deepEqual(await living(), []);
}

await drive(async (page) => {
  assert.equal((await call("PUT", "/v1/topologies/net", NET)).status, 201);
  const { status, body: first } = await call("POST", "/v1/allocations", ASKED);
  assert.equal(status, 201);
  console.log("  a release taken back");
  await release(page, first.id);
  await accessible(page, "a release that can be undone");
  await screen(page, "undo");
  await page.getByRole("button", { name: "Undo" }).click();
  const again = page.getByText(/^It is booked again, as allocation \d+\./);
  await again.waitFor();
  const id = /allocation (\d+)/.exec(await again.innerText())[1];
  const { body: before } = await call("GET", `/v1/allocations/${first.id}`);
  const { body: after } = await call("GET", `/v1/allocations/${id}`);
  assert.equal(after.state, "active");
  const { ended_at, reason, ...released } = asked(before);
  assert.deepEqual(asked(after), released);
  console.log("  room that was taken");
  await release(page, id);
  const other = await call("POST", "/v1/allocations", { topology: "net", ingress: "oslo", egress: "bonn", class_type: 2, bandwidth_bps: 9e8, constraints: { max_hops: 1 } });
  assert.equal(other.status, 201);
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByText(new RegExp(`^Allocation ${id} cannot be booked again`)).waitFor();
  await screen(page, "undo-taken");
  assert.equal((await call("GET", `/v1/allocations/${other.body.id}`)).body.state, "active");
  assert.ok((await call("DELETE", `/v1/allocations/${other.body.id}`)).status < 300);
  console.log("  many releases taken back");
  await many(page);
});
