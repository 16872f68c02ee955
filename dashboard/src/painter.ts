// Paints the network, on a canvas or as SVG: thousands of links at every step of the wheel. Each link is a lane from its
// tail, the busiest on top and the widest. Where there is room, a lane has a strand for each class, as wide as its
// reserved share; where there is not, it is a line in the colour of its step.
import type { Link } from "./api";
import { away, fitting, placed, strand, type Drawing, type Label, type Outline, type Placed, type View } from "./geometry";
import type { Palette } from "./theme";
import { percent, step } from "./units";

/** What of a canvas is used; SVG has the same. */
export type Pen = Pick<
  CanvasRenderingContext2D,
  "fillStyle" | "strokeStyle" | "lineWidth" | "font" | "textAlign" | "beginPath" | "moveTo" | "lineTo" | "closePath" | "arc" | "fill" | "stroke" | "fillText" | "strokeText" | "fillRect" | "setLineDash"
>;

export type Colouring = "utilisation" | "class";

export interface Scene {
  drawing: Drawing;
  /** The busiest first. */
  links: Link[];
  view: View;
  width: number;
  height: number;
  palette: Palette;
  colouring: Colouring;
  lit: ReadonlySet<string>;
  /** What is lit are links that bind, and no path. */
  binds: boolean;
  /** The links of those that would lose by a request. */
  touched: ReadonlySet<string>;
  /** Nodes that are marked, such as the ends of a request. */
  marked: string[];
  /** In small, beside something: without labels. */
  small: boolean;
  /** In small, links have the colours of their loads; else they are as quiet as what is lit allows. */
  loads: boolean;
}

const EM = 12.5;
const FONT = "system-ui, sans-serif";
/** From this width on, in pixels, a lane shows its strands, unless more than so many lanes are seen. */
const STRANDS_FROM = 7;
const STRANDS_MOST = 120;
/** How much wider than others a lane is, by its step. */
const WIDER = [0.45, 0.65, 1, 1.4, 1.8, 2.2, 2.4];
/** So many links have their utilisation written beside them. */
const NUMBERED = 10;
const NUMBERED_PPM = 100_000;

export function laneWidth(scene: Scene): number {
  return Math.min(scene.small ? 4 : 13, Math.max(2.2, scene.drawing.lane * scene.view.k));
}

/** The same at every zoom; less where there are very many. */
export function nodeRadius(scene: Scene): number {
  return scene.small || isCrowded(scene) ? 2 : 5;
}

function isCrowded(scene: Scene): boolean {
  return scene.drawing.spots.size > 200;
}

/** The colour of its most used class, or of its step. */
function colourOf(scene: Scene, link: Link): string {
  return scene.colouring === "class" ? scene.palette.classes[fullest(link)]! : scene.palette.steps[step(link.utilisation_ppm)]!;
}

/** The class that has most of a link. */
export function fullest(link: Link): number {
  return link.classes.reduce((most, one) => (one.reserved_bps > most.reserved_bps ? one : most), link.classes[0]!).class_type;
}

function trace(pen: Pen, points: Outline): void {
  pen.beginPath();
  for (let at = 0; at < points.length; at += 2) at ? pen.lineTo(points[at]!, points[at + 1]!) : pen.moveTo(points[0]!, points[1]!);
  pen.closePath();
}

/** Whether anything of a lane is on the picture. */
function seen(scene: Scene, lane: Placed): boolean {
  const [x, y] = [lane.x + lane.ux * lane.length, lane.y + lane.uy * lane.length];
  const margin = 20;
  return Math.max(lane.x, x) > -margin && Math.min(lane.x, x) < scene.width + margin && Math.max(lane.y, y) > -margin && Math.min(lane.y, y) < scene.height + margin;
}

export function paint(pen: Pen, scene: Scene): void {
  const { palette, drawing, view } = scene;
  const [wide, radius] = [laneWidth(scene), nodeRadius(scene)];
  pen.fillStyle = palette.paper;
  pen.fillRect(0, 0, scene.width, scene.height);
  pen.setLineDash([]);
  const lines = new Map<string, { colour: string; wide: number; lanes: Placed[] }>();
  const outOfService: { link: Link; lane: Placed }[] = [];
  const inSight = scene.links.toReversed().flatMap((link) => {
    const found = drawing.lanes.get(link.link);
    const lane = found && placed(found, view, wide, radius);
    return lane && seen(scene, lane) ? [{ link, lane }] : [];
  });
  const isQuiet = scene.small && !scene.loads;
  const isNear = wide >= STRANDS_FROM && !scene.small && inSight.length <= STRANDS_MOST;
  for (const { link, lane } of inSight) {
    if (link.state !== "up") outOfService.push({ link, lane });
    else if (isNear) strands(pen, scene, link, lane, wide);
    else {
      const at = isQuiet ? 0 : step(link.utilisation_ppm);
      const colour = isQuiet ? palette.casing : colourOf(scene, link);
      const key = `${at} ${colour}`;
      const line = lines.get(key) ?? { colour, wide: isQuiet ? 1.5 : Math.max(1, wide * WIDER[at]!), lanes: [] };
      line.lanes.push(lane);
      lines.set(key, line);
    }
  }
  for (const line of lines.values()) stroke(pen, line.lanes, line.colour, line.wide);
  for (const { link, lane } of outOfService) {
    stroke(pen, [lane], palette.paper, Math.max(3, wide));
    pen.setLineDash(link.state === "down" ? [4, 3] : [8, 4]);
    stroke(pen, [lane], link.state === "down" ? palette.bad : palette.warn, Math.max(2, wide * 0.6));
    pen.setLineDash([]);
    if (!scene.small) text(pen, scene, link.state === "down" ? "✕" : "⚒", lane.x + lane.ux * lane.length * 0.3, lane.y + lane.uy * lane.length * 0.3, "center", `700 ${EM + 3}px ${FONT}`);
  }
  highlight(pen, scene, wide, radius);
  nodes(pen, scene, radius);
  if (!scene.small) labels(pen, scene, wide, radius);
}

function stroke(pen: Pen, lanes: Placed[], colour: string, wide: number): void {
  pen.strokeStyle = colour;
  pen.lineWidth = wide;
  // Each by itself: without a graphics card one path of a thousand lines takes longer than a thousand lines.
  for (const lane of lanes) {
    pen.beginPath();
    pen.moveTo(lane.x, lane.y);
    pen.lineTo(lane.x + lane.ux * lane.length, lane.y + lane.uy * lane.length);
    pen.stroke();
  }
}

function strands(pen: Pen, scene: Scene, link: Link, lane: Placed, wide: number): void {
  pen.fillStyle = scene.palette.casing;
  trace(pen, strand(lane, wide, 0, wide));
  pen.fill();
  const parts = link.classes.filter((one) => one.reserved_bps > 0);
  const total = parts.reduce((sum, one) => sum + one.reserved_bps, 0);
  const scale = (wide * (step(link.utilisation_ppm) >= 3 ? 1.15 : 0.96)) / Math.max(1, link.max_reservable_bps, total);
  let aside = (-total * scale) / 2;
  pen.fillStyle = colourOf(scene, link);
  for (const one of parts) {
    const width = one.reserved_bps * scale;
    aside += width;
    if (scene.colouring === "class") pen.fillStyle = scene.palette.classes[one.class_type]!;
    trace(pen, strand(lane, Math.max(width * 0.9, 0.6), aside - width / 2, wide));
    pen.fill();
  }
}

/** What is lit is drawn over everything, so that a path is seen from end to end: the other half of each link too. Beside
 * it are the paths of those that would lose by it. */
function highlight(pen: Pen, scene: Scene, wide: number, radius: number): void {
  const lanes = (names: ReadonlySet<string>) => [...names].flatMap((name) => {
    const lane = scene.drawing.lanes.get(name);
    return lane ? [placed({ ...lane, part: 1 }, scene.view, wide, radius)] : [];
  });
  const broad = scene.small ? 3 : Math.max(5, wide * 0.9);
  stroke(pen, lanes(scene.touched), scene.palette.paper, broad * 1.8);
  stroke(pen, lanes(scene.touched), scene.palette.warn, broad * 1.4);
  stroke(pen, lanes(scene.lit), scene.palette.paper, broad + 2);
  stroke(pen, lanes(scene.lit), scene.binds ? scene.palette.bad : scene.small ? scene.palette.accent : scene.palette.ink, broad);
}

function nodes(pen: Pen, scene: Scene, radius: number): void {
  const { view, palette } = scene;
  const isDot = radius < 4;
  pen.fillStyle = isDot ? palette.quiet : palette.paper;
  pen.strokeStyle = palette.ink;
  pen.lineWidth = 1.5;
  for (const spot of scene.drawing.spots.values()) {
    const [x, y] = [spot.x * view.k + view.x, spot.y * view.k + view.y];
    if (x < -radius || y < -radius || x > scene.width + radius || y > scene.height + radius) continue;
    if (isDot) pen.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
    else {
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.fill();
      pen.stroke();
    }
  }
  for (const name of scene.marked) {
    const spot = scene.drawing.spots.get(name);
    if (!spot) continue;
    const [x, y] = [spot.x * view.k + view.x, spot.y * view.k + view.y];
    pen.beginPath();
    pen.arc(x, y, radius + 5, 0, 2 * Math.PI);
    pen.strokeStyle = palette.accent;
    pen.lineWidth = 4;
    pen.stroke();
  }
}

let chosen: { key: string; labels: Label[] } = { key: "", labels: [] };
let made = { drawing: null as Drawing | null, number: 0 };

/** Which labels fit is found anew when the zoom has changed by half or other links are the busiest, not with every step. */
function labels(pen: Pen, scene: Scene, wide: number, radius: number): void {
  if (made.drawing !== scene.drawing) made = { drawing: scene.drawing, number: made.number + 1 };
  const level = 2 ** (Math.round(Math.log2(scene.view.k) * 2) / 2);
  const busiest = scene.links.slice(0, NUMBERED).filter((link) => link.utilisation_ppm >= NUMBERED_PPM);
  const key = [made.number, level, ...scene.marked, ...busiest.map((link) => link.link + percent(link.utilisation_ppm))].join("\n");
  if (chosen.key !== key) {
    const flat: Scene = { ...scene, view: { x: 0, y: 0, k: level } };
    const all = wanted(flat, busiest, wide, radius);
    const shown = fitting(all, EM);
    chosen = { key, labels: all.filter((one) => shown.has(one.key)) };
  }
  for (const label of chosen.labels) {
    const lane = scene.drawing.lanes.get(label.key);
    const at = lane ? numberAt(placed(lane, scene.view, wide, radius), wide) : spotAt(scene, label.key, radius);
    if (at.x < -200 || at.y < -20 || at.x > scene.width + 200 || at.y > scene.height + 20) continue;
    text(pen, scene, label.text, at.x, at.y, label.anchor, `${label.bold ? 700 : 500} ${EM}px ${FONT}`, label.bold || !isCrowded(scene));
  }
}

function wanted(scene: Scene, busiest: Link[], wide: number, radius: number): Label[] {
  const numbers = busiest.flatMap((link): Label[] => {
    const lane = scene.drawing.lanes.get(link.link);
    return lane ? [{ key: link.link, text: percent(link.utilisation_ppm), ...numberAt(placed(lane, scene.view, wide, radius), wide), anchor: "center", bold: true }] : [];
  });
  const named = [...scene.drawing.spots.values()].map((spot): Label => ({ key: spot.node, text: spot.label, ...spotAt(scene, spot.node, radius), anchor: spot.anchor, bold: false }));
  const marked = named.filter((one) => scene.marked.includes(one.key));
  return [...marked, ...numbers, ...named];
}

function numberAt(lane: Placed, wide: number): { x: number; y: number } {
  const [along, aside] = [lane.length * 0.5, EM * 0.6 + wide * 0.6];
  return { x: lane.x + lane.ux * along - lane.uy * aside, y: lane.y + lane.uy * along + lane.ux * aside };
}

function spotAt(scene: Scene, node: string, radius: number): { x: number; y: number } {
  const spot = scene.drawing.spots.get(node)!;
  const far = radius + EM * 0.75;
  return { x: spot.x * scene.view.k + scene.view.x + spot.dx * far, y: spot.y * scene.view.k + scene.view.y + spot.dy * far };
}

function text(pen: Pen, scene: Scene, words: string, x: number, y: number, anchor: "left" | "center" | "right", font: string, halo = true): void {
  pen.font = font;
  pen.textAlign = anchor;
  pen.strokeStyle = scene.palette.paper;
  pen.lineWidth = 3.5;
  if (halo) pen.strokeText(words, x, y + EM * 0.36);
  pen.fillStyle = scene.palette.ink;
  pen.fillText(words, x, y + EM * 0.36);
}

/** What is at a place of the screen: a node before a link, and the nearest. */
export function hit(scene: Scene, x: number, y: number, reach: number): { node?: string; link?: string } | null {
  const [wide, radius] = [laneWidth(scene), nodeRadius(scene)];
  let best: { far: number; node?: string; link?: string } = { far: Infinity };
  for (const spot of scene.drawing.spots.values()) {
    const far = Math.hypot(spot.x * scene.view.k + scene.view.x - x, spot.y * scene.view.k + scene.view.y - y);
    if (far < Math.min(best.far, radius + reach)) best = { far, node: spot.node };
  }
  if (best.node) return best;
  for (const lane of scene.drawing.lanes.values()) {
    const far = away(placed(lane, scene.view, wide, radius), x, y);
    if (far < Math.min(best.far, wide / 2 + reach)) best = { far, link: lane.link };
  }
  return best.link ? best : null;
}

/** The middle of a link on the screen. */
export function middleOf(scene: Scene, link: string): { x: number; y: number } | null {
  const lane = scene.drawing.lanes.get(link);
  if (!lane) return null;
  const at = placed(lane, scene.view, laneWidth(scene), nodeRadius(scene));
  return { x: at.x + at.ux * at.length * 0.5, y: at.y + at.uy * at.length * 0.5 };
}

/** The same picture as SVG. */
export function svg(scene: Scene): string {
  const parts: string[] = [];
  const escape = (words: string) => words.replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);
  const short = (value: number) => String(Math.round(value * 10) / 10);
  let [path, dash] = ["", ""];
  const write = (words: string, x: number, y: number, look: string) => {
    const [, weight, size] = /^(\d+) ([\d.]+)px/.exec(pen.font)!;
    const anchor = { left: "start", center: "middle", right: "end" }[pen.textAlign as "left"];
    parts.push(`<text x="${short(x)}" y="${short(y)}" font-family="${FONT}" font-weight="${weight}" font-size="${size}" text-anchor="${anchor}" ${look}>${escape(words)}</text>`);
  };
  const pen: Pen = {
    fillStyle: "", strokeStyle: "", lineWidth: 1, font: "", textAlign: "left",
    beginPath: () => void (path = ""),
    moveTo: (x, y) => void (path += `M${short(x)} ${short(y)}`),
    lineTo: (x, y) => void (path += `L${short(x)} ${short(y)}`),
    closePath: () => void (path += "Z"),
    arc: (x, y, r) => void (path += `M${short(x - r)} ${short(y)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`),
    fill: () => void parts.push(`<path d="${path}" fill="${pen.fillStyle}"/>`),
    stroke: () => void parts.push(`<path d="${path}" fill="none" stroke="${pen.strokeStyle}" stroke-width="${short(pen.lineWidth)}"${dash}/>`),
    fillRect: (x, y, width, height) => void parts.push(`<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="${pen.fillStyle}"/>`),
    setLineDash: (lengths) => void (dash = [...lengths].length ? ` stroke-dasharray="${[...lengths].join(" ")}"` : ""),
    fillText: (words, x, y) => write(words, x, y, `fill="${pen.fillStyle}"`),
    strokeText: (words, x, y) => write(words, x, y, `fill="none" stroke="${pen.strokeStyle}" stroke-width="${pen.lineWidth}" stroke-linejoin="round"`),
  };
  paint(pen, scene);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${scene.width} ${scene.height}" width="${scene.width}" height="${scene.height}">${parts.join("")}</svg>\n`;
}
