// The picture of the panels in docs/operations.md: a service under load, a real Prometheus that scrapes it, and the queries of
// deploy/grafana/watermaster.json, drawn as Grafana would draw their series. Run by hand, after `cargo build` and `npm ci` in dashboard/, as
// `node tests/real/panels.mjs`. PROGRAM, CHROMIUM and PROMETHEUS say where those are, if not in their usual places. It ends with an
// error if a query is refused.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { pick } from "./choices.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const DATA = mkdtempSync(join(tmpdir(), "watermaster-panels-"));
process.env.ROOT = ROOT;
process.env.DATA = join(DATA, "service");
process.env.SCREENS = DATA;
process.env.PROGRAM ??= join(ROOT, "target/debug/watermaster");
process.env.CHROMIUM ??= "/usr/bin/chromium";
const { base, call, drive } = await import("./browser.mjs");

const LOADED_MS = 180_000;
const STEP_S = 2;
/** The panels that are pictured, by their titles: those of the first screen. */
const PICTURED = ["Requests decided, by class and outcome", "Reserved, by class", "Ten busiest links", "Borrowed beyond private shares", "Allocations that lost their path, by outcome", "Preempted, devolved or rerouted for a request, by its class"];

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function startPrometheus() {
  const port = await freePort();
  const config = join(DATA, "prometheus.yml");
  writeFileSync(config, JSON.stringify({ global: { scrape_interval: "1s" }, scrape_configs: [{ job_name: "watermaster", static_configs: [{ targets: [new URL(base).host] }] }] }));
  const child = spawn(process.env.PROMETHEUS ?? "prometheus", [`--config.file=${config}`, `--storage.tsdb.path=${join(DATA, "tsdb")}`, `--web.listen-address=127.0.0.1:${port}`], { stdio: "ignore" });
  return { child, at: `http://127.0.0.1:${port}` };
}

/** Requests of three classes that come and go, one link that breaks and returns. */
async function load() {
  const nodes = "WA CA1 CA2 UT CO TX NE IL GA PA MI NY MD NJ".split(" ");
  const living = [];
  for (let at = 0, end = Date.now() + LOADED_MS; Date.now() < end; at++) {
    const [ingress, class_type] = [pick(nodes), pick([0, 0, 0, 1, 1, 2])];
    const made = await call("POST", "/v1/allocations", { topology: "nsfnet", ingress, egress: pick(nodes.filter((node) => node !== ingress)), class_type, bandwidth_bps: pick([100, 200, 400, 1000]) * 1e6 });
    if (made.status === 201) living.push(made.body.id);
    if (living.length > 250) await call("DELETE", `/v1/allocations/${living.splice(Math.abs(seed) % 250, 1)[0]}`);
    if (at % 400 === 200) await call("PATCH", "/v1/topologies/nsfnet/links/TX-MD", { state: "down" });
    if (at % 400 === 300) await call("PATCH", "/v1/topologies/nsfnet/links/TX-MD", { state: "up" });
    await pause(20);
  }
}

async function seriesOf(prometheus, target, from, to) {
  const query = target.expr.replace(/\$__rate_interval/g, "10s").replace(/\$(job|instance|topology)/g, ".*");
  const answer = await (await fetch(`${prometheus}/api/v1/query_range?${new URLSearchParams({ query, start: from, end: to, step: STEP_S })}`)).json();
  assert.equal(answer.status, "success", `${target.expr}: ${answer.error}`);
  const named = (metric) => (target.legendFormat ?? "").replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => metric[label] ?? "") || JSON.stringify(metric);
  return answer.data.result.map(({ metric, values }) => ({ name: named(metric), values: Object.fromEntries(values.map(([at, value]) => [at, Number(value)])) }));
}

/** In the page: one plot after the other. */
function draw(panels, from, to, step) {
  const colours = ["#2f86c1", "#cc4c02", "#0b8a61", "#a8478f", "#9a6b00", "#2b4ea2", "#c92420", "#6b7280", "#7b1fa2", "#e8c636"];
  const prefixed = (value, unit) => { const [size, prefix] = [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]].find(([size]) => Math.abs(value) >= size) ?? [1, ""]; return `${Math.round((value / size) * 10) / 10} ${prefix}${unit}`; };
  const units = { percentunit: (value) => `${Math.round(value * 100)} %`, bps: (value) => prefixed(value, "bit/s"), s: (value) => `${Math.round(value * 1e5) / 100} ms` };
  const times = Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, at) => from + at * step);
  for (const { title, unit, series } of panels) {
    const box = document.body.appendChild(document.createElement("section"));
    box.appendChild(document.createElement("h2")).textContent = title;
    const write = units[unit] ?? ((value) => prefixed(value, ""));
    new uPlot({
      width: 660, height: 210, legend: { live: false }, cursor: { show: false }, axes: [{}, { size: 80, values: (_, values) => values.map(write) }],
      scales: { y: { range: (_, __, most) => [0, (most || 1) * 1.05] } },
      series: [{}, ...series.map((one, at) => ({ label: one.name, stroke: colours[at % colours.length], width: 1.5 }))],
    }, [times, ...series.map((one) => times.map((at) => (Number.isFinite(one.values[at]) ? one.values[at] : null)))], box);
  }
}

const prometheus = await startPrometheus();
try {
  await drive(async (page) => {
    await load();
    const to = Math.floor(Date.now() / 1000 / STEP_S) * STEP_S;
    const from = to - LOADED_MS / 1000 + 20;
    const { panels } = JSON.parse(readFileSync(join(ROOT, "deploy/grafana/watermaster.json"), "utf8"));
    const drawn = [];
    for (const panel of panels) {
      const series = [];
      for (const target of panel.targets ?? []) series.push(...(await seriesOf(prometheus.at, target, from, to)));
      if (PICTURED.includes(panel.title)) drawn.push({ title: panel.title, unit: panel.fieldConfig?.defaults?.unit, series: series.slice(0, 10) });
    }
    assert.equal(drawn.length, PICTURED.length, "every panel that is pictured is there");
    await page.setViewportSize({ width: 1400, height: 900 });
    await page.setContent("<style>body{font:13px system-ui;margin:12px;display:grid;grid-template-columns:1fr 1fr;gap:4px 16px}h2{font-size:14px;margin:4px 0}.u-legend{font-size:11px}</style>");
    const library = (name) => readFileSync(join(ROOT, "dashboard/node_modules/uplot/dist", name), "utf8");
    await page.addStyleTag({ content: library("uPlot.min.css") });
    await page.addScriptTag({ content: library("uPlot.iife.min.js") });
    await page.evaluate(`(${draw})(${JSON.stringify(drawn)}, ${from}, ${to}, ${STEP_S})`);
    await page.screenshot({ path: join(ROOT, "docs/panels.png"), fullPage: true });
    console.log("  docs/panels.png");
  });
} finally {
  prometheus.child.kill();
  rmSync(DATA, { recursive: true, force: true });
}
