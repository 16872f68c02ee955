// The map: the network's state in five seconds. Each link is a lane from its tail, the busiest on top; the list beside it
// says the same in words. Two nodes that are clicked are the ends of a request.
import { effect } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { Alerts } from "./alerts";
import type { Link } from "./api";
import { DrainMany } from "./bulk";
import { sceneOf, Surface } from "./canvas";
import { Feed, isOf } from "./feed";
import { drawing, happenings, layout, light, links, lit, litBinds, model, nodeText, topologies, topology, touched } from "./live";
import { fullest, hit, middleOf, svg, type Colouring } from "./painter";
import { PanZoom } from "./panzoom";
import { citiesOf, ClassMark, Empty, LinkName, NodeName, Share, State } from "./parts";
import { isPast, pictured, Scrubber } from "./past";
import { RequestPanel } from "./request";
import { adjust, go, href, param, route } from "./route";
import { may } from "./session";
import { download, Table } from "./table";
import { palette } from "./theme";
import { BUSY_PPM, count, MODEL_WORDS, percent, rate, STEP_WORDS } from "./units";

const LISTED = 10;
const LISTED_MAX = 500;
/** So near, in pixels, something is pointed at: a finger is wider than a mouse. */
const REACH = 5;
const REACH_TOUCH = 16;
/** How far it zooms in to show one node of very many. */
const NEAR = 5;

export function MapView() {
  const name = topology.value;
  if (topologies.value && !topologies.value.length)
    return (
      <Empty title="There is no topology yet">
        <p>Upload one on the <a href={href("topologies")}>Topologies</a> page: GraphML, GML, SNDlib, REPETITA, RFC 8345, networkx, CSV or native JSON.</p>
      </Empty>
    );
  const ready = layout.value?.topology === name && links.value?.topology === name;
  if (!name || !ready) return <Empty title="Loading the map …" />;
  return (
    <div class="map-view">
      <h1 class="hidden">Map of {name}</h1>
      <NetworkMap />
      <aside aria-label="State of the network">
        {isPast.value ? null : <Ends />}
        <Headline />
        <Scrubber />
        {isPast.value ? null : <Alerts short />}
        <Busiest />
        <Legend />
        {isPast.value ? null : (
          <section>
            <h2>Latest</h2>
            <Feed happenings={happenings.value.filter((one) => isOf(one, name)).slice(-8).reverse()} />
            <a href={href("events")}>All events</a>
          </section>
        )}
      </aside>
    </div>
  );
}

function ends(): { ingress: string | null; egress: string | null } {
  const { query } = route.value;
  return { ingress: query.get("ingress"), egress: query.get("egress") };
}

/** What was clicked: one node, or the two of a request. */
function Ends() {
  const { ingress, egress } = ends();
  if (!ingress || model.value?.topology !== topology.value) return null;
  if (egress && may("request")) return <RequestPanel />;
  const out = links.value!.links.filter((one) => one.from === ingress);
  return (
    <section class="request">
      <h2>From <NodeName of={ingress} /></h2>
      <p>{count(out.length, "link")} out, {rate(out.reduce((sum, one) => sum + one.reserved_bps, 0))} reserved on them. Choose another node, on the map or here, for a request between the two.</p>
      <div class="filters">
        <label>To <select value="" onChange={(event) => adjust({ egress: event.currentTarget.value })}>
          <option value="">choose …</option>
          {layout.value!.layout.nodes.filter((node) => node.node !== ingress).map((node) => <option value={node.node}>{nodeText(node.node)}</option>)}
        </select></label>
      </div>
      <div class="buttons">
        <button onClick={() => go("allocations", undefined, { ingress })}>Allocations from here</button>
        <button onClick={() => adjust({ ingress: null })}>Close</button>
      </div>
    </section>
  );
}

function Headline() {
  const summary = topologies.value?.find((one) => one.topology === topology.value);
  const top = pictured.value[0];
  const down = pictured.value.filter((link) => link.state !== "up").length;
  const tight = pictured.value.filter((link) => link.utilisation_ppm >= BUSY_PPM).length;
  return (
    <section class="headline">
      <p>
        <strong>{topology.value}</strong> under <a href={href("topologies")}>{MODEL_WORDS[model.value?.model.model ?? ""] ?? "…"}</a>:{" "}
        {count(summary?.nodes ?? 0, "node")}, {count(summary?.links ?? 0, "link")}{isPast.value ? "" : `, ${count(summary?.allocations ?? 0, "allocation")}`}.
      </p>
      <p>
        {top && top.reserved_bps ? (
          <>Busiest: <LinkName name={top.link} /> at <strong>{percent(top.utilisation_ppm)}</strong>, mostly <ClassMark classType={fullest(top)} long />. </>
        ) : "Nothing is reserved. "}
        {tight ? `${count(tight, "link")} at ${percent(BUSY_PPM)} or more. ` : ""}
        {down ? <strong>{count(down, "link is", "links are")} not in service.</strong> : null}
      </p>
    </section>
  );
}

function Busiest() {
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [draining, setDraining] = useState<string[] | null>(null);
  const able = may("operate") && !isPast.value;
  return (
    <section>
      <h2>Busiest links</h2>
      {chosen.size && able ? <div class="bulk"><button onClick={() => setDraining([...chosen])}>Drain {chosen.size} chosen …</button></div> : null}
      {draining ? <DrainMany topology={topology.value!} links={draining} close={() => (setDraining(null), setChosen(new Set()))} /> : null}
      <Table
        name="links" label="Busiest links" narrow rows={pictured.value} fold={LISTED} most={LISTED_MAX} whole {...(able ? { chosen, choose: setChosen, can: (link: Link) => link.state === "up" } : {})} id={(link) => link.link} links={(link) => [link.link]}
        columns={[
          { title: "Link", cell: (link) => <><LinkName name={link.link} />{link.state === "up" ? null : <> <State of={link.state} /></>}</>, value: (link) => link.link },
          { title: "Reserved", cell: (link) => <Share ppm={link.utilisation_ppm} />, value: (link) => link.utilisation_ppm / 1e6 },
          { title: "Mostly", cell: (link) => (link.reserved_bps ? <ClassMark classType={fullest(link)} /> : "—"), value: (link) => fullest(link) },
        ]}
      />
    </section>
  );
}

function Legend() {
  const classes = model.value?.model.classes ?? [];
  const [colouring, colour] = param("by", "utilisation");
  return (
    <section class="legend">
      <h2>Legend</h2>
      <div class="switch" role="group" aria-label="Colour by">
        {["utilisation", "class"].map((one) => <button aria-pressed={colouring === one} onClick={() => colour(one)}>Colour by {one}</button>)}
      </div>
      {colouring === "class" ? <ul>{classes.map((one) => <li><ClassMark classType={one.class_type} long /></li>)}</ul> : (
        <ul>
          {STEP_WORDS.map((words, at) => (
            <li><svg viewBox="0 0 30 10" aria-hidden="true"><rect y={4.2 - at * 0.7} width="30" height={1.6 + at * 1.4} class={`step${at}`} /></svg>{words}</li>
          ))}
        </ul>
      )}
      <ul>
        <li><svg viewBox="0 0 30 10" aria-hidden="true"><path d="M0 5h30" class="down-line" /></svg>✕ down</li>
        <li><svg viewBox="0 0 30 10" aria-hidden="true"><path d="M0 5h30" class="maintenance-line" /></svg>⚒ maintenance</li>
      </ul>
      <p class="quiet">
        A lane leads from its node to the middle of the link and points where traffic goes. Near by, its strands are the classes, the lowest first, as wide
        as their reserved share; from afar, the busiest are the widest. On the map's keys: arrows, + and −, 0, n and p for the next and previous busiest link, Enter to open it.
      </p>
    </section>
  );
}

interface Pointed {
  x: number;
  y: number;
  link?: string;
  node?: string;
}

function NetworkMap() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [hover, setHover] = useState<Pointed | null>(null);
  const panzoom = useRef<PanZoom | null>(null);
  const scene = () => canvas.current && sceneOf(panzoom.current!.view, canvas.current.clientWidth, canvas.current.clientHeight, { colouring: (route.peek().query.get("by") ?? "utilisation") as Colouring, marked: marked(), links: pictured.value });
  useEffect(() => {
    let fitted: unknown = null;
    const fit = () => {
      if (!drawing.value || !surface.width) return;
      moves.fit(drawing.value, surface.width, surface.height, fitted !== drawing.value);
      if (fitted !== drawing.value) showAsked(moves);
      fitted = drawing.value;
    };
    const surface: Surface = new Surface(canvas.current!, scene, () => fit());
    const moves = new PanZoom(canvas.current!, surface.soon);
    panzoom.current = moves;
    const end = effect(() => {
      void [pictured.value, lit.value, litBinds.value, touched.value, palette.value, route.value];
      if (drawing.value !== fitted) fit();
      surface.soon();
    });
    const asked = effect(() => void (route.value.query.get("node") && showAsked(moves)));
    return () => (end(), asked(), surface.stop(), moves.stop(), light());
  }, []);
  const point = (event: PointerEvent | MouseEvent) => {
    const bounds = canvas.current!.getBoundingClientRect();
    const [x, y] = [event.clientX - bounds.left, event.clientY - bounds.top];
    const now = scene();
    const found = now && hit(now, x, y, "pointerType" in event && event.pointerType === "touch" ? REACH_TOUCH : REACH);
    return found ? { x, y, link: found.link, node: found.node } : null;
  };
  /** The next busiest link, or the one before. */
  const turn = (by: number) => {
    const at = pictured.value.findIndex((link) => link.link === hover?.link);
    const next = pictured.value[at < 0 ? 0 : Math.min(pictured.value.length - 1, Math.max(0, at + by))];
    const middle = next && middleOf(scene()!, next.link);
    if (!next || !middle) return;
    light([next.link]);
    setHover({ ...middle, link: next.link });
  };
  const key = (event: KeyboardEvent) => {
    if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return;
    if (panzoom.current?.key(event)) return setHover(null);
    if (event.key === "n" || event.key === "p") turn(event.key === "n" ? 1 : -1);
    else if (event.key === "Enter" && hover?.link) go("link", hover.link);
    else if (event.key === "Escape") (setHover(null), light());
  };
  const save = (kind: "png" | "svg") => {
    const name = `${topology.value}.${kind}`;
    if (kind === "svg") download(name, new Blob([svg(scene()!)], { type: "image/svg+xml" }));
    else canvas.current!.toBlob((image) => image && download(name, image));
  };
  return (
    <div class="map" tabIndex={0} role="group" aria-label="Drawing of the network; arrow keys move it, plus and minus zoom, 0 resets, n and p go through the busiest links, Enter opens one. The list of busiest links says the same in words." onKeyDown={key}>
      <canvas
        ref={canvas} class={hover ? "points" : ""} aria-hidden="true"
        onPointerMove={(event) => !panzoom.current?.moving && setHover(point(event))}
        onPointerLeave={() => setHover(null)}
        onClick={(event) => {
          if (panzoom.current?.moved) return;
          const found = point(event);
          if (found?.node) chooseEnd(found.node);
          else if (found?.link) go("link", found.link);
        }}
      />
      <div aria-live="polite">{hover ? <Tip {...hover} width={canvas.current?.clientWidth ?? 0} height={canvas.current?.clientHeight ?? 0} /> : null}</div>
      <div class="zoom">
        <button aria-label="Zoom in" onClick={() => panzoom.current?.by(1.5)}>+</button>
        <button aria-label="Zoom out" onClick={() => panzoom.current?.by(1 / 1.5)}>−</button>
        <button aria-label="Show everything" onClick={() => panzoom.current?.reset()}>⤢</button>
      </div>
      <div class="save">
        <button class="small" onClick={() => save("png")}>PNG</button> <button class="small" onClick={() => save("svg")}>SVG</button>
      </div>
    </div>
  );
}

function marked(): string[] {
  const { query } = route.peek();
  return ["ingress", "egress", "node"].flatMap((name) => query.get(name) ?? []);
}

/** The first click is where it enters, the second where it leaves; a third begins anew. */
function chooseEnd(node: string): void {
  const { ingress, egress } = ends();
  if (ingress && !egress && node !== ingress) adjust({ egress: node, node: null });
  else adjust({ ingress: node, egress: null, node: null });
}

/** Brings the node of the address into sight. */
function showAsked(moves: PanZoom): void {
  const spot = drawing.peek()?.spots.get(route.peek().query.get("node") ?? "");
  if (spot) moves.show(spot.x, spot.y, drawing.peek()!.spots.size > 100 ? NEAR : 1.5);
}

function Tip(props: Pointed & { width: number; height: number }) {
  const link = pictured.value.find((one) => one.link === props.link);
  const beside = props.x > props.width / 2 ? { right: `${props.width - props.x + 14}px` } : { left: `${props.x + 14}px` };
  const style = { ...beside, ...(props.y > props.height * 0.6 ? { bottom: `${props.height - props.y + 14}px` } : { top: `${props.y + 14}px` }) };
  if (props.node) {
    const out = pictured.value.filter((one) => one.from === props.node);
    return (
      <div class="tip" style={style}>
        <strong><NodeName of={props.node} /></strong>
        <div>{count(out.length, "link")} out, {rate(out.reduce((sum, one) => sum + one.reserved_bps, 0))} reserved on them. Click to ask for bandwidth from here.</div>
      </div>
    );
  }
  if (!link) return null;
  return (
    <div class="tip" style={style} data-x={props.x} data-y={props.y}>
      <strong>{link.link}</strong> <State of={link.state} />
      <div>{citiesOf(link.link) ?? `${link.from} → ${link.to}`}, {rate(link.max_reservable_bps)}</div>
      <Share ppm={link.utilisation_ppm} label={`${percent(link.utilisation_ppm)}, ${rate(link.reserved_bps)} reserved`} />
      {link.classes.map((one) => (
        <div><ClassMark classType={one.class_type} /> {rate(one.reserved_bps)}{one.borrowed_bps ? `, ${rate(one.borrowed_bps)} of it borrowed` : ""}</div>
      ))}
      {link.measured_bps === undefined ? null : <div>{rate(link.measured_bps)} measured</div>}
      {isPast.value ? <div>As it was then.</div> : <div>{count(link.allocation_count, "allocation")}. Click for more.</div>}
    </div>
  );
}
