// The map as it was: a slider over a day or a week, whose instant is in the address; which instant is shown, in words; and what
// happened since then.
import { computed, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, ofTopology, Refused, type Link, type TopologyHistory } from "./api";
import { Feed, isOf } from "./feed";
import { DAY_MS } from "./history";
import { busiest, byName, happenings, topology } from "./live";
import { Failure } from "./parts";
import { adjust, href, param } from "./route";
import { count, dateAndTime } from "./units";

const SPANS: Record<string, { days: number; step: number }> = { day: { days: 1, step: 5 * 60_000 }, week: { days: 7, step: 30 * 60_000 } };
/** While the slider moves nothing is read. */
const SETTLED_MS = 120;
const SINCE_SHOWN = 8;

/** What was read of an instant, or why it could not be. */
const past = signal<{ key: string; then?: TopologyHistory; error?: unknown } | null>(null);

/** The links that the map shows, the busiest first: as they are or, where the address has an instant, as they were. */
export const pictured = computed<Link[]>(() => {
  const then = past.value?.then;
  if (!then || then.topology !== topology.value) return busiest.value;
  const links = then.links.flatMap((one): Link[] => {
    const link = byName.value.get(one.link);
    if (!link) return [];
    const reserved = new Map(one.classes.map((held) => [held.class_type, held.reserved_max_bps]));
    const classes = link.classes.map((own) => ({ ...own, reserved_bps: reserved.get(own.class_type) ?? 0, borrowed_bps: 0, lent_bps: 0 }));
    const utilisation_ppm = one.max_reservable_bps ? Math.floor((one.reserved_max_bps * 1e6) / one.max_reservable_bps) : one.reserved_max_bps ? 1e6 : 0;
    return [{ ...link, state: one.state, capacity_bps: one.capacity_bps, max_reservable_bps: one.max_reservable_bps, reserved_bps: one.reserved_max_bps, utilisation_ppm, classes, measured_bps: one.measured_mean_bps }];
  });
  return links.sort((one, two) => two.utilisation_ppm - one.utilisation_ppm || two.reserved_bps - one.reserved_bps);
});

export const isPast = computed(() => Boolean(past.value));

export function Scrubber() {
  const [at, show] = param("at");
  const asked = Date.parse(at);
  const [span, setSpan] = param("span", asked < Date.now() - DAY_MS ? "week" : "day");
  const { days, step } = SPANS[span] ?? SPANS.day!;
  const steps = (days * DAY_MS) / step;
  const key = `${topology.value} ${at}`;
  useEffect(() => {
    if (!at) return void (past.value = null);
    past.value = { ...past.peek(), key };
    const read = () => get<TopologyHistory>(`${ofTopology(topology.peek()!, "/history")}?at=${encodeURIComponent(at)}`).then(
      (then) => past.peek()?.key === key && (past.value = { key, then }), (error: unknown) => past.peek()?.key === key && (past.value = { key, error }),
    );
    const timer = window.setTimeout(read, SETTLED_MS);
    return () => window.clearTimeout(timer);
  }, [key]);
  useEffect(() => () => void (past.value = null), []);
  const back = Number.isNaN(asked) ? 0 : Math.min(steps, Math.max(1, Math.round((Date.now() - asked) / step)));
  const move = (value: number) => show(value >= steps ? "" : new Date(Math.floor((Date.now() - (steps - value) * step) / 60_000) * 60_000).toISOString());
  const { then, error } = past.value ?? {};
  const merged = then && then.step_ms > 60_000 ? `, the most of ${then.step_ms / 60_000} minutes` : "";
  const words = at ? `The past${then ? `: ${dateAndTime(then.at)}${merged}` : ""}` : "Now";
  const first = error instanceof Refused ? error.problem.first_at : undefined;
  return (
    <section class={at ? "verdict" : ""}>
      <h2 aria-live="polite">{words}</h2>
      <label class="slide">Show the map as it was <input type="range" min={0} max={steps} value={steps - back} aria-valuetext={words} onInput={(event) => move(Number(event.currentTarget.value))} /></label>
      <div class="switch" role="group" aria-label="Go back">
        {Object.keys(SPANS).map((one) => <button aria-pressed={span === one} onClick={() => setSpan(one)}>A {one}</button>)}
        {at ? <button class="primary" onClick={() => adjust({ at: null })}>Back to now</button> : null}
      </div>
      {error ? <Failure error={error} /> : null}
      {typeof first === "string" ? <button onClick={() => show(first)}>Show the oldest, {dateAndTime(first)}</button> : null}
      {at && then ? <Since then={then} /> : null}
    </section>
  );
}

/** What changed between then and now. */
function Since(props: { then: TopologyHistory }) {
  const { sequence, topology } = props.then;
  const known = happenings.value;
  const since = known.filter((one) => one.sequence > sequence && isOf(one, topology)).reverse();
  const isWhole = (known[0]?.sequence ?? 0) <= sequence + 1;
  return (
    <>
      <h3>Since then: {count(since.length, "event")}{isWhole ? "" : " or more"}</h3>
      <Feed happenings={since.slice(0, SINCE_SHOWN)} />
      <a href={href("events")}>All events</a>
    </>
  );
}
