// Books for a night to come in the dashboard, sees it on the calendar, and is told when there is room, in Debian's Chromium.
// Started by dashboard.rs.
import assert from "node:assert/strict";
import { accessible, base, call, drive, screen } from "./browser.mjs";

const NET = { nodes: ["oslo", "rome"].map((id) => ({ id })), links: [{ id: "oslo-rome", from: "oslo", to: "rome", capacity_bps: 1e9 }] };

/** The day after tomorrow: never today and within a week, whenever this begins, and the same beyond midnight. */
const day = new Date();
day.setDate(day.getDate() + 2);

/** An hour of that day, as the clock on the wall has it. */
function dayAt(hour) {
  const two = (number) => String(number).padStart(2, "0");
  return `${day.getFullYear()}-${two(day.getMonth() + 1)}-${two(day.getDate())}T${two(hour)}:00`;
}

async function book(page) {
  await page.goto(`${base}/#/what-if?topology=net`);
  await page.getByText("● live").waitFor();
  await page.getByLabel("Bandwidth").fill("800M");
  await page.getByLabel("Starts").fill(dayAt(2));
  await page.getByLabel("Ends").fill(dayAt(4));
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await page.getByRole("button", { name: "Ask for it for real" }).click();
  await page.getByText(/^Booked: allocation \d+, from \d{4}-\d\d-\d\d 02:00:00 on\.$/).waitFor();
  await page.getByRole("heading", { name: /^Allocation \d+/ }).getByText("scheduled").waitFor();
  await accessible(page, "a scheduled allocation");
}

async function timeline(page) {
  await page.locator("main").focus();
  await page.keyboard.press("g");
  await page.keyboard.press("c");
  await page.getByRole("heading", { name: "Calendar" }).waitFor();
  const row = page.getByRole("list", { name: "Bookings" }).getByRole("listitem");
  assert.match(await row.innerText(), /oslo → rome, CT2, 800 Mbit\/s[^]*02:00:00 to \d{4}-\d\d-\d\d 04:00:00/);
  const bar = await row.locator("svg rect").evaluate((rect) => [rect.x.baseVal.value, rect.width.baseVal.value]);
  assert.ok(bar[0] > 0 && bar[0] + bar[1] <= 1_000 && Math.abs(bar[1] - 12) <= 1, `two of 168 hours: ${bar}`);
  await accessible(page, "the calendar");
  await screen(page, "calendar");
}

/** Two hours become three. */
async function extend(page) {
  const row = page.getByRole("list", { name: "Bookings" }).getByRole("listitem");
  await row.getByRole("link").first().click();
  await page.getByRole("button", { name: "Change …" }).click();
  await page.getByLabel("Ends").fill(dayAt(5));
  await page.getByRole("button", { name: "What would happen?" }).click();
  await page.getByText("No other allocation would be touched.").waitFor();
  await accessible(page, "a change of an end");
  await page.getByRole("button", { name: "Change", exact: true }).click();
  await page.getByText(/has 800 Mbit\/s until \d{4}-\d\d-\d\d 05:00:00\.$/).waitFor();
  const [booking] = (await call("GET", "/v1/allocations?state=scheduled")).body.items;
  assert.equal((await call("PATCH", `/v1/allocations/${booking.id}`, { duration_ms: 7_200_000 })).status, 200);
}

/** What is full that night may be had after it. */
async function later(page) {
  await page.goto(`${base}/#/map?topology=net&ingress=oslo&egress=rome&class_type=2&bandwidth=500M&starts=${dayAt(3)}&ends=${dayAt(5)}`);
  await page.getByRole("button", { name: "When could I have it?" }).click();
  const offer = page.getByRole("button", { name: / 04:00:00$/ });
  await offer.waitFor();
  await accessible(page, "times that are offered");
  await offer.click();
  await page.getByText("● Admitted").waitFor();
  assert.equal(await page.getByLabel("Starts").inputValue(), dayAt(4));
  assert.equal(await page.getByLabel("Ends").inputValue(), dayAt(6));
  await screen(page, "offered");
}

/** Maintenance of the only link: the booking on it has no other path, which is said before it is planned. */
async function maintain(page) {
  await page.goto(`${base}/#/calendar?topology=net`);
  await page.getByText("Plan maintenance").click();
  await page.getByLabel("Links").fill("oslo-rome");
  await page.getByLabel("From").fill(dayAt(1));
  await page.getByLabel("Until").fill(dayAt(3));
  await page.getByLabel("Note").fill("splice at km 12");
  await page.getByRole("button", { name: "Try" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText(/could not move/).waitFor();
  await accessible(page, "a plan of maintenance");
  await screen(page, "maintenance");
  await dialog.getByRole("button", { name: "Plan it" }).click();
  const row = page.getByRole("list", { name: "Maintenance" }).getByRole("listitem");
  await row.waitFor();
  assert.match(await row.innerText(), /splice at km 12[^]*oslo-rome[^]*01:00:00 to \d{4}-\d\d-\d\d 03:00:00/);
  await accessible(page, "a calendar with maintenance");
  await screen(page, "calendar-maintenance");
  await row.getByRole("button", { name: "Call off" }).click();
  await row.waitFor({ state: "detached" });
}

/** Opened by its address alone, it asks nothing before it knows of which topology. */
async function openedByItself(browser) {
  const page = await browser.newPage();
  const refused = [];
  page.on("response", (response) => response.status() >= 400 && refused.push(response.url()));
  await page.goto(`${base}/#/calendar`);
  await page.getByRole("list", { name: "Bookings" }).waitFor();
  assert.deepEqual(refused, []);
  await page.close();
}

async function onAPhone(browser) {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, colorScheme: "dark" });
  const page = await context.newPage();
  await page.goto(`${base}/#/calendar?topology=net`);
  await page.getByRole("list", { name: "Bookings" }).waitFor();
  await accessible(page, "the calendar in the dark");
  await screen(page, "phone-calendar");
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 391, "the calendar fits a phone");
  await context.close();
}

await drive(async (page, browser) => {
  assert.equal((await call("PUT", "/v1/topologies/net", NET)).status, 201);
  console.log("  a night from two to four");
  await book(page);
  console.log("  the calendar");
  await timeline(page);
  console.log("  an hour more");
  await extend(page);
  console.log("  maintenance");
  await maintain(page);
  console.log("  when there is room");
  await later(page);
  console.log("  opened by itself");
  await openedByItself(browser);
  console.log("  on a phone");
  await onAPhone(browser);
});
