// What a link had, as the server sampled it: a day, a week or a month, its classes stacked.
import { get, ofLink, type Link, type LinkHistoryAnswer } from "./api";
import { Failure } from "./parts";
import { Plot, type Series } from "./plot";
import { useReading } from "./reading";
import { param } from "./route";
import { className, dateAndTime, rate } from "./units";

export const DAY_MS = 86_400_000;
const SPANS: Record<string, number> = { day: 1, week: 7, month: 31 };
/** The server has another sample each minute, whether or not anything happens. */
const READ_EVERY_MS = 20_000;
const SAMPLED_EVERY_MS = 60_000;

export function LinkHistory(props: { topology: string; link: Link }) {
  const [span, show] = param("span", "day");
  const path = `${ofLink(props.topology, props.link.link)}/history`;
  const { value, error } = useReading(`${path} ${span}`, () => get<LinkHistoryAnswer>(`${path}?from=${new Date(Date.now() - (SPANS[span] ?? 1) * DAY_MS).toISOString()}`), () => READ_EVERY_MS, SAMPLED_EVERY_MS);
  return (
    <>
      <div class="switch" role="group" aria-label="History of">
        {Object.keys(SPANS).map((one) => <button aria-pressed={span === one} onClick={() => show(one)}>A {one}</button>)}
      </div>
      {error && !value ? <Failure error={error} /> : value ? <Stacked link={props.link} history={value} /> : <p class="quiet">Reading …</p>}
    </>
  );
}

function Stacked(props: { link: Link; history: LinkHistoryAnswer }) {
  const { link, history } = props;
  const step = history.step_ms / 1000;
  const seconds = (at: string) => Date.parse(at) / 1000;
  const points = history.points.map((point) => ({
    at: seconds(point.at),
    bps: link.classes.map((one) => point.classes.find((held) => held.class_type === one.class_type)?.reserved_mean_bps ?? 0),
    measured: point.measured_mean_bps ?? null,
  }));
  const now = { at: seconds(history.to), bps: link.classes.map((one) => one.reserved_bps), measured: link.measured_bps ?? null };
  const times = [Math.min(seconds(history.from), (points[0]?.at ?? now.at) - 1)];
  // By class type, at each time: what was reserved in it; nothing where nothing is known.
  const own: (number | null)[][] = link.classes.map(() => [null]);
  const measured: (number | null)[] = [null];
  let known = Infinity;
  for (const point of [...points, now]) {
    if (point.at > known) {
      times.push(known);
      own.forEach((values) => values.push(null));
      measured.push(null);
    }
    times.push(point.at);
    own.forEach((values, of) => values.push(point.bps[of]!));
    measured.push(point.measured);
    known = point.at + step * 1.5;
  }
  const below = times.map(() => 0);
  const series = link.classes.map((one, of): Series => ({
    label: className(one.class_type), classType: one.class_type, own: own[of]!,
    values: own[of]!.map((bps, at) => (bps === null ? null : (below[at]! += bps))),
  }));
  series.reverse();
  const isMeasured = measured.some((bps) => bps !== null);
  if (isMeasured) series.push({ label: "measured", classType: null, values: measured });
  const most = history.points.reduce((most, one) => (one.reserved_max_bps > (most?.reserved_max_bps ?? 0) ? one : most), history.points[0]);
  return (
    <>
      <Plot times={times} series={series} stepped label={`Reserved on ${link.link} over time, by class${isMeasured ? ", and measured" : ""}`} />
      <p class="quiet">
        {most ? <>The most was {rate(most.reserved_max_bps)}, {step > 60 ? "in the period from" : "at"} {dateAndTime(most.at)}. Each value is {step > 60 ? `the mean of ${step / 60} minutes` : "of a minute"}.{isMeasured ? " The thin line is what switches counted over all traffic, where they did." : ""}</>
          : "The server has no sample yet: it takes one each minute."}
      </p>
    </>
  );
}
