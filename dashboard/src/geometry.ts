// Where links are drawn: two nodes' links run side by side, each from its tail to the middle, where it meets the way back.
import type { Layout, Link } from "./api";

/** A directed link on the drawing: a lane from its tail towards its head. */
export interface Lane {
  link: string;
  /** Where the lane begins. */
  x: number;
  y: number;
  /** Its direction, of length one. */
  ux: number;
  uy: number;
  length: number;
}

export interface Spot {
  node: string;
  label: string;
  x: number;
  y: number;
  /** Where its label goes: away from its neighbours. */
  labelX: number;
  labelY: number;
  anchor: "start" | "middle" | "end";
  degree: number;
}

export interface Drawing {
  width: number;
  height: number;
  /** How wide a lane is. */
  lane: number;
  /** How large a node is. */
  radius: number;
  lanes: Map<string, Lane>;
  spots: Spot[];
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
  const radius = Math.min(lane * 0.95, 80);
  const lanes = new Map<string, Lane>();
  for (const pair of pairs.values()) {
    const fibres = inFibres(pair);
    fibres.forEach((fibre, index) => {
      const offset = (index - (fibres.length - 1) / 2) * lane * 1.45;
      for (const link of fibre) place(link, fibre.length === 2 ? 0.5 : 1, offset);
    });
  }
  function place(link: Link, part: number, offset: number): void {
    const [from, to] = [at.get(link.from), at.get(link.to)];
    if (!from || !to) return;
    const whole = distance(from, to) || 1;
    const [ux, uy] = [(to.x - from.x) / whole, (to.y - from.y) / whole];
    // The same side for both directions of a fibre.
    const side = link.from < link.to ? offset : -offset;
    const start = Math.min(radius, whole * 0.2);
    const end = part === 1 ? whole - start : whole * part;
    lanes.set(link.link, { link: link.link, x: from.x + ux * start - uy * side, y: from.y + uy * start + ux * side, ux, uy, length: end - start });
  }
  return { width: layout.width, height: layout.height, lane, radius, lanes, spots: spots(layout, links, radius) };
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

function spots(layout: Layout, links: Link[], radius: number): Spot[] {
  const at = new Map(layout.nodes.map((node) => [node.node, node]));
  const pull = new Map<string, { x: number; y: number; degree: number }>();
  for (const link of links) {
    const [from, to] = [at.get(link.from), at.get(link.to)];
    if (!from || !to) continue;
    const far = distance(from, to) || 1;
    const sum = pull.get(link.from) ?? { x: 0, y: 0, degree: 0 };
    pull.set(link.from, { x: sum.x + (to.x - from.x) / far, y: sum.y + (to.y - from.y) / far, degree: sum.degree + 1 });
  }
  return layout.nodes.map((node) => {
    const to = pull.get(node.node) ?? { x: 0, y: 1, degree: 0 };
    const size = Math.hypot(to.x, to.y);
    const [dx, dy] = size < 0.05 ? [0, -1] : [-to.x / size, -to.y / size];
    return {
      node: node.node, label: node.label || node.node, x: node.x, y: node.y,
      labelX: node.x + dx * radius * 1.7, labelY: node.y + dy * radius * 1.7,
      anchor: dx > 0.35 ? "start" : dx < -0.35 ? "end" : "middle", degree: to.degree,
    };
  });
}

/** A text that wants to be written on the drawing. */
export interface Label {
  key: string;
  text: string;
  x: number;
  y: number;
  anchor: "start" | "middle" | "end";
}

/** Those labels that fit without covering one another, the first ones first; `em` is the size of a letter. Where there are
 * many, they keep their distance, so that the links are seen between them. */
export function fitting(labels: Label[], em: number): Set<string> {
  const taken = new Map<string, [number, number, number, number][]>();
  const shown = new Set<string>();
  const cell = em * 14;
  const pad = labels.length > 100 ? em * 1.3 : 0;
  for (const label of labels.slice(0, 4_000)) {
    const width = label.text.length * em * 0.62;
    const left = label.anchor === "start" ? label.x : label.anchor === "end" ? label.x - width : label.x - width / 2;
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

/** What is written at the nodes, those with the most links first. */
export function nodeLabels(spots: Spot[]): Label[] {
  const order = [...spots].sort((one, two) => two.degree - one.degree);
  return order.map((spot) => ({ key: spot.node, text: spot.label, x: spot.labelX, y: spot.labelY, anchor: spot.anchor }));
}

/** The outline of a lane, with a point at its end. */
export function outline(lane: Lane, width: number): string {
  const half = width / 2;
  const tip = Math.min(width * 0.9, lane.length * 0.5);
  const corner = (along: number, aside: number) =>
    `${(lane.x + lane.ux * along - lane.uy * aside).toFixed(1)},${(lane.y + lane.uy * along + lane.ux * aside).toFixed(1)}`;
  const shoulder = lane.length - tip;
  return `M${corner(0, -half)}L${corner(shoulder, -half)}L${corner(lane.length, 0)}L${corner(shoulder, half)}L${corner(0, half)}Z`;
}

/** A strand of a lane: `aside` from its middle. */
export function strand(lane: Lane, width: number, aside: number, laneWidth: number): string {
  const tip = Math.min(laneWidth * 0.9, lane.length * 0.5);
  // The point of the lane leaves less room the farther aside a strand runs.
  const inset = (edge: number) => lane.length - tip * Math.min(1, Math.abs(edge) / (laneWidth / 2));
  const corner = (along: number, at: number) =>
    `${(lane.x + lane.ux * along - lane.uy * at).toFixed(1)},${(lane.y + lane.uy * along + lane.ux * at).toFixed(1)}`;
  const [near, far] = [aside - width / 2, aside + width / 2];
  const middle = near < 0 && far > 0 ? `L${corner(lane.length, 0)}` : "";
  return `M${corner(0, near)}L${corner(inset(near), near)}${middle}L${corner(inset(far), far)}L${corner(0, far)}Z`;
}
