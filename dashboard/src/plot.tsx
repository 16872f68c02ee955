// A plot over time. uPlot draws it; a table twin beside it says the same to those who do not see it.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { download } from "./table";
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
  const save = () => plot.current?.ctx.canvas.toBlob((image) => image && download(`${props.label}.png`, image));
  return (
    <div class="plotted">
      <div ref={box} class="plot" role="img" aria-label={props.label} />
      <button class="small" aria-label={`PNG: ${props.label}`} onClick={save}>PNG</button>
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
