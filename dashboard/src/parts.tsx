// The small parts that views are made of.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { get, Refused, type Allocation, type AllocationState, type Effects, type Victim } from "./api";
import { byName, cityOf, touched } from "./live";
import { href } from "./route";
import { Table, type Column } from "./table";
import { UNDO_MS } from "./undo";
import { className, count, percent, rate, step, STEP_WORDS } from "./units";

export function Empty(props: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{props.title}</h2>
      {props.children}
    </div>
  );
}

/** What went wrong, in the server's words, and what to do about it. */
export function Failure(props: { error: unknown; again?: () => void }) {
  const { error } = props;
  const refused = error instanceof Refused ? error : null;
  const known = refused?.slug && refused.slug !== "about:blank";
  return (
    <div class="failure" role="alert">
      <strong>{refused?.problem.title ?? "That did not work"}.</strong> {error instanceof Error ? error.message : String(error)}{" "}
      {known ? <a href={`problems/${refused!.slug}`}>What to do</a> : null}
      {props.again ? <button onClick={props.again}>Try again</button> : null}
    </div>
  );
}

/** A share as a bar with its number: the number says what the colour says. */
export function Share(props: { ppm: number; label?: string }) {
  return (
    <span class="share" title={STEP_WORDS[step(props.ppm)]}>
      <svg viewBox="0 0 60 10" preserveAspectRatio="none" aria-hidden="true">
        <rect width="60" height="10" class="casing" />
        <rect width={Math.min(60, props.ppm * 60e-6)} height="10" class={`step${step(props.ppm)}`} />
      </svg>
      <span>{props.label ?? percent(props.ppm)}</span>
    </span>
  );
}

export function ClassMark(props: { classType: number; long?: boolean }) {
  return (
    <span class="class-mark">
      <svg viewBox="0 0 10 10" aria-hidden="true">
        <rect width="10" height="10" rx="2" class={`ct${props.classType}`} />
      </svg>
      {className(props.classType, props.long)}
    </span>
  );
}

const SIGNS: Record<string, string> = {
  held: "◔", scheduled: "◷", active: "●", installing: "◌", rerouting: "↻", degraded: "▲", released: "○", expired: "◴", preempted: "✕", devolved: "↩", failed: "!",
  denied: "⊘", fresh: "●", stale: "▲", lost: "✕", up: "●", down: "✕", maintenance: "⚒", rerouted: "↻", unprotected: "▲",
};

/** A state with a sign of its own, so that colour is not the only one. */
export function State(props: { of: AllocationState | string }) {
  return (
    <span class={`state is-${props.of}`}>
      <span aria-hidden="true">{SIGNS[props.of] ?? "·"}</span> {props.of}
    </span>
  );
}

/** A link by its id, and the cities it joins where the topology names them. */
export function LinkName(props: { name: string; /** Only the id: the cities are beside it already. */ short?: boolean }) {
  const cities = props.short ? null : citiesOf(props.name);
  return <><a href={href("link", props.name)}>{props.name}</a>{cities ? <span class="quiet"> {cities}</span> : null}</>;
}

/** "Ann Arbor → Salt Lake City". */
export function citiesOf(name: string): string | null {
  const link = byName.value.get(name);
  if (!link || !(cityOf(link.from) || cityOf(link.to))) return null;
  return `${cityOf(link.from) ?? link.from} → ${cityOf(link.to) ?? link.to}`;
}

/** The same as a text: "UT-MI~ (Ann Arbor → Salt Lake City)". */
export function linkText(name: string): string {
  const cities = citiesOf(name);
  return cities ? `${name} (${cities})` : name;
}

/** Links one after the other by the cities they pass, a new line of them where one does not begin where the last ended; by
 * their ids where the cities are not known. */
export function pathText(path: string[]): string {
  const hops = path.map((name) => byName.value.get(name));
  if (!hops.some((link) => link && (cityOf(link.from) || cityOf(link.to)))) return path.join(" → ");
  const city = (node: string | undefined) => (node ? (cityOf(node) ?? node) : "…");
  return hops.map((link, at) => `${at && link?.from === hops[at - 1]?.to ? "" : `${at ? "; " : ""}${city(link?.from)}`} → ${city(link?.to)}`).join("");
}

/** How long a path is, and what it passes between its ends. */
export function hopsText(path: string[]): string {
  const passed = path.slice(0, -1).map((name) => byName.value.get(name)?.to).map((node) => (node ? (cityOf(node) ?? node) : "…"));
  return `${count(path.length, "hop")}${passed.length ? ` by ${passed.join(", ")}` : ""}`;
}

export function NodeName(props: { of: string }) {
  const city = cityOf(props.of);
  return <>{props.of}{city ? <span class="quiet"> ({city})</span> : null}</>;
}

/** A path longer than this is folded. */
const PATH_SHOWN = 8;

export function PathText(props: { path: string[] }) {
  if (props.path.length > PATH_SHOWN)
    return (
      <details class="path">
        <summary>{count(props.path.length, "hop")}, by {linkText(props.path[0]!)} … {linkText(props.path.at(-1)!)}</summary>
        <Hops path={props.path} />
      </details>
    );
  return <Hops path={props.path} />;
}

/** The links of a path, with the cities between them where they are known. */
function Hops(props: { path: string[] }) {
  const hops = props.path.map((name) => ({ name, link: byName.value.get(name) }));
  const named = hops.some(({ link }) => link && (cityOf(link.from) || cityOf(link.to)));
  const city = (node: string | undefined) => (node ? (cityOf(node) ?? node) : "…");
  return (
    <span class="path">
      {hops.map(({ name, link }, at) => (
        <>
          {at || named ? (at ? " → " : `${city(link?.from)} → `) : ""}
          {named ? <>{city(link?.to)} (<LinkName name={name} short />)</> : <LinkName name={name} short />}
        </>
      ))}
    </span>
  );
}

/** What cannot move comes first. */
const OUTCOMES: Victim["outcome"][] = ["failed", "preempted", "devolved", "rerouted", "unprotected"];
/** These keep their reservation. */
const KEPT: Victim["outcome"][] = ["rerouted", "unprotected"];

/** How many allocations have each outcome: "2 allocations preempted, 1 allocation rerouted". */
export function outcomes(victims: Victim[], would = false): string {
  const counted = OUTCOMES.map((outcome) => ({ outcome, number: victims.filter((victim) => victim.outcome === outcome).length }));
  const words = (outcome: string) => (!would ? outcome : outcome === "failed" ? "would fail" : `would be ${outcome}`);
  return counted.filter((one) => one.number).map((one) => `${count(one.number, "allocation")} ${words(one.outcome)}`).join(", ");
}

/** What people recognise an allocation by. */
export const NAMED: Column<{ name?: string | null; customer?: string | null }>[] = [
  { title: "Name", cell: (one) => one.name, value: (one) => one.name ?? undefined },
  { title: "Customer", cell: (one) => one.customer, value: (one) => one.customer ?? undefined },
];

/** So many victims are looked up and listed; at first fewer, so that what follows from it is near. */
const VICTIMS_SHOWN = 100;
const VICTIMS_FOLDED = 5;

/** The allocations that left their paths, and what became of them; those first that lose their reservation. */
export function Victims(props: { effects: Partial<Effects>; would?: boolean }) {
  const victims = [...(props.effects.victims ?? [])].sort((one, two) => OUTCOMES.indexOf(one.outcome) - OUTCOMES.indexOf(two.outcome));
  const known = useAllocations(victims.slice(0, VICTIMS_SHOWN).map((victim) => victim.id));
  const losing = victims.filter((victim) => !KEPT.includes(victim.outcome));
  useEffect(() => {
    touched.value = new Set(losing.flatMap((victim) => known.get(victim.id)?.path ?? []));
    return () => void (touched.value = new Set());
  }, [known]);
  if (!victims.length) return <p class="quiet">No other allocation {props.would ? "would be" : "was"} touched.</p>;
  const lost = losing.reduce((sum, victim) => sum + (known.get(victim.id)?.bandwidth_bps ?? 0), 0);
  const all = losing.every((victim) => known.has(victim.id));
  return (
    <>
      <p>
        {outcomes(victims, props.would)}.
        {lost ? <> {all ? "Together" : `The first ${VICTIMS_SHOWN} together`} {props.would ? "they would lose" : "they lost"} <strong>{rate(lost)}</strong>.</> : null}
      </p>
      <Table
        name="victims" label="Allocations that are touched" rows={victims} most={VICTIMS_SHOWN} fold={VICTIMS_FOLDED} whole id={(victim) => victim.id} links={(victim) => known.get(victim.id)?.path ?? []}
        columns={[
          { title: "Allocation", cell: (victim) => <a href={href("allocations", victim.id)}>{victim.id}</a>, value: (victim) => Number(victim.id) },
          ...(victims.some((victim) => victim.name || victim.customer) ? NAMED : []),
          { title: "Demand", cell: (victim) => demand(known.get(victim.id)), value: (victim) => endsOf(known.get(victim.id)) },
          { title: "Bandwidth", number: true, cell: (victim) => bandwidth(known.get(victim.id)), value: (victim) => known.get(victim.id)?.bandwidth_bps },
          { title: "Becomes", cell: (victim) => <State of={victim.outcome} />, value: (victim) => victim.outcome },
          { title: "Why", class: "why", cell: (victim) => CAUSES[victim.cause], value: (victim) => victim.cause },
          ...(victims.some((victim) => victim.path)
            ? [{ title: "New path", cell: (victim: Victim) => (victim.path ? <PathText path={victim.path} /> : "—"), value: (victim: Victim) => victim.path?.join(" ") }] : []),
        ]}
      />
    </>
  );
}

/** The allocations that a drain leaves where they are. */
export function Stranded(props: { ids: string[] }) {
  const known = useAllocations(props.ids.slice(0, VICTIMS_SHOWN));
  const sum = [...known.values()].reduce((total, one) => total + one.bandwidth_bps, 0);
  return (
    <>
      <p class="bad"><strong>{count(props.ids.length, "allocation")} could not move</strong> and would stay{props.ids.length > VICTIMS_SHOWN ? `, the first ${VICTIMS_SHOWN} with` : ":"} {rate(sum)}.</p>
      <Table
        name="stranded" label="Allocations that could not move" rows={props.ids} most={VICTIMS_SHOWN} fold={VICTIMS_FOLDED} whole id={(id) => id} links={(id) => known.get(id)?.path ?? []}
        columns={[
          { title: "Allocation", cell: (id) => <a href={href("allocations", id)}>{id}</a>, value: (id) => Number(id) },
          ...(props.ids.some((id) => known.get(id)?.name || known.get(id)?.customer)
            ? NAMED.map((column) => ({ title: column.title, cell: (id: string) => known.get(id) && column.cell(known.get(id)!), value: (id: string) => known.get(id) && column.value!(known.get(id)!) })) : []),
          { title: "Demand", cell: (id) => demand(known.get(id)), value: (id) => endsOf(known.get(id)) },
          { title: "Bandwidth", number: true, cell: (id) => bandwidth(known.get(id)), value: (id) => known.get(id)?.bandwidth_bps },
        ]}
      />
    </>
  );
}

function demand(one: Allocation | undefined) {
  return one ? <><NodeName of={one.ingress} /> → <NodeName of={one.egress} />, <ClassMark classType={one.class_type} /></> : "—";
}

function endsOf(one: Allocation | undefined): string | undefined {
  return one && `${one.ingress} → ${one.egress}`;
}

function bandwidth(one: Allocation | undefined): string {
  return one ? rate(one.bandwidth_bps) : "—";
}

/** What is known of allocations that are named by id only. */
function useAllocations(ids: string[]): Map<string, Allocation> {
  const [known, setKnown] = useState(new Map<string, Allocation>());
  useEffect(() => {
    let current = true;
    const read = ids.map((id) => get<Allocation>(`/v1/allocations/${encodeURIComponent(id)}`).then((one) => [[id, one] as const], () => []));
    void Promise.all(read).then((found) => current && setKnown(new Map(found.flat())));
    return () => void (current = false);
  }, [ids.join()]);
  return known;
}

export const CAUSES: Record<string, string> = {
  preempted: "a higher class or better priority needs it",
  devolved: "a lower class takes back what it lent",
  link: "its link broke, is drained, shrank or is gone",
};

/** So many of the links that bind are named. */
const BINDING_SHOWN = 5;

/** Why a request was denied, with the links that bind. */
export function Denial(props: { problem: Record<string, unknown> }) {
  const { problem } = props;
  const binding = (problem.binding_links ?? problem.binding ?? []) as { link: string; available_bps: number }[];
  const largest = problem.largest_admissible_bps as number | undefined;
  return (
    <>
      {binding.length ? null : problem.detail ? <p>{String(problem.detail)}</p> : <p>{REASONS[String(problem.reason)] ?? String(problem.reason ?? "")}</p>}
      {binding.length ? (
        <p>
          {binding.length === 1 ? "The link that binds: " : "The links that bind: "}
          {binding.slice(0, BINDING_SHOWN).map((one, at) => (
            <>
              {at ? ", " : ""}
              <LinkName name={one.link} /> ({rate(one.available_bps)} left)
            </>
          ))}
          {binding.length > BINDING_SHOWN ? `, and ${binding.length - BINDING_SHOWN} more` : ""}.
        </p>
      ) : null}
      {largest !== undefined ? <p>At most <strong>{rate(largest)}</strong> would be admitted.</p> : null}
    </>
  );
}

export const REASONS: Record<string, string> = {
  insufficient_bandwidth: "No path has the bandwidth.",
  disconnected: "No links lead there.",
  links_down: "Every way has a link that is down or in maintenance.",
  excluded: "What is excluded cuts it off.",
  admin_group: "The administrative groups cut it off.",
  route: "The route cannot be met.",
  max_hops: "It takes more links.",
  max_delay: "It takes longer.",
  search_limit: "The search was given up.",
  too_congested: "The path costs more than the policy pays.",
};

/** What was done, said to eyes and to screen readers alike. */
export const said = signal<{ text: string; bad: boolean; undo?: () => void } | null>(null);
let saidTimer: number | undefined;

/** What can be undone is said for as long as it can. */
export function say(text: string, bad = false, undo?: () => void): void {
  said.value = { text, bad, undo };
  window.clearTimeout(saidTimer);
  saidTimer = window.setTimeout(() => (said.value = null), undo ? UNDO_MS : 8_000);
}

/** A question that has to be answered first. The element is the browser's own: it keeps the focus and closes on Escape. */
export function Ask(props: { title: string; children: ComponentChildren; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={props.close} aria-label={props.title}>
      <h2>{props.title}</h2>
      {props.children}
    </dialog>
  );
}
