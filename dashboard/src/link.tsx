// One link: what fills it, who is on it, what it was, and what it would take to fit more.
import { useEffect, useState } from "preact/hooks";
import { ask, get, ofLink, Refused, type Allocation, type AllocationOutcome, type Link, type LinkOutcome } from "./api";
import { Feed } from "./feed";
import { busiest, happenings, lit, links, topology, version } from "./live";
import { Occupancy } from "./occupancy";
import { ClassMark, Denial, Empty, Failure, LinkName, outcomes, say, State, Victims } from "./parts";
import { Plot, type Series } from "./plot";
import { href, route } from "./route";
import { className, count, parseRate, percent, rate } from "./units";

/** Allocations that are read for the history of a link. */
const HISTORY_MAX = 3_000;

export function LinkView() {
  const name = route.value.of;
  const first = busiest.value[0]?.link;
  useEffect(() => {
    // In place of the address without a link, or going back would lead here again.
    if (location.hash.replace(/\/$/, "") === href("link") && first) location.replace(href("link", first));
  }, [name, first]);
  if (!name) return <Empty title="No link is chosen"><p>Choose one on the <a href={href("map")}>map</a>.</p></Empty>;
  return topology.value ? <OneLink key={`${topology.value}/${name}`} topology={topology.value} name={name} /> : <Empty title="Loading …" />;
}

function OneLink(props: { topology: string; name: string }) {
  const [link, setLink] = useState<Link | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [all, setAll] = useState<Allocation[]>([]);
  useEffect(() => {
    let current = true;
    const path = `/v1/allocations?topology=${encodeURIComponent(props.topology)}&link=${encodeURIComponent(props.name)}`;
    Promise.all([get<Link>(ofLink(props.topology, props.name)), everyone(path)]).then(([read, found]) => {
      if (!current) return;
      setLink(read);
      setAll(found);
      setError(null);
    }, (failed) => current && setError(failed));
    return () => void (current = false);
  }, [props.topology, props.name, version.value]);
  if (error && !link) {
    if (error instanceof Refused && error.status === 404)
      return <Empty title={`${props.topology} has no link ${props.name}`}><p>Choose one on the <a href={href("map")}>map</a>, or another topology above.</p></Empty>;
    return <Failure error={error} />;
  }
  if (!link) return <Empty title="Loading the link …" />;
  const living = all.filter((one) => !one.ended_at);
  return (
    <article>
      <Title link={link} />
      <Occupancy link={link} />
      <div class="columns">
        <section>
          <h2>Room for more</h2>
          <Room link={link} />
          <FitMore topology={props.topology} link={link} living={living} />
        </section>
        <section>
          <h2>History</h2>
          <History link={link} all={all} />
          <Feed happenings={concerning(props.name, all).slice(-6).reverse()} />
        </section>
      </div>
      <section>
        <h2>On it: {count(link.allocation_count, "allocation")}</h2>
        <OnIt allocations={living} />
      </section>
      <section>
        <h2>In and out of service</h2>
        <Service topology={props.topology} link={link} />
      </section>
    </article>
  );
}

async function everyone(path: string): Promise<Allocation[]> {
  const found: Allocation[] = [];
  let after: string | undefined;
  do {
    const page: { items: Allocation[]; next?: string } = await get(`${path}&limit=1000${after ? `&after=${after}` : ""}`);
    found.push(...page.items);
    after = page.next;
  } while (after && found.length < HISTORY_MAX);
  return found;
}

function Title(props: { link: Link }) {
  const { link } = props;
  const names = links.value?.links ?? [];
  const at = names.findIndex((one) => one.link === link.link);
  return (
    <div class="title">
      <h1>{link.link} <State of={link.state} /></h1>
      <p>
        {link.from} → {link.to}, {rate(link.capacity_bps)}
        {link.max_reservable_bps !== link.capacity_bps ? `, ${rate(link.max_reservable_bps)} of it may be reserved` : ""}, TE metric {link.te_metric},{" "}
        {(link.delay_us / 1000).toFixed(link.delay_us < 10_000 ? 2 : 1)} ms
        {link.srlg.length ? `, risk groups ${link.srlg.join(", ")}` : ""}.{" "}
        {link.measured_bps === undefined ? null : <>Measured: {rate(link.measured_bps)}. </>}
        {link.twin ? <>The way back: <LinkName name={link.twin} />. </> : null}
        {at > 0 ? <a href={href("link", names[at - 1]!.link)} rel="prev">Previous link</a> : null}{" "}
        {at >= 0 && at + 1 < names.length ? <a href={href("link", names[at + 1]!.link)} rel="next">Next link</a> : null}
      </p>
    </div>
  );
}

function Room(props: { link: Link }) {
  return (
    <table class="tight">
      <thead><tr><th>Class</th><th class="number">Free now</th><th class="number">With preemption</th></tr></thead>
      <tbody>
        {[...props.link.unreserved].reverse().map((one) => (
          <tr>
            <td><ClassMark classType={one.class_type} long /> <span class="quiet">priority {one.priority}</span></td>
            <td class="number">{rate(one.free_bps)}</td>
            <td class="number">{rate(one.unreserved_bps)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** What would be preempted to fit so much more: a dry run over exactly this link. */
function FitMore(props: { topology: string; link: Link; living: Allocation[] }) {
  const { link } = props;
  const highest = Math.max(...link.classes.map((one) => one.class_type));
  const [text, setText] = useState("500M");
  const [classType, setClassType] = useState(highest);
  const [found, setFound] = useState<AllocationOutcome | Refused | null>(null);
  const bps = parseRate(text);
  const run = async (event: Event) => {
    event.preventDefault();
    if (bps === null) return;
    const body = { topology: props.topology, ingress: link.from, egress: link.to, class_type: classType, bandwidth_bps: bps, constraints: { route: [{ link: link.link }] } };
    try {
      setFound((await ask<AllocationOutcome>("POST", "/v1/allocations?dry_run=true", body)).body);
    } catch (error) {
      setFound(error instanceof Refused ? error : null);
    }
  };
  return (
    <>
      <form class="inline" onSubmit={run}>
        <label>What would it take to fit <input value={text} size={8} aria-invalid={bps === null} onInput={(event) => setText(event.currentTarget.value)} /></label>
        <label>more in <select value={classType} onChange={(event) => setClassType(Number(event.currentTarget.value))}>
          {link.classes.map((one) => <option value={one.class_type}>{className(one.class_type, true)}</option>)}
        </select></label>
        <button disabled={bps === null}>Ask</button>
      </form>
      {bps === null ? <p class="bad">Write an amount such as 500M, 2.5G or 1000000.</p> : null}
      <div aria-live="polite">
        {found instanceof Refused ? <div class="verdict is-no"><strong>⊘ It does not fit.</strong> <Denial problem={found.problem} /></div>
          : found ? <div class="verdict is-yes"><strong>● It fits.</strong> <Victims effects={found} would among={props.living} /></div> : null}
      </div>
    </>
  );
}

function History(props: { link: Link; all: Allocation[] }) {
  const { times, series } = history(props.link, props.all);
  if (times.length < 2) return <p class="quiet">Nobody has been on this link yet.</p>;
  return <Plot times={times} series={series} stepped label={`Reserved on ${props.link.link} over time, by class`} />;
}

/** What was reserved by class over time, from when allocations came and went. Each counts by the path it had last. */
export function history(link: Link, all: Allocation[]): { times: number[]; series: Series[] } {
  const changes: { at: number; classType: number; bps: number }[] = [];
  for (const one of all) {
    changes.push({ at: Date.parse(one.created_at), classType: one.class_type, bps: one.bandwidth_bps });
    if (one.ended_at) changes.push({ at: Date.parse(one.ended_at), classType: one.class_type, bps: -one.bandwidth_bps });
  }
  changes.sort((one, two) => one.at - two.at);
  const classes = link.classes.map((one) => one.class_type);
  const now = new Map(classes.map((one) => [one, 0]));
  const times: number[] = changes.length ? [changes[0]!.at / 1000 - 1] : [];
  const values = new Map(classes.map((one) => [one, times.map((): number | null => 0)]));
  const note = (at: number) => {
    if (times.at(-1) === at) for (const one of classes) values.get(one)!.pop();
    else times.push(at);
    for (const one of classes) values.get(one)!.push(now.get(one)!);
  };
  for (const change of changes) {
    if (!now.has(change.classType)) continue;
    now.set(change.classType, now.get(change.classType)! + change.bps);
    note(change.at / 1000);
  }
  if (times.length) note(Math.max(Date.now() / 1000, times.at(-1)! + 1));
  return { times, series: classes.map((one) => ({ label: className(one), classType: one, values: values.get(one)! })) };
}

function concerning(name: string, all: Allocation[]) {
  const ids = new Set(all.map((one) => one.id));
  return happenings.value.filter((one) => {
    const data = one.data as { id?: string; allocation?: { path: string[] }; links?: { link?: string }[]; problem?: { binding_links?: { link: string }[] } };
    return data.allocation?.path.includes(name) || (data.id && ids.has(data.id)) || (Array.isArray(data.links) && data.links.some((link) => link.link === name))
      || data.problem?.binding_links?.some((link) => link.link === name);
  });
}

function OnIt(props: { allocations: Allocation[] }) {
  if (!props.allocations.length) return <p class="quiet">Nobody.</p>;
  const sorted = [...props.allocations].sort((one, two) => two.bandwidth_bps - one.bandwidth_bps).slice(0, 200);
  return (
    <div class="scroll tall" tabIndex={0} role="group" aria-label="Allocations on the link">
      <table>
        <thead><tr><th>Allocation</th><th>From</th><th>To</th><th>Class</th><th class="number">Bandwidth</th><th class="number">Hops</th><th>Since</th></tr></thead>
        <tbody>
          {sorted.map((one) => (
            <tr key={one.id} onMouseEnter={() => (lit.value = new Set(one.path))} onMouseLeave={() => (lit.value = new Set())}>
              <td><a href={href("allocations", one.id)}>{one.id}</a></td>
              <td>{one.ingress}</td><td>{one.egress}</td>
              <td><ClassMark classType={one.class_type} /></td>
              <td class="number">{rate(one.bandwidth_bps)}</td>
              <td class="number">{one.path.length}</td>
              <td>{new Date(one.created_at).toLocaleString("en-GB")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Taking a link out of service: first what that would do, then doing it. */
export function Service(props: { topology: string; link: Link }) {
  const { link } = props;
  const [preview, setPreview] = useState<{ state: string; outcome: LinkOutcome } | null>(null);
  const [error, setError] = useState<unknown>(null);
  const change = async (state: string, dry: boolean) => {
    try {
      const path = `${ofLink(props.topology, link.link)}${dry ? "?dry_run=true" : ""}`;
      const { body } = await ask<LinkOutcome>("PATCH", path, { state });
      setError(null);
      setPreview(dry ? { state, outcome: body } : null);
      if (!dry) say(`${body.links.join(" and ")}: ${state}. ${outcomes(body.victims) || "no allocation touched"}.`);
    } catch (failed) {
      setError(failed);
    }
  };
  const words: Record<string, string> = { maintenance: "Drain this link", down: "Take it down", up: "Put it in service" };
  return (
    <>
      <div class="buttons">
        {Object.entries(words).filter(([state]) => state !== link.state).map(([state, text]) => <button onClick={() => change(state, true)}>{text} …</button>)}
      </div>
      {error ? <Failure error={error} /> : null}
      {preview ? (
        <div class="verdict" aria-live="polite">
          <h3>{words[preview.state]}: {preview.outcome.links.join(" and ")}</h3>
          <Victims effects={preview.outcome} would />
          {preview.outcome.stranded.length ? (
            <p><strong>{count(preview.outcome.stranded.length, "allocation")} could not move</strong> and would stay:{" "}
              {preview.outcome.stranded.slice(0, 50).map((id) => <><a href={href("allocations", id)}>{id}</a> </>)}</p>
          ) : preview.state === "maintenance" ? <p>Everybody on it has somewhere to go.</p> : null}
          <button class="primary" onClick={() => change(preview.state, false)}>{words[preview.state]}</button>{" "}
          <button onClick={() => setPreview(null)}>Leave it as it is</button>
        </div>
      ) : null}
      <p class="quiet">At {percent(link.utilisation_ppm)} now. The other direction of the same fibre shares the state.</p>
    </>
  );
}
