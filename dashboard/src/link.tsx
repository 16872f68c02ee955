// One link: what fills it, the allocations on it, what it was, and what it would take to fit more.
import { useEffect, useState } from "preact/hooks";
import { all, ask, get, ofLink, Refused, type Allocation, type AllocationOutcome, type Link, type LinkOutcome } from "./api";
import { MoveOff, Release, sum } from "./bulk";
import { Feed } from "./feed";
import { LinkHistory } from "./history";
import { busiest, happenings, links, topology } from "./live";
import { Occupancy } from "./occupancy";
import { ClassMark, Denial, Empty, Failure, LinkName, linkText, NAMED, NodeName, outcomes, say, State, Stranded, Victims } from "./parts";
import { useReading } from "./reading";
import { href, route } from "./route";
import { may } from "./session";
import { Table } from "./table";
import { className, count, dateAndTime, parseRate, percent, rate } from "./units";

/** So many allocations of a link are read, the largest. */
const READ_MAX = 5_000;
/** A list of so many is read again less often, in milliseconds. */
const MANY = 500;
const READ_MANY_EVERY_MS = 5_000;
const SHOWN = 200;

export function LinkView() {
  const name = route.value.of;
  const first = busiest.value[0]?.link;
  useEffect(() => {
    // In place of the address without a link, or going back would lead here again. Where somebody has gone on meanwhile, the
    // address says so before its event does.
    if (!name && first && /^#\/?link(\?|$)/.test(location.hash)) location.replace(href("link", first));
  }, [name, first]);
  if (!name) return <Empty title="No link is chosen"><p>Choose one on the <a href={href("map")}>map</a>.</p></Empty>;
  return topology.value ? <OneLink key={`${topology.value}/${name}`} topology={topology.value} name={name} /> : <Empty title="Loading …" />;
}

function OneLink(props: { topology: string; name: string }) {
  const key = `${props.topology}/${props.name}`;
  const { value: link, error } = useReading(key, () => get<Link>(ofLink(props.topology, props.name)));
  const path = `/v1/allocations?topology=${encodeURIComponent(props.topology)}&link=${encodeURIComponent(props.name)}&sort=-bandwidth_bps`;
  const { value: living } = useReading(key, () => all<Allocation>(path, READ_MAX), (found) => (found.length > MANY ? READ_MANY_EVERY_MS : 0));
  if (error && !link) {
    if (error instanceof Refused && error.status === 404)
      return <Empty title={`${props.topology} has no link ${props.name}`}><p>Choose one on the <a href={href("map")}>map</a>, or another topology above.</p></Empty>;
    return <Failure error={error} />;
  }
  if (!link) return <Empty title="Loading the link …" />;
  return (
    <article>
      <Title link={link} />
      <Occupancy link={link} />
      <div class="columns">
        <section>
          <h2>Room for more</h2>
          <Room link={link} />
          <FitMore topology={props.topology} link={link} />
        </section>
        <section>
          <h2>History</h2>
          <LinkHistory topology={props.topology} link={link} />
          <Feed happenings={concerning(props.name, living).slice(-6).reverse()} />
        </section>
      </div>
      <section>
        <h2>In and out of service</h2>
        <Service topology={props.topology} link={link} />
      </section>
      <section>
        <h2>On it: {count(link.allocation_count, "allocation")}, {rate(link.reserved_bps)}</h2>
        <OnIt link={link} living={living} />
      </section>
    </article>
  );
}

function Title(props: { link: Link }) {
  const { link } = props;
  const names = links.value?.links ?? [];
  const at = names.findIndex((one) => one.link === link.link);
  return (
    <div class="title">
      <h1>{link.link} <State of={link.state} /></h1>
      <p>
        <NodeName of={link.from} /> → <NodeName of={link.to} />, {rate(link.capacity_bps)}
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
function FitMore(props: { topology: string; link: Link }) {
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
        <label>What would it take to fit <input value={text} size={8} aria-invalid={bps === null} onInput={(event) => (setText(event.currentTarget.value), setFound(null))} /></label>
        <label>more in <select value={classType} onChange={(event) => (setClassType(Number(event.currentTarget.value)), setFound(null))}>
          {link.classes.map((one) => <option value={one.class_type}>{className(one.class_type, true)}</option>)}
        </select></label>
        <button disabled={bps === null}>Ask</button>
      </form>
      {bps === null ? <p class="bad">Write an amount such as 500M, 2.5G or 1000000.</p> : null}
      <div aria-live="polite">
        {found instanceof Refused ? <div class="verdict is-no"><strong>⊘ It does not fit.</strong> <Denial problem={found.problem} /></div>
          : found ? <div class="verdict is-yes"><strong>● It fits.</strong> <Victims effects={found} would /></div> : null}
      </div>
    </>
  );
}

function concerning(name: string, living: Allocation[] = []) {
  const ids = new Set(living.map((one) => one.id));
  return happenings.value.filter((one) => {
    const data = one.data as { id?: string; allocation?: { id: string; path: string[] }; links?: { link?: string }[]; problem?: { binding_links?: { link: string }[] } };
    // One that was here when it was asked for is of the link when it ends, too.
    if (data.allocation?.path.includes(name)) ids.add(data.allocation.id);
    const id = data.id ?? data.allocation?.id;
    return (id && ids.has(id)) || (Array.isArray(data.links) && data.links.some((link) => link.link === name)) || data.problem?.binding_links?.some((link) => link.link === name);
  });
}

function OnIt(props: { link: Link; living: Allocation[] | undefined }) {
  const { link, living } = props;
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [asked, setAsked] = useState<{ what: "release" | "move"; of: Allocation[] } | null>(null);
  if (!living) return <p class="quiet">Reading …</p>;
  if (!living.length) return <p class="quiet">None.</p>;
  const isWhole = living.length < READ_MAX;
  const picked = living.filter((one) => chosen.has(one.id));
  const close = () => (setAsked(null), setChosen(new Set()));
  return (
    <>
    {may("request") ? (
      <div class="bulk">
        <button disabled={!picked.length} onClick={() => setAsked({ what: "move", of: picked })}>Move {picked.length || ""} chosen off this link …</button>{" "}
        <button disabled={!picked.length} onClick={() => setAsked({ what: "release", of: picked })}>Release {picked.length || ""} chosen …</button>
        {picked.length ? <span class="quiet"> {sum(picked)} in all</span> : null}
      </div>
    ) : null}
    {asked?.what === "move" ? <MoveOff of={asked.of} link={link} close={close} /> : null}
    {asked?.what === "release" ? <Release of={asked.of} close={close} /> : null}
    <Table
      name="on-it" label="Allocations on the link" rows={living} whole={isWhole} most={SHOWN} id={(one) => one.id} links={(one) => one.path} {...(may("request") ? { chosen, choose: setChosen } : {})}
      total={isWhole ? `${rate(link.reserved_bps)} in all.` : <>The largest {living.length.toLocaleString("en")} of {link.allocation_count.toLocaleString("en")}. <a href={href("allocations", undefined, { link: link.link })}>All of them</a>.</>}
      columns={[
        { title: "Allocation", cell: (one) => <a href={href("allocations", one.id)}>{one.id}</a>, value: (one) => Number(one.id) },
        ...(living.some((one) => one.name || one.customer) ? NAMED : []),
        { title: "From", cell: (one) => <NodeName of={one.ingress} />, value: (one) => one.ingress },
        { title: "To", cell: (one) => <NodeName of={one.egress} />, value: (one) => one.egress },
        { title: "Class", cell: (one) => <ClassMark classType={one.class_type} />, value: (one) => one.class_type },
        { title: "Bandwidth", number: true, cell: (one) => rate(one.bandwidth_bps), value: (one) => one.bandwidth_bps },
        { title: "Hops", number: true, cell: (one) => one.path.length, value: (one) => one.path.length },
        { title: "Since", cell: (one) => dateAndTime(one.created_at), value: (one) => one.created_at },
      ]}
    />
    </>
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
        {Object.entries(words).filter(([state]) => may("operate") && state !== link.state).map(([state, text]) => <button onClick={() => change(state, true)}>{text} …</button>)}
      </div>
      {error ? <Failure error={error} /> : null}
      {preview ? (
        <div class="verdict" aria-live="polite">
          <h3>{words[preview.state]}: {preview.outcome.links.map(linkText).join(" and ")}</h3>
          {preview.outcome.stranded.length ? (
            <Stranded ids={preview.outcome.stranded} />
          ) : preview.state === "maintenance" ? <p>Every allocation on it has another path.</p> : null}
          <Victims effects={preview.outcome} would />
          <button class="primary" onClick={() => change(preview.state, false)}>{words[preview.state]}</button>{" "}
          <button onClick={() => setPreview(null)}>Leave it as it is</button>
        </div>
      ) : null}
      <p class="quiet">At {percent(link.utilisation_ppm)} now. The other direction of the same fibre shares the state.</p>
    </>
  );
}
