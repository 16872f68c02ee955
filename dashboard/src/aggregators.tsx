// Aggregators: the paper's Figure 6, live. For each: how full its buffer is per QoS level above, which rate it was given
// below, on one time axis, with what happened marked.
import { useEffect, useState } from "preact/hooks";
import { get, Refused } from "./api";
import { happenings } from "./live";
import type { Happening } from "./api";
import { Empty, Failure, State } from "./parts";
import { Plot, type Series } from "./plot";
import { CLASS_WORDS, clock, rate } from "./units";

const ASK_EVERY_MS = 1_000;
/** How far back the plots go. */
const KEPT = 900;
/** So many are shown. */
const SHOWN = 24;
/** Marks of the same kind that are nearer to each other, in seconds, are one. */
const APART_S = 3;
const MARKED_KEPT = 1_000;

interface Level {
  qos_level: number;
  subscribers?: number;
  buffer_bytes?: number;
  buffer_capacity_bytes?: number;
  arrival_bps?: number;
  dropped?: number;
  rate_bps?: number;
  allocations?: string[];
}

/** An aggregator as /v1/aggregators has it: its metadata and its rates, each with levels. */
interface Aggregator {
  id: string;
  node?: string;
  topology?: string;
  /** `fresh`, `stale` or `lost`. */
  state?: string;
  heard_at?: string;
  demand?: { qos_level: number; demand_bps: number; boosted: boolean }[];
  at?: string;
  levels?: Level[];
  metadata?: { node?: string; at?: string; levels?: Level[] } | null;
  rates?: { at?: string; lease_ms?: number; levels?: Level[] } | null;
}

/** What was seen so far, kept while other views are open. */
let seen = new Map<string, Sample[]>();
const marked = new Map<number, Happening>();

interface Mark {
  at: number;
  text: string;
}

interface Sample {
  at: number;
  buffers: Map<number, number>;
  rates: Map<number, number>;
}

export function Aggregators() {
  const [found, setFound] = useState<Aggregator[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [samples, setSamples] = useState(seen);
  useEffect(() => {
    const look = async () => {
      try {
        const page = await get<{ items?: Aggregator[] } | Aggregator[]>("/v1/aggregators");
        const listed = Array.isArray(page) ? page : (page.items ?? []);
        const all = await Promise.all(listed.slice(0, SHOWN).map(whole));
        setFound(all);
        setError(null);
        keepMarked();
        seen = new Map(all.map((one) => [one.id, [...(seen.get(one.id) ?? []), sample(one)].slice(-KEPT)]));
        setSamples(seen);
      } catch (failed) {
        if (failed instanceof Refused && failed.status === 404) setFound([]);
        else setError(failed);
      }
    };
    void look();
    const timer = window.setInterval(look, ASK_EVERY_MS);
    return () => window.clearInterval(timer);
  }, []);
  return (
    <>
      <h1>Aggregators</h1>
      {error ? <Failure error={error} /> : null}
      {found === null ? (error ? null : <Empty title="Asking for aggregators …" />) : found.length ? (
        found.map((one) => <One key={one.id} one={one} samples={samples.get(one.id) ?? []} />)
      ) : (
        <Empty title="No aggregator has reported yet">
          <p>An aggregator (an IoT gateway) tells its buffers and subscribers over MQTT or HTTP, and is told the rate of each QoS level. Here you will see both.</p>
          <p>Start one: <code>watermaster gateway</code>; or the whole proof of concept: <code>watermaster demo</code>.</p>
        </Empty>
      )}
    </>
  );
}

/** What happened to an aggregator's reservations, but for changes of their size, which the plot itself shows. */
function marksOf(id: string): Mark[] {
  const marks: Mark[] = [];
  for (const event of marked.values()) {
    const whose = (event.data.allocation as { aggregator?: string } | undefined)?.aggregator;
    if (whose !== id && event.kind !== "link_changed") continue;
    const mark = { at: Date.parse(event.at) / 1000, text: event.kind.replace("allocation_", "").replace("_", " ") };
    const before = marks.filter((other) => other.text === mark.text).at(-1);
    if (!before || mark.at - before.at > APART_S) marks.push(mark);
  }
  return marks;
}

/** Keeps what is to be marked: changes of size are so many that they would push it out of what was heard last. */
function keepMarked(): void {
  for (const event of happenings.value)
    if (event.kind === "link_changed" || (event.data.allocation && event.kind !== "allocation_resized")) marked.set(event.sequence, event);
  for (const sequence of [...marked.keys()].slice(0, Math.max(0, marked.size - MARKED_KEPT))) marked.delete(sequence);
}

/** With what it reported last, which lists leave out. Who was forgotten meanwhile stays as listed. */
async function whole(listed: Aggregator): Promise<Aggregator> {
  if (listed.metadata) return listed;
  return get<Aggregator>(`/v1/aggregators/${encodeURIComponent(listed.id)}`).catch(() => listed);
}

function levelsOf(one: Aggregator): Level[] {
  return one.metadata?.levels ?? one.levels ?? [];
}

function sample(one: Aggregator): Sample {
  const filled = levelsOf(one).map((level): [number, number] => [level.qos_level, fill(level)]);
  const given = (one.rates?.levels ?? one.levels ?? []).filter((level) => level.rate_bps !== undefined).map((level): [number, number] => [level.qos_level, level.rate_bps!]);
  return { at: Date.now() / 1000, buffers: new Map(filled), rates: new Map(given) };
}

/** In percent of the capacity. */
function fill(level: Level): number {
  return level.buffer_capacity_bytes ? ((level.buffer_bytes ?? 0) / level.buffer_capacity_bytes) * 100 : 0;
}

function One(props: { one: Aggregator; samples: Sample[] }) {
  const { one, samples } = props;
  const levels = [...new Set([...levelsOf(one), ...(one.rates?.levels ?? [])].map((level) => level.qos_level))].sort((a, b) => a - b);
  const times = samples.map((at) => at.at);
  const series = (of: "buffers" | "rates"): Series[] =>
    levels.map((level) => ({ label: `QoS ${level} (${CLASS_WORDS[level] ?? ""})`, classType: level, values: samples.map((at) => at[of].get(level) ?? null) }));
  const marks = marksOf(one.id);
  return (
    <section class="aggregator">
      <h2>{one.id} {one.state ? <State of={one.state} /> : null}</h2>
      <p class="quiet">
        At {one.node ?? one.metadata?.node ?? "an unknown node"}{one.topology ? ` of ${one.topology}` : ""}
        {one.heard_at ? `, last heard ${clock(one.heard_at)}` : ""}.
      </p>
      <h3>Buffer, in percent of its capacity</h3>
      <Plot times={times} series={series("buffers")} height={160} least={100} unit={(value) => `${value.toFixed(value < 9.5 && value % 1 ? 1 : 0)} %`} marks={marks} label={`Buffer of ${one.id} by QoS level over time`} />
      <h3>Rate it was given</h3>
      <Plot times={times} series={series("rates")} height={160} stepped marks={marks} label={`Rate of ${one.id} by QoS level over time`} />
      <table class="tight">
        <thead><tr><th>QoS level</th><th class="number">Subscribers</th><th class="number">Arrives</th><th class="number">Demand</th><th class="number">Buffer</th><th class="number">Rate</th><th class="number">Dropped</th></tr></thead>
        <tbody>
          {levels.map((number) => {
            const level = levelsOf(one).find((at) => at.qos_level === number);
            const given = one.rates?.levels?.find((at) => at.qos_level === number) ?? level;
            const demand = one.demand?.find((at) => at.qos_level === number);
            return (
              <tr>
                <td>{number} {CLASS_WORDS[number]}</td><td class="number">{level?.subscribers ?? "—"}</td>
                <td class="number">{level?.arrival_bps === undefined ? "—" : rate(level.arrival_bps)}</td>
                <td class="number">{demand ? `${rate(demand.demand_bps)}${demand.boosted ? ", boosted" : ""}` : "—"}</td>
                <td class="number">{level ? `${fill(level).toFixed(0)} %` : "—"}</td>
                <td class="number">{given?.rate_bps === undefined ? "—" : rate(given.rate_bps)}</td>
                <td class="number">{level?.dropped ?? "—"}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
