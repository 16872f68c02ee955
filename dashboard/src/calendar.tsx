// The calendar: what is booked for later, and what maintenance is planned, on a line of time.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { all, ask, ofTopology, type Allocation, type Maintenance, type MaintenanceOutcome } from "./api";
import { light, pin, topology } from "./live";
import { Ask, Empty, Failure, linkText, NodeName, say, Stranded, Victims } from "./parts";
import { useReading } from "./reading";
import { href, param } from "./route";
import { may } from "./session";
import { className, count, dateAndTime, rate } from "./units";

const BOOKINGS_MAX = 10_000;
const MAINTENANCES_MAX = 1_000;
const SHOWN_MAX = 200;
const DAY_MS = 86_400_000;
const SPANS: [string, string][] = [["1", "a day"], ["7", "a week"], ["31", "a month"], ["366", "a year"]];
/** The width of the line, in units of its own. */
const WIDE = 1_000;
const TICKS = 4;

export function Calendar() {
  const name = topology.value;
  return name ? <Bookings key={name} topology={name} /> : <Empty title="Loading the topology …" />;
}

function Bookings(props: { topology: string }) {
  const [days, setDays] = param("days", "7");
  const path = `/v1/allocations?state=scheduled&topology=${encodeURIComponent(props.topology)}`;
  const planned = ofTopology(props.topology, "/maintenances");
  const noticed = `/v1/allocations?preempted_after=1970-01-01T00:00:00Z&topology=${encodeURIComponent(props.topology)}`;
  const read = async () => ({ bookings: await all<Allocation>(path, BOOKINGS_MAX), maintenances: await all<Maintenance>(planned, MAINTENANCES_MAX), leaving: await all<Allocation>(noticed, BOOKINGS_MAX) });
  const { value, error } = useReading(path, read, () => 1_000);
  useEffect(() => () => pin(), []);
  if (error && !value) return <Failure error={error} />;
  if (!value) return <Empty title="Loading the calendar …" />;
  const what = <a href={href("what-if")}>What-if</a>;
  const plan = may("operate") ? <Plan topology={props.topology} /> : null;
  if (!value.bookings.length && !value.maintenances.length) {
    return <><Empty title="Nothing is booked for later"><p>Say when a request starts: {what}.</p></Empty>{plan}</>;
  }
  const from = Date.now();
  const to = from + Number(days) * DAY_MS;
  const starts = (one: Allocation | Maintenance) => (one.starts_at ? Date.parse(one.starts_at) : from);
  const within = <T extends Allocation | Maintenance>(items: T[]) => items.filter((one) => starts(one) < to).sort((one, two) => starts(one) - starts(two));
  const leaving = value.leaving.filter((one) => Date.parse(one.preempted_at!) < to).sort((one, two) => Date.parse(one.preempted_at!) - Date.parse(two.preempted_at!));
  const [bookings, maintenances] = [within(value.bookings), within(value.maintenances)];
  const x = (at: number) => Math.round(Math.min(1, Math.max(0, (at - from) / (to - from))) * WIDE);
  const bar = (one: Allocation | Maintenance, ends?: string | null) => {
    const [begin, end] = [x(starts(one)), ends ? x(Date.parse(ends)) : WIDE];
    return <svg class={"class_type" in one ? `ct${one.class_type}` : "planned"} viewBox={`0 0 ${WIDE} 12`} preserveAspectRatio="none" aria-hidden="true"><rect x={begin} width={Math.max(3, end - begin)} height="12" /></svg>;
  };
  const row = (one: Allocation, ends: string | null | undefined, when: ComponentChildren) => (
    <li key={one.id} class="booking" onMouseEnter={() => light(one.path)} onMouseLeave={() => light()}>
      <span>
        <a href={href("allocations", one.id)}>{one.name ?? one.id}</a>{" "}
        <NodeName of={one.ingress} /> → <NodeName of={one.egress} />, {className(one.class_type)}, {rate(one.bandwidth_bps)}
      </span>
      <div>{bar(one, ends)}<span class="quiet">{when}</span></div>
    </li>
  );
  return (
    <>
      <h1>Calendar</h1>
      <div class="filters">
        <label>Show <select value={days} onChange={(event) => setDays(event.currentTarget.value)}>{SPANS.map(([value, text]) => <option value={value}>{text}</option>)}</select></label>
        <span class="quiet">{count(bookings.length, "booking")} of {value.bookings.length} start within it{bookings.length > SHOWN_MAX ? `; the first ${SHOWN_MAX} are shown` : ""}. {what}</span>
      </div>
      <div class="booking" aria-hidden="true">
        <span />
        <div class="ticks">{Array.from({ length: TICKS }, (_, at) => <span>{dateAndTime(new Date(from + ((to - from) * at) / TICKS).toISOString()).slice(0, -3)}</span>)}</div>
      </div>
      {maintenances.length ? (
        <ol class="timeline" aria-label="Maintenance">
          {maintenances.slice(0, SHOWN_MAX).map((one) => (
            <li key={one.id} class="booking" onMouseEnter={() => light(one.links)} onMouseLeave={() => light()}>
              <span>
                <span class="state is-maintenance">⚒ {one.note ?? "maintenance"}</span> {names(one.links)}{" "}
                {may("operate") ? <Off topology={props.topology} one={one} /> : null}
              </span>
              <div>{bar(one, one.ends_at)}<span class="quiet">{dateAndTime(one.starts_at)} to {dateAndTime(one.ends_at)}</span></div>
            </li>
          ))}
        </ol>
      ) : null}
      <ol class="timeline" aria-label="Bookings">
        {bookings.slice(0, SHOWN_MAX).map((one) => (
          row(one, one.expires_at, <>{dateAndTime(one.starts_at!)} to {one.expires_at ? dateAndTime(one.expires_at) : "its release"}</>)
        ))}
      </ol>
      {leaving.length ? (
        <>
          <h2>Will be preempted</h2>
          <ol class="timeline" aria-label="Will be preempted">
            {leaving.slice(0, SHOWN_MAX).map((one) => (
              row(one, one.preempted_at, <>at {dateAndTime(one.preempted_at!)}{one.preempted_by ? <> by <a href={href("allocations", one.preempted_by)}>{one.preempted_by}</a></> : null}</>)
            ))}
          </ol>
        </>
      ) : null}
      {plan}
    </>
  );
}

/** The first few links, one direction of each. */
function names(links: string[]): string {
  const one = links.filter((link) => !link.endsWith("~"));
  return one.slice(0, 4).map(linkText).join(", ") + (one.length > 4 ? ` and ${one.length - 4} more` : "");
}

function Off(props: { topology: string; one: Maintenance }) {
  const off = async () => {
    try {
      await ask("DELETE", ofTopology(props.topology, `/maintenances/${props.one.id}`));
      say("Maintenance is called off.");
    } catch (error) {
      say(String((error as Error).message), true);
    }
  };
  return <button class="small" onClick={() => void off()}>Call off</button>;
}

/** Plans maintenance: what that would do is shown first. */
function Plan(props: { topology: string }) {
  const [form, setForm] = useState({ links: "", nodes: "", starts: "", ends: "", note: "" });
  const [tried, setTried] = useState<{ body: unknown; would: MaintenanceOutcome } | null>(null);
  const [error, setError] = useState<unknown>(null);
  const words = (text: string) => text.split(/[\s,]+/).filter(Boolean);
  const send = async (body: unknown, dry: boolean) => {
    setError(null);
    try {
      const { body: outcome } = await ask<MaintenanceOutcome>("POST", ofTopology(props.topology, `/maintenances${dry ? "?dry_run=true" : ""}`), body);
      setTried(dry ? { body, would: outcome } : null);
      if (!dry) say(`Maintenance ${outcome.id} is planned.`);
    } catch (problem) {
      setError(problem);
    }
  };
  const submit = (event: Event) => {
    event.preventDefault();
    const at = (text: string) => new Date(text).toISOString();
    void send({ links: words(form.links), nodes: words(form.nodes), starts_at: at(form.starts), ends_at: at(form.ends), ...(form.note ? { note: form.note } : {}) }, true);
  };
  const of = (name: keyof typeof form) => ({ value: form[name], onInput: (event: { currentTarget: HTMLInputElement }) => setForm({ ...form, [name]: event.currentTarget.value }) });
  return (
    <details class="plan-maintenance">
      <summary>Plan maintenance</summary>
      <form class="filters" onSubmit={submit}>
        <label>Links <input {...of("links")} /></label>
        <label>Nodes <input {...of("nodes")} /></label>
        <label>From <input type="datetime-local" required {...of("starts")} /></label>
        <label>Until <input type="datetime-local" required {...of("ends")} /></label>
        <label>Note <input {...of("note")} /></label>
        <button>Try</button>
      </form>
      {error ? <Failure error={error} /> : null}
      {tried ? (
        <Ask title={`Maintenance of ${names(tried.would.links)}`} close={() => setTried(null)}>
          {tried.would.stranded.length ? <Stranded ids={tried.would.stranded} /> : <p>Every allocation on it has another path.</p>}
          <Victims effects={tried.would} would />
          <p><button onClick={() => void send(tried.body, false)}>Plan it</button></p>
        </Ask>
      ) : null}
    </details>
  );
}
