// Looks at the past in the dashboard, of which dashboard.rs has made two days, in Debian's Chromium: a link's history, the map
// as it was, and the events since.
import assert from "node:assert/strict";
import { accessible, base, drive, screen } from "./browser.mjs";

const HOUR_MS = 3_600_000;
/** So many steps of five minutes are a day. */
const DAY = 288;

/** A link over a day, a week and a month, chosen by keys. */
async function history(page) {
  await page.goto(`${base}/#/link/oslo-rome?topology=net`);
  const most = page.getByText(/^The most was 700 Mbit\/s/);
  await most.waitFor();
  assert.match(await most.innerText(), /Each value is the mean of 5 minutes/);
  await page.getByRole("img", { name: "Reserved on oslo-rome over time, by class" }).waitFor();
  await accessible(page, "the history of a link");
  await screen(page, "link-history");
  const week = page.getByRole("button", { name: "A week" });
  await week.focus();
  await page.keyboard.press("Enter");
  await page.getByText("the mean of 15 minutes").waitFor();
  assert.equal(await week.getAttribute("aria-pressed"), "true");
  assert.match(page.url(), /span=week/);
  await screen(page, "link-history-week");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByText("the mean of 60 minutes").waitFor();
}

const busiest = (page) => page.getByRole("region", { name: "Busiest links" }).or(page.locator("table")).first().locator("tbody tr").first();

/** The map as it was, by the slider, by keys and by the address. */
async function scrub(page) {
  await page.goto(`${base}/#/map?topology=net`);
  const slider = page.getByRole("slider", { name: "Show the map as it was" });
  await slider.waitFor();
  await page.getByRole("heading", { name: "Now", exact: true }).waitFor();
  await page.getByText("1 link is not in service").or(page.getByText("2 links are not in service")).first().waitFor();
  // Seven hours ago there was one allocation, of 400 Mbit/s.
  await slider.fill(String(DAY - 7 * 12));
  await page.getByRole("heading", { name: /^The past: / }).waitFor();
  await page.getByText(/Busiest: oslo-rome at 40 %/).or(page.locator(".headline").getByText("40 %")).first().waitFor();
  assert.match(page.url(), /at=/);
  assert.equal(await page.getByText("not in service").count(), 0);
  const row = await busiest(page).innerText();
  assert.match(row, /oslo-rome[^]*40 %[^]*CT0/);
  await page.getByRole("heading", { name: /^Since then: 3 events/ }).waitFor();
  const told = await page.locator("aside .feed").first().innerText();
  assert.match(told, /oslo-bonn[^]*down[^]*released[^]*admitted/);
  await accessible(page, "the map as it was");
  await screen(page, "past");
  // The address says which instant.
  await page.reload();
  await page.locator(".headline").getByText("40 %").waitFor();
  // A day and a half ago nothing was reserved: the week has it.
  await page.getByRole("button", { name: "A week" }).click();
  await slider.fill(String(336 - 3 * 24));
  await page.getByText("Nothing is reserved.").waitFor();
  assert.match(await page.getByRole("heading", { name: /^The past/ }).innerText(), /\d{4}-\d\d-\d\d \d\d:\d\d/);
  // Before the oldest sample nothing is known, and the oldest is offered.
  await slider.fill("0");
  await page.getByText("Nothing is known of that time").waitFor();
  await page.getByRole("button", { name: /^Show the oldest/ }).click();
  await page.getByText("Nothing is reserved.").waitFor();
  await page.getByRole("link", { name: "All events" }).click();
  await page.getByRole("heading", { name: "Events" }).waitFor();
  const first = await page.locator(".feed li").first().innerText();
  assert.match(first, /down/);
  await accessible(page, "events");
  await screen(page, "events");
  await page.goBack();
  await slider.focus();
  await page.keyboard.press("End");
  await page.getByRole("heading", { name: "Now", exact: true }).waitFor();
  assert.doesNotMatch(page.url(), /at=/);
  await page.goto(`${base}/#/map?topology=net&at=${new Date(Date.now() - 7 * HOUR_MS).toISOString()}`);
  await page.getByRole("button", { name: "Back to now" }).click();
  await page.getByRole("heading", { name: "Now", exact: true }).waitFor();
}

await drive(async (page) => {
  console.log("  the history of a link");
  await history(page);
  console.log("  the map as it was");
  await scrub(page);
});
