// The calendar: what is booked for later, on a line of time.
import { useEffect } from "preact/hooks";
import { all, type Allocation } from "./api";
import { light, pin, topology } from "./live";
import { Empty, Failure, NodeName } from "./parts";
import { useReading } from "./reading";
import { href, param } from "./route";
import { className, count, dateAndTime, rate } from "./units";

const BOOKINGS_MAX = 10_000;
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
  const { value, error } = useReading(path, () => all<Allocation>(path, BOOKINGS_MAX), () => 1_000);
  useEffect(() => () => pin(), []);
  if (error && !value) return <Failure error={error} />;
  if (!value) return <Empty title="Loading the calendar …" />;
  const ask = <a href={href("what-if")}>What-if</a>;
  if (!value.length) return <Empty title="Nothing is booked for later"><p>Say when a request starts: {ask}.</p></Empty>;
  const from = Date.now();
  const to = from + Number(days) * DAY_MS;
  const starts = (one: Allocation) => Date.parse(one.starts_at!);
  const within = value.filter((one) => starts(one) < to).sort((one, two) => starts(one) - starts(two));
  const x = (at: number) => Math.round(Math.min(1, Math.max(0, (at - from) / (to - from))) * WIDE);
  return (
    <>
      <h1>Calendar</h1>
      <div class="filters">
        <label>Show <select value={days} onChange={(event) => setDays(event.currentTarget.value)}>{SPANS.map(([value, text]) => <option value={value}>{text}</option>)}</select></label>
        <span class="quiet">{count(within.length, "booking")} of {value.length} start within it{within.length > SHOWN_MAX ? `; the first ${SHOWN_MAX} are shown` : ""}. {ask}</span>
      </div>
      <div class="booking" aria-hidden="true">
        <span />
        <div class="ticks">{Array.from({ length: TICKS }, (_, at) => <span>{dateAndTime(new Date(from + ((to - from) * at) / TICKS).toISOString()).slice(0, -3)}</span>)}</div>
      </div>
      <ol class="timeline" aria-label="Bookings">
        {within.slice(0, SHOWN_MAX).map((one) => {
          const [begin, end] = [x(starts(one)), one.expires_at ? x(Date.parse(one.expires_at)) : WIDE];
          return (
            <li key={one.id} class="booking" onMouseEnter={() => light(one.path)} onMouseLeave={() => light()}>
              <span>
                <a href={href("allocations", one.id)}>{one.name ?? one.id}</a>{" "}
                <NodeName of={one.ingress} /> → <NodeName of={one.egress} />, {className(one.class_type)}, {rate(one.bandwidth_bps)}
              </span>
              <div>
                <svg class={`ct${one.class_type}`} viewBox={`0 0 ${WIDE} 12`} preserveAspectRatio="none" aria-hidden="true"><rect x={begin} width={Math.max(3, end - begin)} height="12" /></svg>
                <span class="quiet">{dateAndTime(one.starts_at!)} to {one.expires_at ? dateAndTime(one.expires_at) : "its release"}</span>
              </div>
            </li>
          );
        })}
      </ol>
    </>
  );
}
