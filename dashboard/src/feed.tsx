// What happened, one line each.
import type { Happening, Victim } from "./api";
import { LinkName, NodeName, outcomes, REASONS, State } from "./parts";
import { topology } from "./live";
import { href } from "./route";
import { className, count, dateAndTime, MODEL_WORDS, rate } from "./units";

interface Asked {
  topology: string;
  ingress: string;
  egress: string;
  class_type: number;
  bandwidth_bps: number;
  name?: string;
  customer?: string;
  held_until?: string;
  starts_at?: string;
  backup_path?: string[];
}

interface Told {
  id?: string;
  ids?: string[];
  topology?: string;
  allocation?: Asked & { id: string };
  demand?: Asked;
  problem?: { type: string; title: string; constraint?: string };
  links?: { link?: string; state?: string }[] | number;
  nodes?: number;
  model?: { model?: string };
  victims?: Victim[];
  controller?: { id: string; driver: string; topology: string } | string;
  tenant?: { id: string } | string;
  notices?: { id: string; preempted_at?: string; preempted_by?: string }[];
  maintenance?: { links: string[]; starts_at: string; ends_at: string };
  instance?: string;
  term?: number;
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
          <time dateTime={one.at}>{dateAndTime(one.at)}</time> <Line happening={one} />{one.actor ? <span class="quiet" title={[one.actor.address, one.actor.token && `token ${one.actor.token}`].filter((text) => text).join(", ")}> by {one.actor.name}</span> : null}
        </li>
      ))}
    </ol>
  );
}

function Line(props: { happening: Happening }) {
  const data = props.happening.data as Told;
  const told = outcomes(data.victims ?? []);
  const victims = told ? <strong>; {told}</strong> : null;
  switch (props.happening.kind) {
    case "allocation_admitted":
    case "allocation_started":
    case "allocation_resized": {
      const one = data.allocation!;
      const admitted = one.held_until ? "held" : one.starts_at ? `booked for ${dateAndTime(one.starts_at)}` : "admitted";
      const word = { allocation_admitted: admitted, allocation_started: "started" }[props.happening.kind as string] ?? "changed";
      return <><a href={href("allocations", one.id)}>{one.id}</a>{called(one)} {word}: <NodeName of={one.ingress} /> → <NodeName of={one.egress} />, {className(one.class_type)}, {rate(one.bandwidth_bps)}{victims}</>;
    }
    case "allocation_recovered": {
      const one = data.allocation!;
      return <><a href={href("allocations", one.id)}>{one.id}</a>{called(one)} {one.backup_path ? "is protected again" : "returned to its first path"}</>;
    }
    case "allocation_denied": {
      const one = data.demand!;
      return <><State of="denied" />{called(one)}: <NodeName of={one.ingress} /> → <NodeName of={one.egress} />, {className(one.class_type)}, {rate(one.bandwidth_bps)}. {reason(data.problem!)}</>;
    }
    case "allocation_start_failed": {
      const one = data.demand!;
      return <><State of="failed" /> <a href={href("allocations", data.id)}>{data.id}</a>{called(one)} could not start: {reason(data.problem!)}</>;
    }
    case "allocation_released": return <><a href={href("allocations", data.id)}>{data.id}</a> released</>;
    case "allocations_expired": return <>{count(data.ids?.length ?? 0, "allocation")} expired</>;
    case "topology_put": return <>topology <strong>{data.topology}</strong> put: {count(data.nodes ?? 0, "node")}, {count(Number(data.links), "link")}{victims}</>;
    case "topology_deleted": return <>topology <strong>{data.topology}</strong> deleted</>;
    case "model_set": return <><strong>{data.topology}</strong> is under {MODEL_WORDS[data.model?.model ?? ""] ?? "another model"} now{victims}</>;
    case "controller_put": {
      const one = data.controller as { id: string; driver: string; topology: string; closing?: boolean };
      if (one.closing) return <>the rules of controller <strong>{one.id}</strong> are being removed</>;
      return <>controller <strong>{one.id}</strong> ({one.driver}) has the switches of {one.topology}</>;
    }
    case "allocations_displaced": return <>somebody else's request took paths{victims}</>;
    case "maintenance_planned": {
      const one = data.maintenance!;
      return <><a href={href("calendar")}>maintenance</a> of {count(one.links.length, "link")} of {data.topology} from {dateAndTime(one.starts_at)} to {dateAndTime(one.ends_at)}{victims}</>;
    }
    case "preemption_foreseen": {
      const notices = data.notices ?? [];
      return <>{notices.map((one, at) => <>{at ? "; " : ""}<a href={href("allocations", one.id)}>{one.id}</a> {one.preempted_at ? <>will be preempted at {dateAndTime(one.preempted_at)}{one.preempted_by ? <> by <a href={href("allocations", one.preempted_by)}>{one.preempted_by}</a></> : null}</> : "will not be preempted after all"}</>)}</>;
    }
    case "maintenance_ended": return <>maintenance {String(data.id)} of {data.topology} is over</>;
    case "tenant_put": {
      const one = data.tenant as Terms;
      return <>tenant <strong>{one.id}</strong> was put: {entitlement(one)}</>;
    }
    case "tenant_deleted": return <>tenant <strong>{String(data.tenant)}</strong> forgotten</>;
    case "controller_led": return <>controller <strong>{String(data.controller)}</strong> is written to by {data.instance}, term {data.term}</>;
    case "scheduler_led": return data.instance ? <>{data.instance} takes the reports of aggregators in, term {data.term}</> : <>no instance takes the reports of aggregators in</>;
    case "controller_deleted": return <>controller <strong>{String(data.controller)}</strong> deleted</>;
    case "link_changed": {
      const changed = Array.isArray(data.links) ? data.links : [];
      const name = (one: { link?: string }) => (data.topology === topology.value ? <LinkName name={one.link ?? ""} /> : <>{one.link} of {data.topology}</>);
      return <>{changed.map((link, at) => <>{at ? ", " : ""}{name(link)} <State of={link.state ?? "up"} /></>)}{victims}</>;
    }
  }
}

interface Terms {
  id: string;
  quotas: { topology?: string; class_type?: number; max_bandwidth_bps?: number; max_bandwidth_hops_bps?: number; max_allocations?: number }[];
  max_requests_per_s?: number;
  weight: number;
  aggregators?: string[];
}

/** What a tenant is entitled to, in a sentence. */
function entitlement(one: Terms): string {
  const quotas = one.quotas.map((quota) => {
    const most = [
      quota.max_bandwidth_bps === undefined ? "" : rate(quota.max_bandwidth_bps),
      quota.max_bandwidth_hops_bps === undefined ? "" : `${rate(quota.max_bandwidth_hops_bps)} over all links`,
      quota.max_allocations === undefined ? "" : count(quota.max_allocations, "allocation"),
    ].filter((text) => text);
    const of = quota.class_type === undefined ? "" : ` of ${className(quota.class_type)}`;
    return `at most ${most.join(" and ")}${of}${quota.topology === undefined ? "" : ` in ${quota.topology}`}`;
  });
  const aggregators = one.aggregators?.length ? [count(one.aggregators.length, "aggregator")] : [];
  const requests = one.max_requests_per_s === undefined ? [] : [`${count(one.max_requests_per_s, "request")} a second`];
  return [...(quotas.length ? quotas : ["no quotas"]), ...requests, `weight ${one.weight}`, ...aggregators].join(", ");
}

/** What people recognise it by, if they wrote anything on it. */
function called(one: Asked): string {
  const texts = [one.name, one.customer].filter((text) => text);
  return texts.length ? ` (${texts.join(", ")})` : "";
}

/** Why a request was denied, in a sentence. */
function reason(problem: { type: string; title: string; constraint?: string }): string {
  const slug = problem.type.replace("/problems/", "").replaceAll("-", "_");
  return REASONS[problem.constraint ?? slug] ?? `${problem.title}.`;
}
