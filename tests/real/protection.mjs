// Asks for a backup path in the dashboard, cuts the working path, and finds who is unprotected, in Debian's Chromium. Started by
// dashboard.rs.
import assert from "node:assert/strict";
import { accessible, base, call, drive, screen } from "./browser.mjs";

const both = (id, from, to) => ({ id, from, to, capacity_bps: 1e9, bidirectional: true });
const NET = {
  nodes: [["oslo", 10.7, 59.9], ["rome", 12.5, 41.9], ["bonn", 7.1, 50.7]].map(([id, longitude, latitude]) => ({ id, longitude, latitude })),
  links: [both("oslo-rome", "oslo", "rome"), both("oslo-bonn", "oslo", "bonn"), both("bonn-rome", "bonn", "rome")],
};

async function askFor(page) {
  await page.goto(`${base}/#/what-if?topology=net&ingress=oslo&egress=rome`);
  await page.getByText("● live").waitFor();
  await page.getByLabel("Protect").selectOption("node");
  await page.getByLabel("Backup").selectOption("shared");
  await page.getByLabel("Backup").selectOption("");
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await page.getByText("Backup path:").first().waitFor();
  await accessible(page, "a protected request");
  await screen(page, "protected-what-if");
  await page.getByRole("button", { name: "Ask for it for real" }).click();
  await page.getByRole("heading", { name: /^Allocation \d+/ }).waitFor();
  const shown = await page.locator("dl").innerText();
  assert.match(shown, /Working path\s+.*oslo-rome[^]*Backup path\s+.*oslo-bonn[^]*bonn-rome[^]*no shared link or node, traffic returns/);
  await screen(page, "protected");
}

/** After a cut it is in force on the other path, and on the lists of those without one. */
async function cut(page) {
  assert.equal((await call("PATCH", "/v1/topologies/net/links/oslo-rome", { state: "down" })).status, 200);
  await page.getByText("▲ unprotected").first().waitFor();
  assert.match(await page.locator("dl").innerText(), /Returns to\s+.*oslo-rome/);
  await accessible(page, "an unprotected allocation");
  await screen(page, "unprotected");
  await page.goto(`${base}/#/alerts?topology=net`);
  const alert = page.getByRole("link", { name: "1 allocation without the backup path asked for" });
  await alert.waitFor();
  await screen(page, "unprotected-alert");
  await alert.click();
  await page.getByRole("row").filter({ hasText: "unprotected" }).waitFor();
  await accessible(page, "the list of those unprotected");
  await screen(page, "unprotected-list");
}

await drive(async (page) => {
  assert.equal((await call("PUT", "/v1/topologies/net", NET)).status, 201);
  console.log("  a backup path");
  await askFor(page);
  console.log("  a cut");
  await cut(page);
});
