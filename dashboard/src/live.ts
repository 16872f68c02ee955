// What is shown, and how it stays true: the state is read by REST, the event stream says when to read again. The stream
// resumes where it broke off; if events are missing or the server is another one, everything is read anew.
import { batch, computed, effect, signal } from "@preact/signals";
import { all, get, ofTopology, Refused, type Happening, type Layout, type Link, type Model, type Readiness, type Summary } from "./api";
import { draw, type Drawing } from "./geometry";
import { adjust, go, route } from "./route";
import { EventStream } from "./stream";

/** How many of the last events are kept. */
const HAPPENINGS_KEPT = 1000;
/** Links are read again at most so often, in milliseconds; in large networks less often. */
const READ_EVERY_MS = 400;
const READ_LARGE_EVERY_MS = 2000;
const LARGE_LINKS = 500;
/** Without word from the server for so long, it is taken to be gone. It says something every 15 seconds. */
const SILENCE_MS = 40_000;

/** A stream that broke is begun again after so long. */
const AGAIN_MS = 1_000;

export type Connection = "connecting" | "live" | "lost";

export const connection = signal<Connection>("connecting");
export const lostAt = signal<number | null>(null);
export const readiness = signal<Readiness | null>(null);
export const topologies = signal<Summary[] | null>(null);
export const topology = signal<string | null>(null);
export const layout = signal<{ topology: string; layout: Layout } | null>(null);
export const links = signal<{ topology: string; links: Link[] } | null>(null);
export const model = signal<{ topology: string; model: Model; etag: string | null } | null>(null);
export const happenings = signal<Happening[]>([]);
export const trouble = signal<string | null>(null);
/** Counts up whenever something happened: views with lists of their own read them again. */
export const version = signal(0);
/** The links lit on the map: a path, or those that bind. */
export const lit = signal<ReadonlySet<string>>(new Set());
export const litBinds = signal(false);

/** Where everything is drawn. It changes with the topology and not with its load. */
export const drawing = computed<Drawing | null>(() => {
  const [placed, listed] = [layout.value, links.peek()];
  return placed && listed && placed.topology === listed.topology ? draw(placed.layout, listed.links) : null;
});

/** The links of allocations that a preview would touch. */
export const touched = signal<ReadonlySet<string>>(new Set());

let pinned: { names: string[]; binds: boolean } = { names: [], binds: false };

/** Lights links while they are pointed at; without any, what is pinned. */
export function light(names?: Iterable<string>): void {
  batch(() => {
    lit.value = new Set(names ?? pinned.names);
    litBinds.value = !names && pinned.binds;
  });
}

/** Lights links until others are: the path of what is looked at, or the links that bind; or none. */
export function pin(names: string[] = [], binds = false): void {
  pinned = { names, binds };
  light();
}

const labels = computed(() => new Map((layout.value?.layout.nodes ?? []).map((node) => [node.node, node.label])));

/** What people call a node, where that is not its id: its city. */
export function cityOf(node: string): string | null {
  const label = labels.value.get(node);
  return label && label !== node ? label : null;
}

/** A node as it is written: "UT (Salt Lake City)". */
export function nodeText(node: string): string {
  const city = cityOf(node);
  return city ? `${node} (${city})` : node;
}

/** None while those of another topology are still there. */
const shown = computed(() => (links.value && links.value.topology === topology.value ? links.value.links : []));
export const byName = computed(() => new Map(shown.value.map((link) => [link.link, link])));
export const busiest = computed(() => [...shown.value].sort((one, two) => two.utilisation_ppm - one.utilisation_ppm || two.reserved_bps - one.reserved_bps));

let source: EventStream | null = null;
let lastSequence = 0;
let lastHeard = 0;
let timer: number | undefined;
let pending = false;
let again: number | undefined;

/** Begins. */
export async function start(): Promise<void> {
  effect(() => {
    const [asked, found] = [route.value.query.get("topology"), topologies.value];
    if (!found) return;
    const names = found.map((one) => one.topology);
    const was = topology.peek();
    // One that was shown and is gone gives way; one that was asked for and never was is said to be missing.
    if (asked && (names.includes(asked) || asked !== was)) topology.value = names.includes(asked) ? asked : null;
    else adjust({ topology: remembered(names) ?? fullest(found) });
  });
  effect(() => {
    const name = topology.value;
    if (!name) return;
    void load(name);
    try {
      sessionStorage.setItem("topology", name);
    } catch {
      // Without storage the choice lasts as long as the address.
    }
  });
  await reload();
  window.setInterval(watch, 5_000);
}

/** Reads everything anew and listens from there. */
async function reload(): Promise<void> {
  source?.close();
  try {
    const ready = await get<Readiness>("/readyz");
    readiness.value = ready;
    lastSequence = ready.sequence;
    const after = Math.max(0, ready.sequence - HAPPENINGS_KEPT);
    const recent = await all<Happening>(`/v1/events?after=${after}`, HAPPENINGS_KEPT).catch((error: unknown) => {
      // Those are not kept any more.
      if (!(error instanceof Refused) || error.status !== 410) throw error;
      return all<Happening>("/v1/events", HAPPENINGS_KEPT);
    });
    lastSequence = Math.max(lastSequence, recent.at(-1)?.sequence ?? 0);
    happenings.value = recent.slice(-HAPPENINGS_KEPT);
    await readTopologies();
    if (topology.peek()) await load(topology.peek()!);
    listen();
  } catch (error) {
    lose(error);
  }
}

export async function readTopologies(): Promise<void> {
  topologies.value = await all<Summary>("/v1/topologies");
}

function fullest(found: Summary[]): string | null {
  return [...found].sort((one, two) => two.allocations - one.allocations)[0]?.topology ?? null;
}

function remembered(names: string[]): string | null {
  try {
    const name = sessionStorage.getItem("topology");
    return name && names.includes(name) ? name : null;
  } catch {
    return null;
  }
}

/** Shows another topology, in the same view. What else the address said was of the one before. */
export function choose(name: string): void {
  go(route.peek().view, undefined, { topology: name });
}

async function load(name: string): Promise<void> {
  try {
    const [drawn, read] = await Promise.all([get<Layout>(ofTopology(name, "/layout")), readLinks(name)]);
    if (topology.peek() !== name) return;
    batch(() => {
      links.value = { topology: name, links: read };
      layout.value = { topology: name, layout: drawn };
    });
    await readModel(name);
    trouble.value = null;
  } catch (error) {
    if (error instanceof Refused && error.status === 404) await readTopologies().catch(lose);
    else lose(error);
  }
}

function readLinks(name: string): Promise<Link[]> {
  return all<Link>(ofTopology(name, "/links?allocations=false"));
}

async function readModel(name: string): Promise<void> {
  const read = await get<Model>(ofTopology(name, "/bandwidth-model"));
  if (topology.peek() === name) model.value = { topology: name, model: read, etag: `"${read.revision}"` };
}

function listen(): void {
  source?.close();
  source = new EventStream(`/v1/events/stream?after=${lastSequence}`, {
    open: () => {
      lastHeard = Date.now();
      const wasLost = connection.value === "lost";
      connection.value = "live";
      lostAt.value = null;
      trouble.value = null;
      if (wasLost) refreshAll().catch(lose);
    },
    event: (kind, data) => {
      if (kind === "reset") void reload();
      // Where an allocation stands with the switches is no event of the journal.
      else if (kind !== "allocation_state") take(data);
    },
    broken: () => {
      lose(null);
      window.clearTimeout(again);
      again = window.setTimeout(watch, AGAIN_MS);
    },
  });
}

function take(data: string): void {
  lastHeard = Date.now();
  let happening: Happening;
  try {
    happening = JSON.parse(data) as Happening;
  } catch {
    return void reload();
  }
  if (!(happening.sequence > lastSequence)) return;
  const gap = happening.sequence > lastSequence + 1;
  lastSequence = happening.sequence;
  if (gap) return void reload();
  arrived.push(happening);
  if (happening.kind === "topology_put" || happening.kind === "topology_deleted" || happening.kind === "model_set") structural = true;
  schedule();
}

let arrived: Happening[] = [];
let structural = false;

/** Many events at once are one reading. */
function schedule(): void {
  if (timer !== undefined) {
    pending = true;
    return;
  }
  void refresh();
  const large = (links.peek()?.links.length ?? 0) > LARGE_LINKS;
  timer = window.setTimeout(() => {
    timer = undefined;
    if (pending) {
      pending = false;
      schedule();
    }
  }, large ? READ_LARGE_EVERY_MS : READ_EVERY_MS);
}

async function refresh(): Promise<void> {
  if (arrived.length) {
    happenings.value = [...happenings.peek(), ...arrived].slice(-HAPPENINGS_KEPT);
    arrived = [];
  }
  const whole = structural;
  structural = false;
  version.value += 1;
  try {
    if (whole) return await refreshAll();
    const name = topology.peek();
    if (!name) return;
    const [read] = await Promise.all([readLinks(name), readTopologies()]);
    if (topology.peek() === name) links.value = { topology: name, links: read };
  } catch (error) {
    if (error instanceof Refused && error.status === 404) await readTopologies().catch(lose);
    else lose(error);
  }
}

async function refreshAll(): Promise<void> {
  const ready = await get<Readiness>("/readyz");
  // Fewer events than were heard: this is another journal.
  if (ready.sequence < lastSequence) return reload();
  readiness.value = ready;
  await readTopologies();
  if (topology.peek()) await load(topology.peek()!);
  version.value += 1;
}

function lose(error: unknown): void {
  if (connection.value !== "lost") lostAt.value = Date.now();
  connection.value = "lost";
  if (error instanceof Refused && error.status !== 0) trouble.value = error.message;
}

/** A stream that was given up, or has been silent for too long, is begun again. */
function watch(): void {
  const closed = !source || source.closed;
  const silent = connection.value === "live" && Date.now() - lastHeard > SILENCE_MS;
  if (closed) void reload();
  else if (silent) {
    // Keep-alives are comments, which the page does not hear: ask instead.
    get<Readiness>("/readyz").then((ready) => {
      lastHeard = Date.now();
      readiness.value = ready;
      if (ready.sequence > lastSequence) void reload();
    }, lose);
  }
}

/** Tries again at once. */
export function retry(): void {
  void reload();
}
