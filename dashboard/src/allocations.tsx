// Allocations: a table with the server's filters and pages; one of them in full, with its path lit on a small map.
import { useEffect, useState } from "preact/hooks";
import { ask, get, type Allocation, type AllocationOutcome, type AllocationPage, type Victim } from "./api";
import { Feed } from "./feed";
import { happenings, layout, links, lit, topologies, topology, version } from "./live";
import { Ask, CAUSES, ClassMark, Denial, Empty, Failure, PathText, say, State, Victims } from "./parts";
import { draw, outline } from "./geometry";
import { go, href, route } from "./route";
import { className, clock, count, dateAndTime, parseRate, rate } from "./units";

const PAGE = 50;
const STATES = ["active", "installing", "rerouting", "degraded", "released", "expired", "preempted", "devolved", "failed"];

export function Allocations() {
  const { of, query } = route.value;
  if (of) return <One id={of} key={of} />;
  return query.get("state") === "denied" ? <><h1>Allocations</h1><Filters /><Denied /></> : <><h1>Allocations</h1><Filters /><Table /></>;
}

function put(name: string, value: string): void {
  const query = Object.fromEntries(route.value.query);
  delete query.after;
  if (value) query[name] = value;
  else delete query[name];
  go("allocations", undefined, query);
}

function Filters() {
  const query = route.value.query;
  const nodes = layout.value?.layout.nodes ?? [];
  const choice = (name: string, title: string, options: [string, string][]) => (
    <label>
      {title}
      <select value={query.get(name) ?? ""} onChange={(event) => put(name, event.currentTarget.value)}>
        <option value="">any</option>
        {options.map(([value, text]) => <option value={value}>{text}</option>)}
      </select>
    </label>
  );
  const text = (name: string, title: string, list?: string, placeholder?: string) => (
    <label>
      {title}
      <input key={`${name}${query.get(name)}`} defaultValue={query.get(name) ?? ""} list={list} placeholder={placeholder} size={12} onChange={(event) => put(name, event.currentTarget.value.trim())} />
    </label>
  );
  return (
    <div class="filters" role="search" aria-label="Filter allocations">
      {choice("state", "State", [...STATES.map((one): [string, string] => [one, one]), ["denied", "denied (requests)"]])}
      {choice("class_type", "Class", [0, 1, 2, 3, 4, 5, 6, 7].map((one) => [String(one), className(one)]))}
      {text("ingress", "From", "node-names")}
      {text("egress", "To", "node-names")}
      {text("link", "Over link", "link-names-all")}
      {text("aggregator", "Aggregator")}
      {text("name", "Name", undefined, "ACME*")}
      {text("customer", "Customer")}
      {[...query.keys()].length ? <a href={href("allocations")}>Clear</a> : null}
      <datalist id="node-names">{nodes.slice(0, 2_000).map((node) => <option value={node.node}>{node.label}</option>)}</datalist>
      <datalist id="link-names-all">{(links.value?.links ?? []).slice(0, 2_000).map((link) => <option value={link.link} />)}</datalist>
    </div>
  );
}

function Table() {
  const { query } = route.value;
  const [page, setPage] = useState<AllocationPage | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [asked, setAsked] = useState<{ one: Allocation; what: "release" | "resize" } | null>(null);
  const asking = new URLSearchParams(query);
  if (topology.value) asking.set("topology", topology.value);
  asking.set("limit", String(PAGE));
  const path = `/v1/allocations?${asking}`;
  useEffect(() => {
    let current = true;
    get<AllocationPage>(path).then((read) => current && (setPage(read), setError(null)), (failed) => current && setError(failed));
    return () => void (current = false);
  }, [path, version.value]);
  useEffect(() => () => void (lit.value = new Set()), []);
  if (error) return <Failure error={error} />;
  if (!page) return <Empty title="Loading allocations …" />;
  const filtered = [...query.keys()].some((key) => key !== "after");
  if (!page.items.length)
    return (
      <Empty title={filtered ? "No allocation is like that" : "There are no allocations yet"}>
        <p>{filtered ? <a href={href("allocations")}>Show all of them</a> : <>Ask for one: <a href={href("what-if")}>What-if</a> shows what would happen first.</>}</p>
      </Empty>
    );
  const next = page.next;
  return (
    <div class="with-map">
      <div>
        <div class="scroll">
          <table>
            <thead>
              <tr><th>Id</th><th>Name</th><th>Customer</th><th>State</th><th>From</th><th>To</th><th>Class</th><th class="number">Bandwidth</th><th>Path</th><th>Changed</th><th><span class="hidden">Actions</span></th></tr>
            </thead>
            <tbody>
              {page.items.map((one) => <Row key={one.id} one={one} act={(what) => setAsked({ one, what })} />)}
            </tbody>
          </table>
        </div>
        <nav class="pages" aria-label="Pages">
          {query.get("after") ? <a href={href("allocations", undefined, without(query, "after"))}>« First page</a> : null}
          {query.get("after") ? <button onClick={() => history.back()}>‹ Back</button> : null}
          {next ? <a rel="next" href={href("allocations", undefined, { ...Object.fromEntries(query), after: next })}>Next {PAGE} ›</a> : <span class="quiet">That is all.</span>}
        </nav>
      </div>
      <MiniMap />
      {asked?.what === "release" ? <Release one={asked.one} close={() => setAsked(null)} /> : null}
      {asked?.what === "resize" ? <Resize one={asked.one} close={() => setAsked(null)} /> : null}
    </div>
  );
}

function without(query: URLSearchParams, name: string): Record<string, string> {
  const rest = Object.fromEntries(query);
  delete rest[name];
  return rest;
}

function Row(props: { one: Allocation; act: (what: "release" | "resize") => void }) {
  const { one } = props;
  const light = () => (lit.value = new Set(one.path));
  return (
    <tr onMouseEnter={light} onFocusIn={light} onMouseLeave={() => (lit.value = new Set())}>
      <td><a href={href("allocations", one.id)}>{one.id}</a></td>
      <td>{one.name}</td>
      <td>{one.customer}</td>
      <td><State of={one.state} /></td>
      <td>{one.ingress}</td>
      <td>{one.egress}</td>
      <td><ClassMark classType={one.class_type} /></td>
      <td class="number">{rate(one.bandwidth_bps)}</td>
      <td class="path-cell" title={one.path.join(" → ")}>{count(one.path.length, "hop")}: {one.path.join(" → ")}</td>
      <td>{dateAndTime(one.ended_at ?? one.updated_at)}</td>
      <td class="actions">
        {one.ended_at ? null : <><button onClick={() => props.act("resize")} aria-label={`Resize ${one.id}`}>Resize</button> <button onClick={() => props.act("release")} aria-label={`Release ${one.id}`}>Release</button></>}
      </td>
    </tr>
  );
}

/** The network in small, with the lit path on it. */
export function MiniMap() {
  if (!layout.value || !links.value || layout.value.topology !== links.value.topology) return null;
  const drawing = draw(layout.value.layout, links.value.links);
  const wide = Math.max(drawing.lane, 70);
  return (
    <aside class="mini" aria-hidden="true">
      <svg viewBox={`-300 -300 ${drawing.width + 600} ${drawing.height + 600}`}>
        {[...drawing.lanes.values()].map((lane) => <path class="casing" d={outline(lane, wide)} />)}
        {[...lit.value].map((name) => {
          const lane = drawing.lanes.get(name);
          return lane ? <path class="lit-path" d={outline({ ...lane, length: lane.length * 2 }, wide * 1.6)} /> : null;
        })}
        {drawing.spots.map((spot) => <circle cx={spot.x} cy={spot.y} r={drawing.radius} />)}
      </svg>
      <p class="quiet">{lit.value.size ? [...lit.value].join(" → ") : "Point at an allocation to see its path."}</p>
    </aside>
  );
}

/** Denied requests are events: they never became allocations. */
function Denied() {
  const denied = happenings.value.filter((one) => one.kind === "allocation_denied").reverse();
  if (!denied.length) return <Empty title="No request was denied lately"><p>Of the last {count(happenings.value.length, "event")}, none is a denial.</p></Empty>;
  return (
    <div class="scroll">
      <p class="quiet">From the last {count(happenings.value.length, "event")}.</p>
      <table>
        <thead><tr><th>When</th><th>From</th><th>To</th><th>Class</th><th class="number">Asked for</th><th>Why not</th></tr></thead>
        <tbody>
          {denied.slice(0, 200).map((one) => {
            const { demand, problem } = one.data as { demand: { ingress: string; egress: string; class_type: number; bandwidth_bps: number }; problem: Record<string, unknown> };
            return (
              <tr key={one.sequence}>
                <td>{clock(one.at)}</td><td>{demand.ingress}</td><td>{demand.egress}</td>
                <td><ClassMark classType={demand.class_type} /></td>
                <td class="number">{rate(demand.bandwidth_bps)}</td>
                <td><Denial problem={problem} /></td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function One(props: { id: string }) {
  const [one, setOne] = useState<Allocation | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [asked, setAsked] = useState<"release" | "resize" | null>(null);
  useEffect(() => {
    get<Allocation>(`/v1/allocations/${encodeURIComponent(props.id)}`).then((read) => {
      setOne(read);
      lit.value = new Set(read.path);
    }, setError);
    return () => void (lit.value = new Set());
  }, [props.id, version.value]);
  if (error && !one) return <><Failure error={error} /><p><a href={href("allocations")}>All allocations</a></p></>;
  if (!one) return <Empty title="Loading the allocation …" />;
  const about = happenings.value.filter((event) => concerns(event.data, props.id));
  const left = about.find((event) => victims(event.data).some((victim) => victim.id === one.id));
  const cause = left ? victims(left.data).find((victim) => victim.id === one.id) : undefined;
  const by = (left?.data.allocation as { id?: string } | undefined)?.id;
  return (
    <article class="with-map">
      <div>
        <p><a href={href("allocations")}>All allocations</a></p>
        <h1>Allocation {one.id} <State of={one.state} /></h1>
        <dl>
          {one.name ? <><dt>Name</dt><dd>{one.name}</dd></> : null}
          {one.customer ? <><dt>Customer</dt><dd>{one.customer}</dd></> : null}
          {one.note ? <><dt>Note</dt><dd>{one.note}</dd></> : null}
          <dt>From</dt><dd>{one.ingress}</dd>
          <dt>To</dt><dd>{one.egress}</dd>
          <dt>Bandwidth</dt><dd>{rate(one.bandwidth_bps)} in <ClassMark classType={one.class_type} long />, setup priority {one.setup_priority}, hold priority {one.hold_priority}</dd>
          <dt>Path</dt><dd><PathText path={one.path} /></dd>
          {one.aggregator ? <><dt>Aggregator</dt><dd>{one.aggregator}</dd></> : null}
          <dt>Admitted</dt><dd>{new Date(one.created_at).toLocaleString("en-GB")}</dd>
          {one.expires_at ? <><dt>Expires</dt><dd>{new Date(one.expires_at).toLocaleString("en-GB")}</dd></> : null}
          {one.ended_at ? <><dt>Ended</dt><dd>{new Date(one.ended_at).toLocaleString("en-GB")}</dd></> : null}
          {cause ? <><dt>Left its path</dt><dd>{CAUSES[cause.cause] ?? cause.cause}{by ? <>; for <a href={href("allocations", by)}>allocation {by}</a></> : null}</dd></> : null}
        </dl>
        {one.ended_at ? null : <div class="buttons"><button onClick={() => setAsked("resize")}>Resize …</button> <button onClick={() => setAsked("release")}>Release …</button></div>}
        <h2>What happened to it</h2>
        <Feed happenings={[...about].reverse()} />
      </div>
      {topologies.value?.some((known) => known.topology === one.topology) ? <MiniMap /> : null}
      {asked === "release" ? <Release one={one} close={() => setAsked(null)} /> : null}
      {asked === "resize" ? <Resize one={one} close={() => setAsked(null)} /> : null}
    </article>
  );
}

function victims(data: Record<string, unknown>): Victim[] {
  return (data.victims ?? []) as Victim[];
}

function concerns(data: Record<string, unknown>, id: string): boolean {
  const told = data as { id?: string; ids?: string[]; allocation?: { id: string } };
  return told.id === id || told.allocation?.id === id || Boolean(told.ids?.includes(id)) || victims(data).some((victim) => victim.id === id);
}

function Release(props: { one: Allocation; close: () => void }) {
  const [error, setError] = useState<unknown>(null);
  const release = async () => {
    try {
      await ask("DELETE", `/v1/allocations/${props.one.id}`);
      say(`Allocation ${props.one.id} is released.`);
      props.close();
    } catch (failed) {
      setError(failed);
    }
  };
  return (
    <Ask title={`Release allocation ${props.one.id}?`} close={props.close}>
      <p>{rate(props.one.bandwidth_bps)} from {props.one.ingress} to {props.one.egress} will be free again. Its traffic loses its reservation at once.</p>
      {error ? <Failure error={error} /> : null}
      <div class="buttons"><button class="primary" onClick={release}>Release</button> <button onClick={props.close}>Keep it</button></div>
    </Ask>
  );
}

function Resize(props: { one: Allocation; close: () => void }) {
  const [text, setText] = useState(String(props.one.bandwidth_bps));
  const [would, setWould] = useState<AllocationOutcome | null>(null);
  const [error, setError] = useState<unknown>(null);
  const bps = parseRate(text);
  const run = async (dry: boolean) => {
    try {
      const { body } = await ask<AllocationOutcome>("PATCH", `/v1/allocations/${props.one.id}${dry ? "?dry_run=true" : ""}`, { bandwidth_bps: bps });
      setError(null);
      if (dry) return setWould(body);
      say(`Allocation ${props.one.id} has ${rate(body.bandwidth_bps)} now.`);
      props.close();
    } catch (failed) {
      setWould(null);
      setError(failed);
    }
  };
  return (
    <Ask title={`Resize allocation ${props.one.id}`} close={props.close}>
      <form onSubmit={(event) => (event.preventDefault(), void run(true))}>
        <label>New bandwidth <input value={text} aria-invalid={bps === null} onInput={(event) => (setText(event.currentTarget.value), setWould(null))} /></label>{" "}
        <button disabled={bps === null}>What would happen?</button>
        <p class="quiet">It has {rate(props.one.bandwidth_bps)}. Write 500M, 2.5G or bit/s.</p>
      </form>
      {error ? <Failure error={error} /> : null}
      {would ? <><Victims effects={would} would /><p>Path: <PathText path={would.path} /></p></> : null}
      <div class="buttons">
        <button class="primary" disabled={!would} onClick={() => run(false)}>Resize</button> <button onClick={props.close}>Cancel</button>
      </div>
    </Ask>
  );
}
