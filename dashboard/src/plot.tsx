// A plot over time. uPlot draws it; a table twin beside it says the same to those who do not see it.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { csv, download } from "./table";
import { palette } from "./theme";
import { rate } from "./units";

export interface Series {
  label: string;
  /** Of a class type or QoS level: its colour and its dashes. Of neither: a thin line in the colour of text. */
  classType: number | null;
  values: (number | null)[];
  /** What is told of it, where the values are stacked on those of others: the area below is filled then. */
  own?: (number | null)[];
}

const DASHES: (number[] | undefined)[] = [undefined, [10, 4], [3, 3], [12, 3, 3, 3], [6, 6], [2, 5], [14, 6], [8, 2, 2, 2, 2, 2]];

export function Plot(props: { times: number[]; series: Series[]; height?: number; unit?: (value: number) => string; stepped?: boolean; marks?: { at: number; text: string }[]; label: string; /** The scale goes at least to this. */ least?: number }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const marks = useRef(props.marks ?? []);
  marks.current = props.marks ?? [];
  const latest = useRef(props.series);
  latest.current = props.series;
  const unit = props.unit ?? rate;
  const shape = `${props.series.map((one) => one.label).join()}|${props.stepped}`;
  useEffect(() => {
    const element = box.current!;
    const { ink, quiet, line, classes } = palette.value;
    const stepped = uPlot.paths.stepped!({ align: 1 });
    plot.current = new uPlot(
      {
        width: Math.max(280, element.clientWidth), height: props.height ?? 220, padding: [8, 12, 0, 8],
        fmtDate: (template) => uPlot.fmtDate(template.replace("{h}:{mm}", "{HH}:{mm}").replace("{h}", "{HH}:{mm}").replace("{aa}", "").replace("{M}/{D}/{YY}", "{YYYY}-{MM}-{DD}").replace("{M}/{D}", "{MM}-{DD}")),
        cursor: { drag: { x: false, y: false } },
        legend: { live: true },
        scales: { y: { range: (_, __, most) => [0, Math.max(most || 0, props.least ?? 1) * 1.08] } },
        axes: [
          { stroke: quiet, grid: { stroke: line }, ticks: { stroke: line }, font: "12px system-ui" },
          { stroke: quiet, grid: { stroke: line }, ticks: { stroke: line }, font: "12px system-ui", size: 96, values: (_, values) => values.map((value) => unit(value)) },
        ],
        series: [
          {},
          ...props.series.map((one) => ({
            label: one.label, points: { show: false },
            ...(one.classType === null ? { stroke: ink, width: 1 } : { stroke: classes[one.classType], width: 2, dash: DASHES[one.classType], ...(one.own ? { fill: classes[one.classType] } : {}) }),
            value: (_: uPlot, value: number | null, of: number, at: number | null) => {
              const told = latest.current[of - 1]?.own?.[at ?? -1] ?? value;
              return told === null || told === undefined ? "—" : unit(told);
            },
            ...(props.stepped ? { paths: stepped } : {}),
          })),
        ],
        hooks: { draw: [(drawn) => drawMarks(drawn, marks.current, quiet)] },
      },
      [props.times, ...props.series.map((one) => one.values)],
      element,
    );
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: Math.max(280, element.clientWidth), height: props.height ?? 220 }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, palette.value]);
  useEffect(() => plot.current?.setData([props.times, ...props.series.map((one) => one.values)]), [props.times, props.series]);
  const save = (kind: "png" | "svg" | "csv") => {
    const name = `${props.label}.${kind}`;
    if (kind === "png") plot.current?.ctx.canvas.toBlob((image) => image && download(name, image));
    else if (kind === "csv") download(name, new Blob([csv([{ title: "Time", value: (at: number) => new Date(Math.round(props.times[at]! * 1000)).toISOString() }, ...props.series.map((one) => ({ title: one.label, value: (at: number) => (one.own ?? one.values)[at] ?? undefined }))], [...props.times.keys()])], { type: "text/csv" }));
    else if (plot.current) download(name, new Blob([svg(plot.current, props.series, props.stepped ?? false, marks.current)], { type: "image/svg+xml" }));
  };
  return (
    <div class="plotted">
      <div ref={box} class="plot" role="img" aria-label={props.label} />
      <div class="save">{(["png", "svg", "csv"] as const).map((kind) => <button class="small" aria-label={`${kind.toUpperCase()}: ${props.label}`} onClick={() => save(kind)}>{kind.toUpperCase()}</button>)}</div>
    </div>
  );
}

function drawMarks(plot: uPlot, marks: { at: number; text: string }[], color: string): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = color;
  ctx.setLineDash([4, 4]);
  ctx.font = `${11 * devicePixelRatio}px system-ui`;
  for (const mark of marks) {
    const x = plot.valToPos(mark.at, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillText(mark.text, x + 4, bbox.top + 12 * devicePixelRatio);
  }
  ctx.restore();
}

/** What uPlot keeps of an axis: where its lines are, and what is written beside them. */
type Ticks = uPlot.Axis & { _splits?: number[]; _values?: (string | null)[] };

/** The same picture as SVG: a line or a filled area for each run of values, the axes, the marks and the names of the series. */
function svg(plot: uPlot, series: Series[], stepped: boolean, marks: { at: number; text: string }[]): string {
  const { ink, quiet, line, paper, classes } = palette.value;
  const escape = (text: string) => text.replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);
  const short = (value: number) => String(Math.round(value * 10) / 10);
  const [x, y] = [(at: number) => short(plot.valToPos(at, "x") + left), (value: number) => short(plot.valToPos(value, "y") + top)];
  const [left, top, right, bottom] = [plot.bbox.left, plot.bbox.top, plot.bbox.left + plot.bbox.width, plot.bbox.top + plot.bbox.height].map((at) => at / devicePixelRatio) as [number, number, number, number];
  const write = (at: string, down: number | string, anchor: string, colour: string, text: string) => `<text x="${at}" y="${down}" text-anchor="${anchor}" fill="${colour}">${escape(text)}</text>`;
  const path = (d: string, colour: string, more = "") => `<path d="${d}" fill="none" stroke="${colour}" ${more}/>`;
  const parts = [`<rect width="100%" height="100%" fill="${paper}"/>`];
  const ticks = plot.axes.map((axis: Ticks) => (axis._splits ?? []).map((at, of) => ({ at, words: String(axis._values?.[of] ?? "") })));
  for (const { at, words } of ticks[0] ?? []) parts.push(path(`M${x(at)} ${top}V${bottom}`, line), ...words.split("\n").map((word, down) => write(x(at), bottom + 18 + down * 14, "middle", quiet, word)));
  for (const { at, words } of ticks[1] ?? []) parts.push(path(`M${left} ${y(at)}H${right}`, line), write(short(left - 8), Number(y(at)) + 4, "end", quiet, words));
  for (const one of series) {
    const colour = one.classType === null ? ink : classes[one.classType]!;
    for (const run of runs(plot.data[0] as number[], one.values)) {
      const d = run.map(({ at, value }, of) => (of === 0 ? `M${x(at)} ${y(value)}` : stepped ? `H${x(at)}V${y(value)}` : `L${x(at)} ${y(value)}`)).join("");
      if (one.own) parts.push(`<path d="${d}V${y(0)}H${x(run[0]!.at)}Z" fill="${colour}"/>`);
      const dashes = one.classType === null ? undefined : DASHES[one.classType];
      parts.push(path(d, colour, `stroke-width="${one.classType === null ? 1 : 2}"${dashes ? ` stroke-dasharray="${dashes.join(" ")}"` : ""}`));
    }
  }
  for (const mark of marks) if (mark.at >= (plot.scales.x!.min ?? 0)) parts.push(path(`M${x(mark.at)} ${top}V${bottom}`, quiet, 'stroke-dasharray="4 4"'), write(short(Number(x(mark.at)) + 4), top + 12, "start", quiet, mark.text));
  series.forEach((one, at) => parts.push(write(short(left + at * 170), plot.height + 16, "start", one.classType === null ? ink : classes[one.classType]!, `■ ${one.label}`)));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${plot.width}" height="${plot.height + 24}" font-family="system-ui, sans-serif" font-size="12">${parts.join("")}</svg>\n`;
}

/** The values between those that are not known. */
function runs(times: number[], values: (number | null)[]): { at: number; value: number }[][] {
  const found: { at: number; value: number }[][] = [[]];
  values.forEach((value, of) => (value === null ? found.push([]) : found.at(-1)!.push({ at: times[of]!, value })));
  return found.filter((run) => run.length);
}
