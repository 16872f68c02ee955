// The map: the network's state in five seconds. Each link is a lane from its tail; in it a strand for each class, as wide
// as its reserved share; all in the colour of the link's utilisation. The list beside it says the same in words.
import { Component } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import type { Link } from "./api";
import { draw, fitting, nodeLabels, outline, strand, type Drawing, type Label, type Lane } from "./geometry";
import { Feed, isOf } from "./feed";
import { busiest, byName, happenings, layout, links, lit, model, topologies, topology } from "./live";
import { ClassMark, Empty, LinkName, Share, State } from "./parts";
import { PanZoom } from "./panzoom";
import { go, href } from "./route";
import { count, MODEL_WORDS, percent, rate, step, STEP_WORDS } from "./units";

type Colouring = "utilisation" | "class";
const colouring = signal<Colouring>("utilisation");
/** So many links have their utilisation written beside them. */
const NUMBERED = 5;
const LISTED = 10;

export function MapView() {
  const name = topology.value;
  if (topologies.value && !topologies.value.length)
    return (
      <Empty title="There is no topology yet">
        <p>Upload one on the <a href={href("topologies")}>Topologies</a> page: GraphML, GML, SNDlib, RFC 8345 or native JSON.</p>
      </Empty>
    );
  const ready = layout.value?.topology === name && links.value?.topology === name;
  if (!name || !ready) return <Empty title="Loading the map …" />;
  return (
    <div class="map-view">
      <h1 class="hidden">Map of {name}</h1>
      <NetworkMap />
      <aside aria-label="State of the network">
        <Headline />
        <Busiest />
        <Legend />
        <section>
          <h2>Latest</h2>
          <Feed happenings={happenings.value.filter((one) => isOf(one, name)).slice(-8).reverse()} />
        </section>
      </aside>
    </div>
  );
}

function Headline() {
  const summary = topologies.value?.find((one) => one.topology === topology.value);
  const top = busiest.value[0];
  const down = links.value!.links.filter((link) => link.state !== "up").length;
  const tight = links.value!.links.filter((link) => link.utilisation_ppm >= 800_000).length;
  return (
    <section class="headline">
      <p>
        <strong>{topology.value}</strong> under <a href={href("topologies")}>{MODEL_WORDS[model.value?.model.model ?? ""] ?? "…"}</a>:{" "}
        {count(summary?.nodes ?? 0, "node")}, {count(summary?.links ?? 0, "link")}, {count(summary?.allocations ?? 0, "allocation")}.
      </p>
      <p>
        {top && top.reserved_bps ? (
          <>Busiest: <LinkName name={top.link} /> at <strong>{percent(top.utilisation_ppm)}</strong>, mostly <ClassMark classType={fullest(top)} long />. </>
        ) : "Nothing is reserved. "}
        {tight ? `${count(tight, "link")} at 80 % or more. ` : ""}
        {down ? <strong>{count(down, "link is", "links are")} not in service.</strong> : null}
      </p>
    </section>
  );
}

/** The class that has most of a link. */
export function fullest(link: Link): number {
  return [...link.classes].sort((one, two) => two.reserved_bps - one.reserved_bps)[0]?.class_type ?? 0;
}

function Busiest() {
  return (
    <section>
      <h2>Busiest links</h2>
      <Find />
      <table class="tight">
        <thead><tr><th>Link</th><th>Reserved</th><th>Most of it</th></tr></thead>
        <tbody>
          {busiest.value.slice(0, LISTED).map((link) => (
            <tr key={link.link} onMouseEnter={() => (lit.value = new Set([link.link]))} onMouseLeave={() => (lit.value = new Set())}>
              <td><LinkName name={link.link} />{link.state === "up" ? null : <> <State of={link.state} /></>}</td>
              <td><Share ppm={link.utilisation_ppm} /></td>
              <td>{link.reserved_bps ? <ClassMark classType={fullest(link)} /> : "—"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Find() {
  return (
    <form
      class="find"
      onSubmit={(event) => {
        event.preventDefault();
        const text = String(new FormData(event.currentTarget).get("link"));
        if (byName.value.has(text)) go("link", text);
      }}
    >
      <label>
        <span class="hidden">Find a link</span>
        <input name="link" list="link-names" placeholder="Find a link" autocomplete="off" />
      </label>
      <datalist id="link-names">
        {links.value!.links.slice(0, 2_000).map((link) => <option value={link.link}>{`${link.from} to ${link.to}`}</option>)}
      </datalist>
    </form>
  );
}

function Legend() {
  const classes = model.value?.model.classes ?? [];
  const byUse = colouring.value === "utilisation";
  return (
    <section class="legend">
      <h2>Legend</h2>
      <div class="switch" role="group" aria-label="Colour by">
        {(["utilisation", "class"] as const).map((one) => (
          <button aria-pressed={colouring.value === one} onClick={() => (colouring.value = one)}>Colour by {one}</button>
        ))}
      </div>
      {byUse ? (
        <ul>
          {STEP_WORDS.map((words, at) => (
            <li>
              <svg viewBox="0 0 30 10" aria-hidden="true"><rect width="30" height="10" class="casing" /><rect y={5 - [1, 2, 3, 4, 5, 5][at]! * 0.95} width="30" height={[1, 2, 3, 4, 5, 5][at]! * 1.9} class={`step${at}`} /></svg>
              {words}
            </li>
          ))}
        </ul>
      ) : (
        <ul>{classes.map((one) => <li><ClassMark classType={one.class_type} long /></li>)}</ul>
      )}
      <ul>
        <li><svg viewBox="0 0 30 10" aria-hidden="true"><rect x="1" y="1" width="28" height="8" class="casing is-down" /></svg>✕ down</li>
        <li><svg viewBox="0 0 30 10" aria-hidden="true"><rect x="1" y="1" width="28" height="8" class="casing is-maintenance" /></svg>⚒ maintenance</li>
      </ul>
      <p class="quiet">
        A lane leads from its node to the middle of the link and points where traffic goes. Its strands are the classes, the lowest first, as wide as
        their reserved share.
      </p>
    </section>
  );
}

function NetworkMap() {
  const box = useRef<SVGSVGElement>(null);
  const scene = useRef<SVGGElement>(null);
  const [zoom, setZoom] = useState(1);
  const [size, setSize] = useState({ width: 950, height: 750 });
  const [hover, setHover] = useState<{ x: number; y: number; link?: string; node?: string } | null>(null);
  const drawn = layout.value!.layout;
  const names = links.value!.links.map((link) => link.link + link.state).join("\n").length + links.value!.links.length;
  // The drawing changes with the topology, not with its load.
  const drawing = useMemo(() => draw(drawn, links.value!.links), [drawn, names]);
  // Labels need more room beside than above.
  const [beside, above] = [Math.max(drawing.lane * 4, 950), Math.max(drawing.lane * 4, 450)];
  const view = { x: -beside, y: -above, width: drawing.width + 2 * beside, height: drawing.height + 2 * above };
  const panzoom = useRef<PanZoom | null>(null);
  useEffect(() => {
    panzoom.current = new PanZoom(box.current!, scene.current!, setZoom);
    const watch = new ResizeObserver(([entry]) => entry && setSize({ width: entry.contentRect.width, height: entry.contentRect.height }));
    watch.observe(box.current!);
    return () => {
      watch.disconnect();
      panzoom.current?.stop();
    };
  }, [drawn]);
  const target = (event: Event) => (event.target as Element).closest<SVGElement>("[data-link],[data-node]")?.dataset;
  return (
    <div class="map" tabIndex={0} role="group" aria-label="Drawing of the network; arrow keys move it, plus and minus zoom, 0 resets. The list of busiest links says the same in words." onKeyDown={(event) => panzoom.current?.key(event)}>
      <svg
        ref={box}
        viewBox={`${view.x} ${view.y} ${view.width} ${view.height}`}
        class={`${lit.value.size ? "has-lit" : ""} by-${colouring.value}`}
        aria-hidden="true"
        onPointerMove={(event) => {
          const found = target(event);
          const bounds = box.current!.getBoundingClientRect();
          setHover(found && !panzoom.current?.moving ? { x: event.clientX - bounds.left, y: event.clientY - bounds.top, link: found.link, node: found.node } : null);
        }}
        onPointerLeave={() => setHover(null)}
        onClick={(event) => {
          const found = target(event);
          if (panzoom.current?.moved) return;
          if (found?.link) go("link", found.link);
          else if (found?.node) go("allocations", undefined, { ingress: found.node });
        }}
      >
        <Patterns lane={drawing.lane} />
        <g ref={scene}>
          <g class="lanes">
            {links.value!.links.map((link) => {
              const lane = drawing.lanes.get(link.link);
              return lane ? <LaneShape key={link.link} link={link} lane={lane} width={drawing.lane} /> : null;
            })}
          </g>
          <Lit drawing={drawing} />
          <Nodes drawing={drawing} zoom={zoom} perPixel={Math.max(view.width / Math.max(1, size.width), view.height / Math.max(1, size.height))} />
        </g>
      </svg>
      {hover ? <Tip {...hover} /> : null}
      <div class="zoom">
        <button aria-label="Zoom in" onClick={() => panzoom.current?.by(1.5)}>+</button>
        <button aria-label="Zoom out" onClick={() => panzoom.current?.by(1 / 1.5)}>−</button>
        <button aria-label="Show everything" onClick={() => panzoom.current?.reset()}>⤢</button>
      </div>
    </div>
  );
}

/** Hatching for lanes that carry nothing new, so that they differ in more than colour. */
function Patterns(props: { lane: number }) {
  const size = props.lane * 0.55;
  return (
    <defs>
      <pattern id="down" width={size} height={size} patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <rect width={size} height={size} class="down-back" />
        <rect width={size * 0.45} height={size} class="down-line" />
      </pattern>
      <pattern id="maintenance" width={size} height={size} patternUnits="userSpaceOnUse">
        <rect width={size} height={size} class="maintenance-back" />
        <circle cx={size / 2} cy={size / 2} r={size * 0.24} class="maintenance-dot" />
      </pattern>
    </defs>
  );
}

interface LaneProps {
  link: Link;
  lane: Lane;
  width: number;
}

/** Drawn again only if what it shows has changed: large networks have thousands. */
class LaneShape extends Component<LaneProps> {
  override shouldComponentUpdate(next: LaneProps): boolean {
    const { link, lane, width } = this.props;
    return lane !== next.lane || width !== next.width || link.state !== next.link.state || link.utilisation_ppm !== next.link.utilisation_ppm
      || link.classes.some((one, at) => one.reserved_bps !== next.link.classes[at]?.reserved_bps);
  }

  override render({ link, lane, width }: LaneProps) {
    const whole = Math.max(1, link.max_reservable_bps);
    const parts = link.classes.filter((one) => one.reserved_bps > 0);
    const total = parts.reduce((sum, one) => sum + one.reserved_bps, 0);
    const scale = (width * 0.96) / Math.max(whole, total);
    let aside = (-total * scale) / 2;
    return (
      <g class={`lane step${step(link.utilisation_ppm)} is-${link.state}`} data-link={link.link}>
        <path class={`casing is-${link.state}`} d={outline(lane, width)} />
        {parts.map((one) => {
          const wide = one.reserved_bps * scale;
          aside += wide;
          return <path class={`strand ct${one.class_type}`} d={strand(lane, Math.max(wide * 0.9, 1), aside - wide / 2, width)} />;
        })}
        {link.state === "up" ? null : <Sign lane={lane} width={width} text={link.state === "down" ? "✕" : "⚒"} />}
      </g>
    );
  }
}

function Sign(props: { lane: Lane; width: number; text: string }) {
  const { lane, width } = props;
  const along = lane.length * 0.55;
  return (
    <text class="sign" x={lane.x + lane.ux * along} y={lane.y + lane.uy * along} font-size={width * 1.6} dominant-baseline="central" text-anchor="middle">
      {props.text}
    </text>
  );
}

function Lit(props: { drawing: Drawing }) {
  const { lanes, lane: width } = props.drawing;
  return (
    <g class="lit">
      {[...lit.value].map((name) => {
        const lane = lanes.get(name);
        return lane ? <path d={outline(lane, width * 1.5)} /> : null;
      })}
    </g>
  );
}

function Nodes(props: { drawing: Drawing; zoom: number; perPixel: number }) {
  const { drawing, zoom, perPixel } = props;
  const em = (12.5 * perPixel) / zoom;
  // Labels are chosen anew when the zoom has changed by half, not with every turn of the wheel.
  const level = Math.round(Math.log2(zoom) * 2);
  const top = busiest.value.slice(0, NUMBERED).filter((link) => link.utilisation_ppm >= 100_000);
  const size = (12.5 * perPixel) / 2 ** (level / 2);
  const numbers = top.flatMap((link): Label[] => {
    const lane = drawing.lanes.get(link.link);
    if (!lane) return [];
    const [along, aside] = [lane.length * 0.5, em * 0.55 + drawing.lane * 0.5];
    const [x, y] = [lane.x + lane.ux * along - lane.uy * aside, lane.y + lane.uy * along + lane.ux * aside];
    return [{ key: `\n${link.link}`, text: percent(link.utilisation_ppm), x, y, anchor: "middle" }];
  });
  const key = numbers.map((one) => one.key + one.text).join();
  const labels = useMemo(() => nodeLabels(drawing.spots), [drawing]);
  const shown = useMemo(() => fitting([...numbers, ...labels], size), [labels, key, Math.round(size)]);
  const write = (one: Label) => <text key={one.key} x={one.x} y={one.y} text-anchor={one.anchor} dominant-baseline="central">{one.text}</text>;
  return (
    <>
      <g class="nodes">
        {drawing.spots.map((spot) => <circle key={spot.node} cx={spot.x} cy={spot.y} r={drawing.radius} data-node={spot.node} />)}
      </g>
      <g class="labels" font-size={em}>{labels.filter((one) => shown.has(one.key)).map(write)}</g>
      <g class="numbers" font-size={em}>{numbers.filter((one) => shown.has(one.key)).map(write)}</g>
    </>
  );
}

function Tip(props: { x: number; y: number; link?: string; node?: string }) {
  const link = props.link ? byName.value.get(props.link) : undefined;
  const style = { left: `${props.x + 14}px`, top: `${props.y + 14}px` };
  if (props.node) {
    const out = links.value!.links.filter((one) => one.from === props.node);
    return (
      <div class="tip" style={style}>
        <strong>{layout.value!.layout.nodes.find((one) => one.node === props.node)?.label ?? props.node}</strong>
        <div>{props.node}: {count(out.length, "link")} out, {rate(out.reduce((sum, one) => sum + one.reserved_bps, 0))} reserved on them</div>
      </div>
    );
  }
  if (!link) return null;
  return (
    <div class="tip" style={style}>
      <strong>{link.link}</strong> <State of={link.state} />
      <div>{link.from} → {link.to}, {rate(link.max_reservable_bps)}</div>
      <Share ppm={link.utilisation_ppm} label={`${percent(link.utilisation_ppm)}, ${rate(link.reserved_bps)} reserved`} />
      {link.classes.map((one) => (
        <div><ClassMark classType={one.class_type} /> {rate(one.reserved_bps)}{one.borrowed_bps ? `, ${rate(one.borrowed_bps)} of it borrowed` : ""}</div>
      ))}
      {link.measured_bps === undefined ? null : <div>{rate(link.measured_bps)} measured</div>}
      <div>{count(link.allocation_count, "allocation")}. Click for more.</div>
    </div>
  );
}
