// Signs in at the dashboard of a service that asks who one is, in Debian's Chromium, and looks at what a viewer is offered.
// Started by dashboard.rs.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { serve } from "./service.mjs";

const { PROGRAM, DATA, SCREENS, CHROMIUM, ROOT } = process.env;
const { chromium } = createRequire(join(ROOT, "dashboard/package.json"))("playwright-core");

function token(role) {
  const made = spawnSync(PROGRAM, ["token", "create", "--data", DATA, "--role", role, "--name", `a ${role}`], { encoding: "utf8" });
  assert.equal(made.status, 0, made.stderr);
  return made.stdout.trim();
}

const [viewer, engineer] = [token("viewer"), token("engineer")];
const { server, base } = await serve("--authentication", "required");
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
const page = await browser.newPage();
try {
  await page.goto(base);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.screenshot({ path: join(SCREENS, "sign-in.png") });
  const enter = async (secret) => {
    await page.getByLabel("Token").fill(secret);
    await page.keyboard.press("Enter");
  };
  // A wrong one is told, and nothing is shown.
  await enter("wm_wrong");
  await page.getByRole("alert").getByText("not valid").waitFor();
  assert.equal(await page.locator("svg .node, canvas").count(), 0);
  // A viewer sees the network and is offered nothing that the role may not do.
  await enter(viewer);
  await page.getByText("a viewer").waitFor();
  await page.getByText("live", { exact: false }).first().waitFor();
  await page.screenshot({ path: join(SCREENS, "viewer.png") });
  assert.equal(await page.getByRole("navigation").getByText("What-if").count(), 0);
  assert.equal(await page.getByRole("navigation").getByText("Plans").count(), 0);
  await page.goto(`${base}/#/topologies`);
  await page.getByRole("heading", { name: "Topologies" }).waitFor();
  assert.equal(await page.getByText("Choose a file").count(), 0);
  assert.equal(await page.getByRole("button", { name: "Delete nsfnet" }).count(), 0);
  // No script has the token, and no storage.
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
  assert.ok(!kept.includes(viewer), kept);
  // It stays signed in over a reload; signed out, it is asked again.
  await page.reload();
  await page.getByText("a viewer").waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await enter(engineer);
  await page.getByText("an engineer").or(page.getByText("a engineer")).waitFor();
  await page.goto(`${base}/#/topologies`);
  await page.getByText("Choose a file").waitFor();
  await page.getByRole("button", { name: "Delete nsfnet" }).waitFor();
  // A token that is revoked ends the session of a page that is open, which says so.
  const list = spawnSync(PROGRAM, ["token", "list", "--data", DATA], { encoding: "utf8" }).stdout;
  const id = list.split("\n").find((line) => line.includes("a engineer")).split(" ")[0];
  assert.equal(spawnSync(PROGRAM, ["token", "revoke", "--data", DATA, id]).status, 0);
  await page.getByText("Your session is over").waitFor();
} catch (error) {
  await page.screenshot({ path: join(SCREENS, "failed.png") });
  throw error;
} finally {
  await browser.close();
  server.removeAllListeners("exit");
  server.kill("SIGKILL");
}
