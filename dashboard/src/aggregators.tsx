// Aggregators: the paper's Figure 6, live. For each: how full its buffer is per QoS level above, which rate it was given
// below, on one time axis, with what happened marked.
import { useEffect, useState } from "preact/hooks";
import { all, get, Refused, type AggregatorHistory } from "./api";
import { happenings, topology } from "./live";
import type { Happening } from "./api";
import { Empty, Failure, NodeName, State } from "./parts";
import { Plot, type Series } from "./plot";
import { href, param, route } from "./route";
import { Table } from "./table";
import { CLASS_WORDS, clock, count, rate } from "./units";

const ASK_EVERY_MS = 1_000;
/** How far back the plots go. */
const KEPT = 900;
/** So many have their plots on a page; so many are in the list. */
const SHOWN = 12;
const LISTED = 1_000;
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
  /** Why nothing can be reserved. */
  unserved?: string;
}

const UNSERVED_WORDS: Record<string, string> = { no_class: "the bandwidth model lacks its class", no_path: "no path to its consumers" };

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
  const [listed, setListed] = useState<Aggregator[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [samples, setSamples] = useState(seen);
  const [filter, setFilter] = param("find");
  const [from, setFrom] = param("from", "0");
  const name = topology.value;
  const chosen = route.value.of;
  const isOwn = (one: Aggregator) => one.topology === undefined || one.topology === name;
  // Those of the chosen topology, and those that do not say; where it has none, all there are.
  const of = (all: Aggregator[]) => (all.some(isOwn) ? all.filter(isOwn) : all).filter((one) => !filter || `${one.id} ${one.node ?? ""}`.toLowerCase().includes(filter.toLowerCase()));
  const shownOf = (all: Aggregator[]) => (chosen ? all.filter((one) => one.id === chosen) : of(all).slice(Number(from), Number(from) + SHOWN));
  useEffect(() => {
    let current = true;
    const look = async () => {
      try {
        const found = await all<Aggregator>("/v1/aggregators");
        const details = new Map((await Promise.all(shownOf(found).map(whole))).map((one) => [one.id, one]));
        if (!current) return;
        setListed(found.map((one) => details.get(one.id) ?? one));
        setError(null);
        keepMarked();
        const shown = await Promise.all([...details.values()].map(async (one): Promise<[string, Sample[]]> => [one.id, [...(seen.get(one.id) ?? (await past(one.id))), sample(one)].slice(-KEPT)]));
        if (!current) return;
        seen = new Map([...seen, ...shown]);
        setSamples(seen);
      } catch (failed) {
        if (!current) return;
        if (failed instanceof Refused && failed.status === 404) setListed([]);
        else setError(failed);
      }
    };
    void look();
    const timer = window.setInterval(look, ASK_EVERY_MS);
    return () => ((current = false), window.clearInterval(timer));
  }, [name, filter, from, chosen]);
  const found = of(listed ?? []);
  const shown = shownOf(listed ?? []);
  return (
    <>
      {chosen ? <p><a href={href("aggregators")}>All aggregators</a></p> : null}
      <h1>Aggregators{name && listed?.some(isOwn) ? <span class="quiet"> of {name}</span> : null}</h1>
      {error ? <Failure error={error} /> : null}
      {listed === null ? (error ? null : <Empty title="Asking for aggregators …" />) : listed.length ? (
        <>
          {chosen ? null : <Listed of={found} elsewhere={listed.some(isOwn) ? listed.filter((one) => !isOwn(one)).length : 0} filter={filter} setFilter={setFilter} />}
          {shown.map((one) => <One key={one.id} one={one} samples={samples.get(one.id) ?? []} />)}
          {!chosen && found.length > SHOWN ? (
            <nav class="pages" aria-label="Pages">
              <span class="quiet">{Number(from) + 1} to {Number(from) + shown.length} of {found.length}</span>
              <button disabled={from === "0"} onClick={() => setFrom(String(Math.max(0, Number(from) - SHOWN)))}>‹ Before</button>
              <button disabled={Number(from) + SHOWN >= found.length} onClick={() => setFrom(String(Number(from) + SHOWN))}>Next ›</button>
            </nav>
          ) : null}
          {chosen && !shown.length ? <Empty title={`No aggregator ${chosen} has reported`} /> : null}
        </>
      ) : (
        <Empty title="No aggregator has reported yet">
          <p>An aggregator (an IoT gateway) tells its buffers and subscribers over MQTT or HTTP, and is told the rate of each QoS level. Here you will see both.</p>
          <p>Start one: <code>watermaster gateway</code>; or the whole proof of concept: <code>watermaster demo</code>.</p>
        </Empty>
      )}
    </>
  );
}

function total(of: Level[] | { demand_bps: number }[] | undefined): number {
  return (of ?? []).reduce((sum: number, one) => sum + (("demand_bps" in one ? one.demand_bps : one.rate_bps) ?? 0), 0);
}

/** All of them in a few figures each. */
function Listed(props: { of: Aggregator[]; elsewhere: number; filter: string; setFilter: (text: string) => void }) {
  const { of } = props;
  return (
    <>
      <div class="filters"><label>Find <input value={props.filter} onInput={(event) => props.setFilter(event.currentTarget.value)} /></label></div>
      {of.length ? (
        <Table
          name="aggregators" label="Aggregators" rows={of} whole most={LISTED} id={(one) => one.id}
          total={`${count(of.length, "aggregator")}: ${rate(of.reduce((sum, one) => sum + total(one.demand), 0))} wanted, ${rate(of.reduce((sum, one) => sum + total(one.rates?.levels), 0))} given.${props.elsewhere ? ` ${props.elsewhere} more in other topologies.` : ""}`}
          columns={[
            { title: "Aggregator", cell: (one) => <a href={href("aggregators", one.id)}>{one.id}</a>, value: (one) => one.id },
            { title: "Node", cell: (one) => (one.node ? <NodeName of={one.node} /> : "—"), value: (one) => one.node },
            { title: "State", cell: (one) => (one.state ? <State of={one.state} /> : "—"), value: (one) => one.state },
            { title: "Demand", number: true, cell: (one) => rate(total(one.demand)), value: (one) => total(one.demand) },
            { title: "Rate", number: true, cell: (one) => rate(total(one.rates?.levels)), value: (one) => total(one.rates?.levels) },
            { title: "Heard", cell: (one) => (one.heard_at ? clock(one.heard_at) : "—"), value: (one) => one.heard_at },
          ]}
        />
      ) : <Empty title="None is like that">{props.elsewhere ? <p>{count(props.elsewhere, "aggregator")} in other topologies.</p> : null}</Empty>}
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

/** What the server remembers of it, from before this page looked. */
async function past(id: string): Promise<Sample[]> {
  const { points } = await get<AggregatorHistory>(`/v1/aggregators/${encodeURIComponent(id)}/history`).catch(() => ({ points: [] }));
  return points.map((point) => ({
    at: Date.parse(point.at) / 1000,
    buffers: new Map(point.levels.map((level) => [level.qos_level, level.buffer_ppm / 10_000])),
    rates: new Map(point.levels.map((level) => [level.qos_level, level.rate_bps])),
  }));
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
  const level = (number: number) => levelsOf(one).find((at) => at.qos_level === number);
  const given = (number: number) => one.rates?.levels?.find((at) => at.qos_level === number) ?? level(number);
  const demand = (number: number) => one.demand?.find((at) => at.qos_level === number);
  const told = (bps: number | undefined) => (bps === undefined ? "—" : rate(bps));
  return (
    <section class="aggregator">
      <h2>{one.id} {one.state ? <State of={one.state} /> : null}</h2>
      <p class="quiet">
        At {one.node ?? one.metadata?.node ? <NodeName of={(one.node ?? one.metadata?.node)!} /> : "an unknown node"}{one.topology ? ` of ${one.topology}` : ""}
        {one.heard_at ? `, last heard ${clock(one.heard_at)}` : ""}.
      </p>
      <h3>Buffer, in percent of its capacity</h3>
      <Plot times={times} series={series("buffers")} height={160} least={100} unit={(value) => `${value.toFixed(value < 9.5 && value % 1 ? 1 : 0)} %`} marks={marks} label={`Buffer of ${one.id} by QoS level over time`} />
      <h3>Rate it was given</h3>
      <Plot times={times} series={series("rates")} height={160} stepped marks={marks} label={`Rate of ${one.id} by QoS level over time`} />
      <Table
        name={`levels-${one.id}`} label={`QoS levels of ${one.id}`} rows={levels} id={String}
        columns={[
          { title: "QoS level", cell: (number) => `${number} ${CLASS_WORDS[number] ?? ""}`, value: (number) => number },
          { title: "Subscribers", number: true, cell: (number) => level(number)?.subscribers ?? "—", value: (number) => level(number)?.subscribers },
          { title: "Arrives", number: true, cell: (number) => told(level(number)?.arrival_bps), value: (number) => level(number)?.arrival_bps },
          { title: "Demand", number: true, cell: (number) => `${told(demand(number)?.demand_bps)}${demand(number)?.boosted ? ", boosted" : ""}`, value: (number) => demand(number)?.demand_bps },
          { title: "Buffer", number: true, cell: (number) => (level(number) ? `${Math.floor(fill(level(number)!))} %` : "—"), value: (number) => level(number)?.buffer_bytes },
          { title: "Rate", number: true, cell: (number) => `${told(given(number)?.rate_bps)}${given(number)?.unserved ? `: ${UNSERVED_WORDS[given(number)!.unserved!] ?? given(number)!.unserved}` : ""}`, value: (number) => given(number)?.rate_bps },
          { title: "Dropped", number: true, cell: (number) => level(number)?.dropped ?? "—", value: (number) => level(number)?.dropped },
        ]}
      />
    </section>
  );
}
