// Allocations: a table with the server's filters and pages; one of them in full, with its path lit on a small map.
import { useEffect, useState } from "preact/hooks";
import { all, ask, get, type Allocation, type AllocationPage, type Victim } from "./api";
import { Release, sum } from "./bulk";
import { MiniMap } from "./canvas";
import { Change, isUnprotected } from "./change";
import { Feed } from "./feed";
import { happenings, layout, links, nodeText, pin, topologies, topology } from "./live";
import { CAUSES, ClassMark, Denial, Empty, Failure, hopsText, linkText, NAMED, NodeName, PathText, say, State } from "./parts";
import { useReading } from "./reading";
import { go, href, route } from "./route";
import { may } from "./session";
import { Table } from "./table";
import { className, clock, count, dateAndTime, rate } from "./units";

const PAGE = 50;
const STATES = ["held", "scheduled", "active", "installing", "rerouting", "degraded", "released", "expired", "preempted", "devolved", "failed"];

export function Allocations() {
  const { of, query } = route.value;
  if (of) return <One id={of} key={of} />;
  return query.get("state") === "denied" ? <><h1>Allocations</h1><Filters /><Denied /></> : <><h1>Allocations</h1><Filters /><List /></>;
}

function put(name: string, value: string): void {
  const query = Object.fromEntries(route.value.query);
  delete query.after;
  if (value) query[name] = value;
  else delete query[name];
  go("allocations", undefined, query);
}

/** Parts of the address that are no filter of the list. */
const NO_FILTER = ["topology", "after", "sort"];

function isFiltered(query: URLSearchParams): boolean {
  return [...query.keys()].some((key) => !NO_FILTER.includes(key) && !key.startsWith("sort-"));
}

function Filters() {
  const query = route.value.query;
  const nodes = layout.value?.layout.nodes ?? [];
  const choice = (name: string, title: string, options: [string, string][], none = "any") => (
    <label>
      {title}
      <select value={query.get(name) ?? ""} onChange={(event) => put(name, event.currentTarget.value)}>
        <option value="">{none}</option>
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
      {choice("protected", "Protection", [["true", "with a backup path"], ["false", "unprotected now"]])}
      {choice("preempted_after", "Notice", [["1970-01-01T00:00:00Z", "to be preempted"]])}
      {choice("class_type", "Class", [0, 1, 2, 3, 4, 5, 6, 7].map((one) => [String(one), className(one)]))}
      {text("ingress", "From", "node-names")}
      {text("egress", "To", "node-names")}
      {text("link", "Over link", "link-names-all")}
      {text("aggregator", "Aggregator")}
      {text("name", "Name", undefined, "ACME*")}
      {text("customer", "Customer")}
      {text("tenant", "Tenant")}
      {choice("sort", "Living, in order", [["-bandwidth_bps", "largest first"], ["-created_at", "newest first"], ["-updated_at", "last changed first"]], "of their ids")}
      {isFiltered(query) ? <a href={href("allocations")}>Clear</a> : null}
      <datalist id="node-names">{nodes.slice(0, 2_000).map((node) => <option value={node.node}>{node.label}</option>)}</datalist>
      <datalist id="link-names-all">{(links.value?.links ?? []).slice(0, 2_000).map((link) => <option value={link.link} />)}</datalist>
    </div>
  );
}

function List() {
  const { query } = route.value;
  const [asked, setAsked] = useState<{ one: Allocation; what: "release" | "change" } | null>(null);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [releasing, setReleasing] = useState<Allocation[] | null>(null);
  const asking = new URLSearchParams([...query].filter(([key]) => !key.startsWith("sort-")));
  if (topology.value) asking.set("topology", topology.value);
  const every = new URLSearchParams(asking);
  every.delete("after");
  asking.set("limit", String(PAGE));
  const path = `/v1/allocations?${asking}`;
  const { value: page, error } = useReading(path, () => get<AllocationPage>(path));
  // What is chosen is of what is shown.
  useEffect(() => setChosen(new Set()), [path]);
  useEffect(() => () => pin(), []);
  if (error && !page) return <Failure error={error} />;
  if (!page) return <Empty title="Loading allocations …" />;
  if (!page.items.length)
    return (
      <Empty title={isFiltered(query) ? "No allocation is like that" : "There are no allocations yet"}>
        <p>{isFiltered(query) ? <a href={href("allocations")}>Show all of them</a> : <>Ask for one: <a href={href("what-if")}>What-if</a> shows what would happen first.</>}</p>
      </Empty>
    );
  const next = page.next;
  const isWhole = !next && !query.get("after");
  const picked = page.items.filter((one) => chosen.has(one.id) && !one.ended_at);
  return (
    <div class="with-map">
      <div>
        <div class="bulk">
          <button disabled={!picked.length || !may("request")} onClick={() => setReleasing(picked)}>Release {picked.length || ""} chosen …</button>
          {picked.length ? <span class="quiet"> {sum(picked)} in all</span> : null}
        </div>
        <Table
          name="allocations" label="Allocations" rows={page.items} whole={isWhole} id={(one) => one.id} links={(one) => [...one.path, ...(one.backup_path ?? [])]} chosen={chosen} choose={setChosen} can={(one) => !one.ended_at}
          total={<>{count(page.items.length, "allocation")}{isWhole ? "" : " on this page"}; those that live have {sum(page.items.filter((one) => !one.ended_at))}.</>}
          every={() => all<Allocation>(`/v1/allocations?${every}`)}
          columns={[
            { title: "Id", cell: (one) => <a href={href("allocations", one.id)}>{one.id}</a>, value: (one) => Number(one.id) },
            ...(page.items.some((one) => one.name || one.customer) ? NAMED : []),
            ...(page.items.some((one) => one.tenant) ? [{ title: "Tenant", cell: (one: Allocation) => one.tenant, value: (one: Allocation) => one.tenant }] : []),
            { title: "State", cell: (one) => <><State of={one.state} />{isUnprotected(one) ? <><br /><State of="unprotected" /></> : null}{one.preempted_at ? <><br /><span class="quiet">preempted at {dateAndTime(one.preempted_at)}</span></> : null}{isHeld(one) ? <><br /><span class="quiet">until {dateAndTime(one.held_until!)}</span></> : null}{one.state === "scheduled" ? <><br /><span class="quiet">from {dateAndTime(one.starts_at!)}</span></> : null}</>, value: (one) => one.state },
            { title: "From", cell: (one) => <NodeName of={one.ingress} />, value: (one) => one.ingress },
            { title: "To", cell: (one) => <NodeName of={one.egress} />, value: (one) => one.egress },
            { title: "Class", cell: (one) => <ClassMark classType={one.class_type} />, value: (one) => one.class_type },
            { title: "Bandwidth", number: true, cell: (one) => rate(one.bandwidth_bps), value: (one) => one.bandwidth_bps },
            { title: "Path", class: "path-cell", cell: (one) => <span title={one.path.map(linkText).join(" → ")}>{hopsText(one.path)}</span>, value: (one) => one.path.join(" ") },
            { title: "Changed", class: "when", cell: (one) => dateAndTime(one.ended_at ?? one.updated_at), value: (one) => one.ended_at ?? one.updated_at },
            {
              title: "Actions", class: "actions",
              cell: (one) => (one.ended_at || !may("request") ? null : <><Commit one={one} />{" "}<button onClick={() => setAsked({ one, what: "change" })} aria-label={`${isUnprotected(one) ? "Protect" : "Change"} ${one.id}`}>{isUnprotected(one) ? "Protect" : "Change"} …</button> <button onClick={() => setAsked({ one, what: "release" })} aria-label={`Release ${one.id}`}>Release</button></>),
            },
          ]}
        />
        <nav class="pages" aria-label="Pages">
          {query.get("after") ? <a href={href("allocations", undefined, without(query, "after"))}>« First page</a> : null}
          {query.get("after") ? <button onClick={() => history.back()}>‹ Back</button> : null}
          {next ? <a rel="next" href={href("allocations", undefined, { ...Object.fromEntries(query), after: next })}>Next {PAGE} ›</a> : <span class="quiet">That is all.</span>}
        </nav>
      </div>
      <MiniMap />
      {asked?.what === "release" ? <Release of={[asked.one]} close={() => setAsked(null)} /> : null}
      {asked?.what === "change" ? <Change one={asked.one} close={() => setAsked(null)} /> : null}
      {releasing ? <Release of={releasing} close={() => (setReleasing(null), setChosen(new Set()))} /> : null}
    </div>
  );
}

function without(query: URLSearchParams, name: string): Record<string, string> {
  const rest = Object.fromEntries(query);
  delete rest[name];
  return rest;
}

/** Denied requests are events: they never became allocations. */
function Denied() {
  const { query } = route.value;
  const wanted = (of: Demand) => of.topology === topology.value && (["ingress", "egress", "class_type", "aggregator"] as const).every((part) => !query.get(part) || String(of[part]) === query.get(part));
  const told = happenings.value.filter((one) => one.kind === "allocation_denied").map((one) => ({ ...one, ...(one.data as { demand: Demand; problem: Record<string, unknown> }) }));
  const denied = told.filter((one) => wanted(one.demand)).reverse();
  const among = `Of the last ${count(happenings.value.length, "event")}`;
  if (!denied.length) return <Empty title="No request like that was denied lately"><p>{among}, none is such a denial.</p></Empty>;
  return (
    <Table
      name="denied" label="Denied requests" rows={denied} whole most={200} id={(one) => String(one.sequence)} total={`${among}, ${denied.length}.`}
      columns={[
        { title: "When", cell: (one) => clock(one.at), value: (one) => one.at },
        { title: "From", cell: (one) => <NodeName of={one.demand.ingress} />, value: (one) => one.demand.ingress },
        { title: "To", cell: (one) => <NodeName of={one.demand.egress} />, value: (one) => one.demand.egress },
        { title: "Class", cell: (one) => <ClassMark classType={one.demand.class_type} />, value: (one) => one.demand.class_type },
        { title: "Asked for", number: true, cell: (one) => rate(one.demand.bandwidth_bps), value: (one) => one.demand.bandwidth_bps },
        { title: "Why not", cell: (one) => <Denial problem={one.problem} />, value: (one) => String(one.problem.detail ?? one.problem.title ?? "") },
      ]}
    />
  );
}

interface Demand {
  topology: string;
  ingress: string;
  egress: string;
  class_type: number;
  bandwidth_bps: number;
  aggregator?: string;
}

function One(props: { id: string }) {
  const [asked, setAsked] = useState<"release" | "change" | null>(null);
  const { value: one, error } = useReading(props.id, () => get<Allocation>(`/v1/allocations/${encodeURIComponent(props.id)}`));
  useEffect(() => pin(one ? [...one.path, ...(one.backup_path ?? [])] : []), [one]);
  useEffect(() => () => pin(), []);
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
          {one.tenant ? <><dt>Tenant</dt><dd><a href={href("allocations", undefined, { tenant: one.tenant })}>{one.tenant}</a></dd></> : null}
          {one.note ? <><dt>Note</dt><dd>{one.note}</dd></> : null}
          <dt>From</dt><dd><NodeName of={one.ingress} /></dd>
          <dt>To</dt><dd><NodeName of={one.egress} /></dd>
          <dt>Bandwidth</dt><dd>{rate(one.bandwidth_bps)} in <ClassMark classType={one.class_type} long />, setup priority {one.setup_priority}, hold priority {one.hold_priority}</dd>
          <Follows one={one} />
          <dt>{one.protection ? "Working path" : "Path"}</dt><dd><PathText path={one.path} /></dd>
          {one.protection ? <><dt>Backup path</dt><dd>{one.backup_path ? <PathText path={one.backup_path} /> : isUnprotected(one) ? <><State of="unprotected" />: it gets one when one can be had</> : "none"}</dd></> : null}
          {one.bidirectional ? <><dt>Directions</dt><dd>both, on the same links back</dd></> : null}
          {one.protection ? <><dt>Protection</dt><dd>{one.protection.kind}, no shared {SHARED[one.protection.disjoint ?? "link"]}{one.protection.revertive ? ", traffic returns" : ""}</dd></> : null}
          {one.reverts_to ? <><dt>Returns to</dt><dd><PathText path={one.reverts_to} /></dd></> : null}
          <KeepsOff one={one} />
          {one.aggregator ? <><dt>Aggregator</dt><dd>{one.aggregator}</dd></> : null}
          <dt>Admitted</dt><dd>{dateAndTime(one.created_at)}</dd>
          {isHeld(one) ? <><dt>Held until</dt><dd>{dateAndTime(one.held_until!)}; then it lapses, unless it is committed before</dd></> : null}
          {one.starts_at ? <><dt>Starts</dt><dd>{dateAndTime(one.starts_at)}</dd></> : null}
          {one.expires_at ? <><dt>Expires</dt><dd>{dateAndTime(one.expires_at)}</dd></> : null}
          {one.preempted_at ? <><dt>Will be preempted</dt><dd><span class="state is-rerouted">▲ {dateAndTime(one.preempted_at)}</span>{one.preempted_by ? <> by <a href={href("allocations", one.preempted_by)}>allocation {one.preempted_by}</a>, which is booked for then</> : null}</dd></> : null}
          {one.ended_at ? <><dt>Ended</dt><dd>{dateAndTime(one.ended_at)}</dd></> : null}
          {cause ? <><dt>Left its path</dt><dd>{CAUSES[cause.cause] ?? cause.cause}{by ? <>; for <a href={href("allocations", by)}>allocation {by}</a></> : null}</dd></> : null}
        </dl>
        {one.ended_at || !may("request") ? null : <div class="buttons"><Commit one={one} /> <button onClick={() => setAsked("change")}>{isUnprotected(one) ? "Protect" : "Change"} …</button> <button onClick={() => setAsked("release")}>Release …</button></div>}
        <h2>What happened to it</h2>
        <Feed happenings={[...about].reverse()} />
      </div>
      {topologies.value?.some((known) => known.topology === one.topology) ? <MiniMap /> : null}
      {asked === "release" ? <Release of={[one]} close={() => setAsked(null)} /> : null}
      {asked === "change" ? <Change one={one} close={() => setAsked(null)} /> : null}
    </article>
  );
}

function victims(data: Record<string, unknown>): Victim[] {
  return (data.victims ?? []) as Victim[];
}

function concerns(data: Record<string, unknown>, id: string): boolean {
  const told = data as { id?: string; ids?: string[]; allocation?: { id: string }; notices?: { id: string }[] };
  return told.id === id || told.allocation?.id === id || Boolean(told.ids?.includes(id)) || Boolean(told.notices?.some((notice) => notice.id === id)) || victims(data).some((victim) => victim.id === id);
}

/** How its bandwidth follows its traffic, and what was measured. */
function Follows(props: { one: Allocation }) {
  const { auto_bandwidth: asked, auto_bandwidth_status: status } = props.one;
  if (!asked) return null;
  return (
    <>
      <dt>Auto-bandwidth</dt>
      <dd>
        {rate(asked.minimum_bandwidth_bps)} to {rate(asked.maximum_bandwidth_bps)}
        {status?.measured_bps !== undefined ? <>; {rate(status.measured_bps)} measured</> : null}
        {status?.maximum_average_bps !== undefined ? <>, at most {rate(status.maximum_average_bps)} since the last adjustment</> : null}
        {status?.adjusts_at ? <>; next adjustment {dateAndTime(status.adjusts_at)}</> : null}
        {status?.reason ? <>; {status.reason}</> : null}
      </dd>
    </>
  );
}

/** The links and nodes that its path avoids, and an end to that. */
function KeepsOff(props: { one: Allocation }) {
  const { one } = props;
  const off = one.constraints?.exclude ?? [];
  if (!off.length) return null;
  const told = (hop: (typeof off)[number]) => ("link" in hop ? linkText(hop.link) : nodeText(hop.node));
  const lift = async (hop: (typeof off)[number]) => {
    try {
      const { body: now } = await ask<Allocation>("GET", `/v1/allocations/${one.id}`);
      const exclude = (now.constraints?.exclude ?? []).filter((other) => told(other) !== told(hop));
      await ask("PATCH", `/v1/allocations/${one.id}`, { constraints: { ...now.constraints, exclude } });
      say(`Allocation ${one.id} may go by ${told(hop)} again.`);
    } catch (error) {
      say(error instanceof Error ? error.message : String(error), true);
    }
  };
  return (
    <>
      <dt>Keeps off</dt>
      {off.map((hop) => <dd>{told(hop)} {one.ended_at || !may("request") ? null : <button class="small" onClick={() => void lift(hop)}>Lift</button>}</dd>)}
    </>
  );
}

/** What two paths do not share. */
const SHARED = { link: "link", srlg: "link or risk group", node: "link or node" };

function isHeld(one: Allocation): boolean {
  return one.state === "held" && Boolean(one.held_until);
}

/** Puts one that is held in force; nobody loses by it, as its bandwidth is reserved already. */
function Commit(props: { one: Allocation }) {
  const { one } = props;
  const [busy, setBusy] = useState(false);
  if (!isHeld(one)) return null;
  const commit = async () => {
    setBusy(true);
    try {
      await ask("POST", `/v1/allocations/${one.id}/commit`);
      say(`Allocation ${one.id} is committed.`);
    } catch (error) {
      say(error instanceof Error ? error.message : String(error), true);
    }
    setBusy(false);
  };
  return <button disabled={busy} onClick={commit} aria-label={`Commit ${one.id}`}>Commit</button>;
}
