// What happened, one line each.
import type { Happening } from "./api";
import { LinkName, REASONS, State } from "./parts";
import { topology } from "./live";
import { href } from "./route";
import { className, clock, count, MODEL_WORDS, rate } from "./units";

interface Told {
  id?: string;
  ids?: string[];
  topology?: string;
  allocation?: { topology: string; id: string; ingress: string; egress: string; class_type: number; bandwidth_bps: number };
  demand?: { topology: string; ingress: string; egress: string; class_type: number; bandwidth_bps: number };
  denial?: { reason: string };
  links?: { name?: string; state?: string }[] | number;
  nodes?: number;
  model?: { default?: { model?: string } };
  displaced?: { id: string; fate: string }[];
  controller?: { name: string; driver: string; topology: string } | string;
}

/** Whether an event is of a topology, as far as it says. */
export function isOf(happening: Happening, topology: string): boolean {
  const data = happening.data as Told;
  const of = data.topology ?? data.allocation?.topology ?? data.demand?.topology;
  return of === undefined || of === topology;
}

export function Feed(props: { happenings: Happening[] }) {
  if (!props.happenings.length) return <p class="quiet">Nothing lately.</p>;
  return (
    <ol class="feed">
      {props.happenings.map((one) => (
        <li key={one.sequence}>
          <time dateTime={one.at}>{clock(one.at)}</time> <Line happening={one} />
        </li>
      ))}
    </ol>
  );
}

function Line(props: { happening: Happening }) {
  const data = props.happening.data as Told;
  const displaced = <Displaced of={data.displaced ?? []} />;
  switch (props.happening.kind) {
    case "allocation_admitted":
    case "allocation_resized": {
      const one = data.allocation!;
      const word = props.happening.kind === "allocation_admitted" ? "admitted" : "resized";
      return <><a href={href("allocations", one.id)}>{one.id}</a> {word}: {one.ingress} → {one.egress}, {className(one.class_type)}, {rate(one.bandwidth_bps)}{displaced}</>;
    }
    case "allocation_denied": {
      const one = data.demand!;
      return <><State of="denied" />: {one.ingress} → {one.egress}, {className(one.class_type)}, {rate(one.bandwidth_bps)}. {REASONS[data.denial!.reason] ?? data.denial!.reason}</>;
    }
    case "allocation_released": return <><a href={href("allocations", data.id)}>{data.id}</a> released</>;
    case "allocations_expired": return <>{count(data.ids?.length ?? 0, "allocation")} expired</>;
    case "topology_put": return <>topology <strong>{data.topology}</strong> put: {count(data.nodes ?? 0, "node")}, {count(Number(data.links), "link")}{displaced}</>;
    case "topology_deleted": return <>topology <strong>{data.topology}</strong> deleted</>;
    case "model_set": return <><strong>{data.topology}</strong> is under {MODEL_WORDS[data.model?.default?.model ?? ""] ?? "another model"} now{displaced}</>;
    case "controller_put": {
      const one = data.controller as { name: string; driver: string; topology: string };
      return <>controller <strong>{one.name}</strong> ({one.driver}) has the switches of {one.topology}</>;
    }
    case "controller_deleted": return <>controller <strong>{String(data.controller)}</strong> let be</>;
    case "link_changed": {
      const changed = Array.isArray(data.links) ? data.links : [];
      const name = (link: { name?: string }) => (data.topology === topology.value ? <LinkName name={link.name ?? ""} /> : <>{link.name} of {data.topology}</>);
      return <>{changed.map((link, at) => <>{at ? ", " : ""}{name(link)} <State of={link.state ?? "up"} /></>)}{displaced}</>;
    }
  }
}

function Displaced(props: { of: { id: string; fate: string }[] }) {
  if (!props.of.length) return null;
  const ended = props.of.filter((one) => one.fate !== "rerouted");
  const moved = props.of.length - ended.length;
  return (
    <strong>
      {ended.length ? `; ${count(ended.length, "allocation")} had to yield` : ""}
      {moved ? `; ${count(moved, "allocation")} rerouted` : ""}
    </strong>
  );
}
