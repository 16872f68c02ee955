// What somebody on watch has to know: links that are busy or not in service, controllers that are not reached or drift. Each
// can be acknowledged, in this browser; one that gets worse is new.
import { computed, effect, signal } from "@preact/signals";
import { get, type AllocationPage, type Controller } from "./api";
import { busiest, topology, version } from "./live";
import { Empty, LinkName } from "./parts";
import { href, param } from "./route";
import { Table } from "./table";
import { BUSY_PPM, count, percent, rate, step, STEP_WORDS } from "./units";

interface Alert {
  /** What it is about, and how bad it is: the same again is the same alert. */
  key: string;
  what: string;
  link?: string;
  /** Where it is shown. */
  to?: string;
  words: string;
  /** The worst first. */
  weight: number;
}

export const controllers = signal<Controller[]>([]);
/** Allocations that ask for a backup path and have none: how many of a topology, and whether there are more. */
const unprotected = signal<{ topology: string; number: number; isMore: boolean } | null>(null);
const UNPROTECTED_READ = 1000;
const KEPT = 500;
const SHORT = 4;
const ASK_EVERY_MS = 5_000;
const acknowledged = signal<ReadonlySet<string>>(new Set(stored()));

function stored(): string[] {
  try {
    return JSON.parse(localStorage.getItem("acknowledged") ?? "[]") as string[];
  } catch {
    return [];
  }
}

function acknowledge(keys: string[], on: boolean): void {
  const left = [...acknowledged.peek()].filter((key) => !keys.includes(key));
  acknowledged.value = new Set(on ? [...left, ...keys].slice(-KEPT) : left);
  try {
    localStorage.setItem("acknowledged", JSON.stringify([...acknowledged.peek()]));
  } catch {
    // Without storage it is acknowledged as long as the page lives.
  }
}

let asked = 0;
let timer: number | undefined;

/** Reads what is not on the stream: at most every so often, and once more after the last event. */
function read(): void {
  timer = undefined;
  asked = Date.now();
  get<{ items: Controller[] }>("/v1/controllers").then((page) => (controllers.value = page.items), () => {});
  const name = topology.peek();
  if (!name) return;
  get<AllocationPage>(`/v1/allocations?protected=false&topology=${encodeURIComponent(name)}&limit=${UNPROTECTED_READ}`).then(
    (page) => (unprotected.value = { topology: name, number: page.items.length, isMore: Boolean(page.next) }), () => {},
  );
}

effect(() => {
  void version.value;
  void topology.value;
  timer ??= window.setTimeout(read, Math.max(0, asked + ASK_EVERY_MS - Date.now()));
});

export const alerts = computed<Alert[]>(() => {
  const name = topology.value ?? "";
  const of = (link: string) => `${name}/${link}`;
  const found: Alert[] = [];
  for (const link of busiest.value) {
    if (link.state !== "up") found.push({ key: `${of(link.link)} ${link.state}`, what: "not in service", link: link.link, weight: link.state === "down" ? 3 : 2, words: `${link.state}, ${count(link.allocation_count, "allocation")} on it` });
    if (link.utilisation_ppm >= BUSY_PPM)
      found.push({ key: `${of(link.link)} step ${step(link.utilisation_ppm)}`, what: "busy", link: link.link, weight: link.utilisation_ppm / 1e6, words: `${percent(link.utilisation_ppm)} reserved (${STEP_WORDS[step(link.utilisation_ppm)]}), ${rate(Math.max(0, link.max_reservable_bps - link.reserved_bps))} left` });
  }
  for (const one of controllers.value) {
    if (one.reachable === false) found.push({ key: `controller ${one.id} unreachable`, what: "controller", weight: 4, words: `${one.id} (${one.topology}) is not reached${one.last_error ? `: ${one.last_error}` : ""}` });
    if (one.rules.drifting) found.push({ key: `controller ${one.id} drifting`, what: "drifting", weight: 3.5, words: `${one.id} (${one.topology}): ${count(one.rules.drifting, "rule is", "rules are")} not as intended` });
  }
  const bare = unprotected.value;
  if (bare?.topology === name && bare.number)
    found.push({ key: `${name} unprotected ${bare.number}`, what: "unprotected", to: href("allocations", undefined, { protected: "false" }), weight: 1.5, words: `${count(bare.number, bare.isMore ? "allocation or more" : "allocation", bare.isMore ? "allocations or more" : undefined)} without the backup path asked for` });
  return found.sort((one, two) => two.weight - one.weight);
});

export const open = computed(() => alerts.value.filter((one) => !acknowledged.value.has(one.key)));

/** The worst few beside the map; all of them in a view of their own. */
export function Alerts(props: { short?: boolean }) {
  return props.short ? <Few /> : <All />;
}

function Few() {
  if (!open.value.length) return null;
  return (
    <section>
      <h2><a href={href("alerts")}>{count(open.value.length, "alert")}</a></h2>
      <ul class="feed">
        {open.value.slice(0, SHORT).map((one) => (
          <li key={one.key}>{one.link ? <><LinkName name={one.link} />: </> : null}{one.to ? <a href={one.to}>{one.words}</a> : one.words} <button class="small" aria-label={`Seen: ${one.key}`} onClick={() => acknowledge([one.key], true)}>Seen</button></li>
        ))}
      </ul>
    </section>
  );
}

function All() {
  const [show, setShow] = param("show", "open");
  const rows = show === "all" ? alerts.value : open.value;
  return (
    <>
      <h1>Alerts</h1>
      <p class="quiet">Links of {topology.value ?? "no topology"} at {percent(BUSY_PPM)} or more or not in service, controllers that are not reached or drift, and allocations without the backup path that they ask for. Acknowledged in this browser; one that gets worse comes back.</p>
      <div class="filters">
        <label>Show <select value={show} onChange={(event) => setShow(event.currentTarget.value)}>
          <option value="open">not acknowledged ({open.value.length})</option><option value="all">all ({alerts.value.length})</option>
        </select></label>
        <button disabled={!open.value.length} onClick={() => acknowledge(open.value.map((one) => one.key), true)}>Acknowledge all</button>
      </div>
      {rows.length ? (
        <Table
          name="alerts" label="Alerts" rows={rows} whole id={(one) => one.key} links={(one) => (one.link ? [one.link] : [])}
          columns={[
            { title: "What", cell: (one) => <span class={`state is-${one.weight >= 2 ? "down" : "maintenance"}`}>{one.weight >= 2 ? "✕" : "▲"} {one.what}</span>, value: (one) => one.what },
            { title: "Link", cell: (one) => (one.link ? <LinkName name={one.link} /> : "—"), value: (one) => one.link },
            { title: "How", cell: (one) => (one.to ? <a href={one.to}>{one.words}</a> : one.words), value: (one) => one.words },
            { title: "Actions", class: "actions", cell: (one) => { const seen = acknowledged.value.has(one.key); return <button aria-label={`${seen ? "Take back" : "Acknowledge"} ${one.key}`} onClick={() => acknowledge([one.key], !seen)}>{seen ? "Take back" : "Acknowledge"}</button>; } },
          ]}
        />
      ) : <Empty title="Nothing to acknowledge" />}
    </>
  );
}
