// Where links are drawn: two nodes' links run side by side, each from its tail to the middle, where it meets the way back.
// Places are those of the layout; widths, nodes and letters are of the screen, the same at every zoom.
import type { Layout, Link } from "./api";

/** A directed link between two places. */
export interface Lane {
  link: string;
  x: number;
  y: number;
  /** Its direction, of length one. */
  ux: number;
  uy: number;
  /** From node to node, and how much of that is drawn: half, where the way back has the other half. */
  whole: number;
  part: number;
  /** How many lanes it stands aside, where there are several between the same nodes. */
  aside: number;
}

export interface Spot {
  node: string;
  label: string;
  x: number;
  y: number;
  /** Where its label goes: away from its neighbours. */
  dx: number;
  dy: number;
  anchor: "left" | "center" | "right";
  degree: number;
}

export interface Drawing {
  width: number;
  height: number;
  /** How wide a lane would be, in units of the layout. */
  lane: number;
  lanes: Map<string, Lane>;
  spots: Map<string, Spot>;
}

/** What part of the layout is seen: screen = place × k + (x, y). */
export interface View {
  x: number;
  y: number;
  k: number;
}

/** Everything that depends on places and not on load. */
export function draw(layout: Layout, links: Link[]): Drawing {
  const at = new Map(layout.nodes.map((node) => [node.node, node]));
  const pairs = new Map<string, Link[]>();
  for (const link of links) {
    const key = link.from < link.to ? `${link.from}\n${link.to}` : `${link.to}\n${link.from}`;
    const pair = pairs.get(key);
    if (pair) pair.push(link);
    else pairs.set(key, [link]);
  }
  const lengths = [...pairs.values()].map(([link]) => distance(at.get(link!.from), at.get(link!.to))).filter((length) => length > 0);
  lengths.sort((one, two) => one - two);
  const middle = lengths[Math.floor(lengths.length / 2)] ?? 1000;
  const lane = Math.max(26, Math.min(0.0115 * Math.max(layout.width, layout.height * 1.35), middle * 0.11, 2900 / Math.sqrt(layout.nodes.length)));
  const lanes = new Map<string, Lane>();
  for (const pair of pairs.values()) {
    const fibres = inFibres(pair);
    fibres.forEach((fibre, index) => {
      for (const link of fibre) place(link, fibre.length === 2 ? 0.5 : 1, (index - (fibres.length - 1) / 2) * 1.45);
    });
  }
  function place(link: Link, part: number, offset: number): void {
    const [from, to] = [at.get(link.from), at.get(link.to)];
    if (!from || !to) return;
    const whole = distance(from, to) || 1;
    const [ux, uy] = [(to.x - from.x) / whole, (to.y - from.y) / whole];
    // The same side for both directions of a fibre.
    lanes.set(link.link, { link: link.link, x: from.x, y: from.y, ux, uy, whole, part, aside: link.from < link.to ? offset : -offset });
  }
  return { width: layout.width, height: layout.height, lane, lanes, spots: spots(layout, links) };
}

function distance(one?: { x: number; y: number }, two?: { x: number; y: number }): number {
  return one && two ? Math.hypot(one.x - two.x, one.y - two.y) : 0;
}

/** Links between two nodes, with those together that are the two directions of one fibre. */
function inFibres(pair: Link[]): Link[][] {
  const first = pair[0]!.from;
  const back = pair.filter((link) => link.from !== first);
  return [
    ...pair.filter((link) => link.from === first).map((link) => {
      const twin = back.findIndex((other) => other.link === link.twin);
      const place = twin >= 0 ? twin : back.findIndex((other) => !other.twin);
      return place >= 0 ? [link, ...back.splice(place, 1)] : [link];
    }),
    ...back.map((link) => [link]),
  ];
}

function spots(layout: Layout, links: Link[]): Map<string, Spot> {
  const at = new Map(layout.nodes.map((node) => [node.node, node]));
  const pull = new Map<string, { x: number; y: number; degree: number }>();
  for (const link of links) {
    const [from, to] = [at.get(link.from), at.get(link.to)];
    if (!from || !to) continue;
    const far = distance(from, to) || 1;
    const sum = pull.get(link.from) ?? { x: 0, y: 0, degree: 0 };
    pull.set(link.from, { x: sum.x + (to.x - from.x) / far, y: sum.y + (to.y - from.y) / far, degree: sum.degree + 1 });
  }
  // Those with the most links first: their labels are the last to give way.
  const found = layout.nodes.map((node): Spot => {
    const to = pull.get(node.node) ?? { x: 0, y: 1, degree: 0 };
    const size = Math.hypot(to.x, to.y);
    const [dx, dy] = size < 0.05 ? [0, -1] : [-to.x / size, -to.y / size];
    return { node: node.node, label: node.label || node.node, x: node.x, y: node.y, dx, dy, anchor: dx > 0.35 ? "left" : dx < -0.35 ? "right" : "center", degree: to.degree };
  });
  return new Map(found.sort((one, two) => two.degree - one.degree).map((spot) => [spot.node, spot]));
}

/** A lane on the screen: where it begins, and how long it is. */
export interface Placed {
  x: number;
  y: number;
  ux: number;
  uy: number;
  length: number;
}

export function placed(lane: Lane, view: View, width: number, radius: number): Placed {
  const whole = lane.whole * view.k;
  const start = Math.min(radius, whole * 0.2);
  const end = lane.part === 1 ? whole - start : whole * lane.part;
  const side = lane.aside * width;
  return { x: lane.x * view.k + view.x + lane.ux * start - lane.uy * side, y: lane.y * view.k + view.y + lane.uy * start + lane.ux * side, ux: lane.ux, uy: lane.uy, length: end - start };
}

/** The points of an outline: x, y, x, y, … */
export type Outline = number[];

/** A strand of a lane, `aside` from its middle, with a point at its end; the whole lane is a strand in the middle. */
export function strand(lane: Placed, width: number, aside: number, laneWidth: number): Outline {
  const tip = Math.min(laneWidth * 0.9, lane.length * 0.5);
  // The point of the lane leaves less room the farther aside a strand runs.
  const inset = (edge: number) => lane.length - tip * Math.min(1, Math.abs(edge) / (laneWidth / 2));
  const points: Outline = [];
  const corner = (along: number, at: number) => void points.push(lane.x + lane.ux * along - lane.uy * at, lane.y + lane.uy * along + lane.ux * at);
  const [near, far] = [aside - width / 2, aside + width / 2];
  corner(0, near);
  corner(inset(near), near);
  if (near < 0 && far > 0) corner(lane.length, 0);
  corner(inset(far), far);
  corner(0, far);
  return points;
}

/** How far a point is from a lane. */
export function away(lane: Placed, x: number, y: number): number {
  const [px, py] = [x - lane.x, y - lane.y];
  const along = Math.min(lane.length, Math.max(0, px * lane.ux + py * lane.uy));
  return Math.hypot(px - along * lane.ux, py - along * lane.uy);
}

/** A text that wants to be written on the drawing; its place is of the screen, but for where the view has been moved to. */
export interface Label {
  key: string;
  text: string;
  x: number;
  y: number;
  anchor: "left" | "center" | "right";
  bold: boolean;
}

/** Those labels that fit without covering one another, the first ones first; `em` is the size of a letter. Where there are
 * many, they keep their distance, so that the links are seen between them. */
export function fitting(labels: Label[], em: number): Set<string> {
  const taken = new Map<string, [number, number, number, number][]>();
  const shown = new Set<string>();
  const cell = em * 14;
  const many = labels.length > 100 ? em * 1.3 : 0;
  for (const label of labels.slice(0, 4_000)) {
    const width = label.text.length * em * 0.62;
    const pad = label.bold ? 0 : many;
    const left = label.anchor === "left" ? label.x : label.anchor === "right" ? label.x - width : label.x - width / 2;
    const box: [number, number, number, number] = [left - pad, label.y - em * 0.6 - pad, left + width + pad, label.y + em * 0.6 + pad];
    const cells: string[] = [];
    for (let x = Math.floor(box[0] / cell); x <= Math.floor(box[2] / cell); x++)
      for (let y = Math.floor(box[1] / cell); y <= Math.floor(box[3] / cell); y++) cells.push(`${x},${y}`);
    const covers = cells.some((key) => taken.get(key)?.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3]));
    if (covers) continue;
    shown.add(label.key);
    for (const key of cells) taken.set(key, [...(taken.get(key) ?? []), box]);
  }
  return shown;
}
