// Signs in at the dashboard by an OpenID provider, in Debian's Chromium: what the provider is asked, where tokens are and are not,
// and how a session ends. Started by dashboard.rs.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { OAuth2Server } from "oauth2-mock-server";
import { serve } from "../service.mjs";

const { SCREENS, CHROMIUM, ROOT } = process.env;
const { chromium } = createRequire(join(ROOT, "dashboard/package.json"))("playwright-core");

const provider = new OAuth2Server();
await provider.issuer.keys.generate("ES256");
await provider.start(0, "127.0.0.1");
const issuer = provider.issuer.url;

/** What the provider does, and what it was asked. */
const manner = { role: "viewer", endsIn: 600, silent: "knows", nonce: null };
const asked = [];
provider.service.on("beforeAuthorizeRedirect", ({ url }, request) => {
  asked.push(request.query);
  if (request.query.prompt === "none" && manner.silent === "asks") {
    url.searchParams.delete("code");
    url.searchParams.set("error", "login_required");
  }
});
const issued = [];
provider.service.on("beforeTokenSigning", (token) => {
  const now = Math.floor(Date.now() / 1000);
  if (token.payload.aud === "dashboard") {
    if (manner.nonce) token.payload.nonce = manner.nonce;
  } else Object.assign(token.payload, { aud: "watermaster", sub: "night shift", role: manner.role, exp: now + manner.endsIn });
});
provider.service.on("beforeResponse", ({ body }) => issued.push(body.access_token, body.id_token, body.refresh_token));

const options = ["--authentication", "required", "--oidc-issuer", issuer, "--oidc-client-id", "dashboard", "--oidc-scope", "openid profile"];
const { server, base } = await serve(...options);
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
const context = await browser.newContext();
const page = await context.newPage();
page.setDefaultTimeout(30_000);
const complaints = [];
page.on("pageerror", (error) => complaints.push(error.message));
const button = () => page.getByRole("button", { name: `Sign in with ${new URL(issuer).host}` });
const isIn = () => page.getByText("night shift").waitFor();
/** What is kept by the browser. */
const kept = async () => JSON.stringify([await page.evaluate(() => [{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]), await context.cookies()]);
try {
  // It asks, and signs in where it was.
  await page.goto(`${base}/#/topologies`);
  await button().click();
  await isIn();
  await page.getByRole("heading", { name: "Topologies", exact: true }).waitFor();
  await page.getByText("live", { exact: false }).first().waitFor();
  assert.equal(new URL(page.url()).search, "");
  const [first] = asked;
  assert.deepEqual([first.response_type, first.client_id, first.scope, first.redirect_uri, first.code_challenge_method, first.prompt], ["code", "dashboard", "openid profile", `${base}/`, "S256", undefined]);
  assert.ok(first.state.length >= 40 && first.nonce.length >= 40 && first.code_challenge.length === 43);
  // A viewer's token: what it may not do is not offered.
  assert.equal(await page.getByRole("navigation").getByText("Plans").count(), 0);
  // Tokens and what the attempt was made of are nowhere.
  const after = await kept();
  assert.equal(issued.length, 3);
  for (const secret of [...issued, first.state, first.nonce, "verifier", "code="]) assert.ok(!after.includes(secret), `${secret} in ${after}`);
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), ["theme"]);
  // The page connects to the service and to the issuer, and nowhere else.
  const reach = (url) => page.evaluate((url) => fetch(url, { mode: "no-cors" }).then(() => "connected", () => "refused"), url);
  assert.equal(await reach(`${issuer}/jwks`), "connected");
  assert.equal(await reach("http://127.0.0.1:1/"), "refused");
  const alias = new URL(issuer).hostname === "localhost" ? "127.0.0.1" : "localhost";
  assert.equal(await reach(`http://${alias}:${new URL(issuer).port}/jwks`), "refused");

  // A reload asks the provider and not the person.
  await page.reload();
  await isIn();
  assert.deepEqual(asked.map((query) => query.prompt), [undefined, "none"]);

  // A session that ends begins again by itself, where the page was. The service allows for 30 s between clocks.
  manner.endsIn = -26;
  await page.reload();
  await isIn();
  manner.endsIn = 600;
  await page.waitForRequest((request) => request.url().startsWith(`${issuer}/authorize`));
  await isIn();
  await page.getByRole("heading", { name: "Topologies", exact: true }).waitFor();
  assert.deepEqual(asked.map((query) => query.prompt), [undefined, "none", "none", "none"]);

  // Where the provider has to ask, the page says that the session is over, once.
  manner.endsIn = -26;
  await page.reload();
  await isIn();
  Object.assign(manner, { endsIn: 600, silent: "asks" });
  await page.getByText("Your session is over").waitFor();
  await button().waitFor();
  assert.equal(asked.length, 6);
  await page.screenshot({ path: join(SCREENS, "openid-over.png") });
  await page.reload();
  await button().waitFor();
  assert.equal(asked.length, 6);

  // Signed out, it stays so over a reload.
  await button().click();
  await isIn();
  await page.getByRole("button", { name: "Sign out" }).click();
  await button().waitFor();
  await page.reload();
  await button().waitFor();
  assert.equal(asked.length, 7);

  // What the tab did not ask for, an answer to another attempt, and somebody whom the service does not know.
  await page.goto(`${base}/?code=stolen&state=forged#/map`);
  await page.getByText("belongs to no attempt of this tab").waitFor();
  assert.ok(!page.url().includes("stolen"), page.url());
  assert.equal(issued.length, 3 * 6);
  manner.nonce = "another";
  await button().click();
  await page.getByText("not for this attempt").waitFor();
  Object.assign(manner, { nonce: null, role: "nothing" });
  await button().click();
  await page.getByText("does not let you in").waitFor();
  const outside = await kept();
  for (const secret of issued) assert.ok(!outside.includes(secret), outside);
  assert.deepEqual(complaints, []);
} catch (error) {
  await page.screenshot({ path: join(SCREENS, "failed.png") }).catch(() => null);
  console.error(page.url(), asked.length, await page.locator("main").innerText().catch(() => ""));
  throw error;
} finally {
  await browser.close();
  server.removeAllListeners("exit");
  server.kill("SIGKILL");
  await provider.stop();
}
