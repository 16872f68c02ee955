// The small parts that views are made of.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { signal } from "@preact/signals";
import { Refused, type Allocation, type AllocationState, type Effects, type Victim } from "./api";
import { href } from "./route";
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
      {known ? <a href={`/problems/${refused!.slug}`}>What to do</a> : null}
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
  active: "●", installing: "◌", rerouting: "↻", degraded: "▲", released: "○", expired: "◷", preempted: "✕", devolved: "↩", failed: "!",
  denied: "⊘", fresh: "●", stale: "▲", lost: "✕", up: "●", down: "✕", maintenance: "⚒", rerouted: "↻",
};

/** A state with a sign of its own, so that colour is not the only one. */
export function State(props: { of: AllocationState | string }) {
  return (
    <span class={`state is-${props.of}`}>
      <span aria-hidden="true">{SIGNS[props.of] ?? "·"}</span> {props.of}
    </span>
  );
}

export function LinkName(props: { name: string }) {
  return <a href={href("link", props.name)}>{props.name}</a>;
}

/** A path longer than this is folded. */
const PATH_SHOWN = 8;

export function PathText(props: { path: string[] }) {
  if (props.path.length > PATH_SHOWN)
    return (
      <details class="path">
        <summary>{count(props.path.length, "hop")}, by {props.path[0]} … {props.path.at(-1)}</summary>
        <Hops path={props.path} />
      </details>
    );
  return <Hops path={props.path} />;
}

function Hops(props: { path: string[] }) {
  return (
    <span class="path">
      {props.path.map((link, at) => (
        <>
          {at ? " → " : ""}
          <LinkName name={link} />
        </>
      ))}
    </span>
  );
}

const OUTCOMES: Victim["outcome"][] = ["preempted", "devolved", "failed", "rerouted"];

/** How many allocations have each outcome: "2 allocations preempted, 1 allocation rerouted". */
export function outcomes(victims: Victim[], would = false): string {
  const counted = OUTCOMES.map((outcome) => ({ outcome, number: victims.filter((victim) => victim.outcome === outcome).length }));
  const words = (outcome: string) => (!would ? outcome : outcome === "failed" ? "would fail" : `would be ${outcome}`);
  return counted.filter((one) => one.number).map((one) => `${count(one.number, "allocation")} ${words(one.outcome)}`).join(", ");
}

/** The allocations that left their paths, and what became of them. */
export function Victims(props: { effects: Partial<Effects>; would?: boolean; /** Those among whom they may be. */ among?: Allocation[] }) {
  const victims = props.effects.victims ?? [];
  if (!victims.length) return <p class="quiet">No other allocation {props.would ? "would be" : "was"} touched.</p>;
  const moved = victims.some((victim) => victim.path);
  const named = victims.some((victim) => victim.name || victim.customer);
  const known = new Map((props.among ?? []).map((one) => [one.id, one]));
  return (
    <>
      <p>{outcomes(victims, props.would)}.</p>
      <table>
        <thead>
          <tr><th>Allocation</th>{named ? <><th>Name</th><th>Customer</th></> : null}{known.size ? <th>Demand</th> : null}<th>Becomes</th><th>Why</th>{moved ? <th>New path</th> : null}</tr>
        </thead>
        <tbody>
          {victims.slice(0, 100).map((victim) => (
            <tr key={victim.id}>
              <td><a href={href("allocations", victim.id)}>{victim.id}</a></td>
              {named ? <><td>{victim.name}</td><td>{victim.customer}</td></> : null}
              {known.size ? <td>{who(known.get(victim.id))}</td> : null}
              <td><State of={victim.outcome} /></td>
              <td class="why">{CAUSES[victim.cause]}</td>
              {moved ? <td>{victim.path ? <PathText path={victim.path} /> : "—"}</td> : null}
            </tr>
          ))}
        </tbody>
      </table>
      {victims.length > 100 ? <p class="quiet">And {victims.length - 100} more.</p> : null}
    </>
  );
}

function who(one: Allocation | undefined) {
  return one ? <>{one.ingress} → {one.egress}, <ClassMark classType={one.class_type} />, {rate(one.bandwidth_bps)}</> : "—";
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
export const said = signal<{ text: string; bad: boolean } | null>(null);
let saidTimer: number | undefined;

export function say(text: string, bad = false): void {
  said.value = { text, bad };
  window.clearTimeout(saidTimer);
  saidTimer = window.setTimeout(() => (said.value = null), 8_000);
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
