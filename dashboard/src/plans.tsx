// Plans: moves that make the network better by an objective, looked at before they are applied, at once or step by step; and
// what failures would take with them. Neither changes anything by being asked for.
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { ask, ofTopology, Refused, type Affected, type AllocationRequest, type Applied, type FailureSet, type Growth, type Link, type Objective, type Plan, type Scenario, type Study, type Subject } from "./api";
import { MiniMap } from "./canvas";
import { busiest, happenings, layout, model, pin, topology } from "./live";
import { Ask, Empty, Failure, LinkName, NAMED, NodeName, PathText, say, Share } from "./parts";
import { href, param, route } from "./route";
import { may } from "./session";
import { Table } from "./table";
import { className, count, parseRate, percent, rate } from "./units";

/** So many rows of a table are shown, and so many names in a cell. */
const SHOWN = 100;
const FAILURES_SHOWN = 50;
const NAMES_SHOWN = 3;
/** So many allocations one answer names, and each list of it at most. */
const NAMES_IN_ALL = 10_000;
const NAMES_EACH = 100;
const MOVES_MAX = 1_000;
const GROWTH_MAX_PERCENT = 10_000;

export function Plans() {
  if (!may("operate")) return <Empty title="Plans are for engineers"><p>Your role neither plans nor applies moves.</p></Empty>;
  if (!topology.value || layout.value?.topology !== topology.value) return <Empty title="Loading the topology …" />;
  const isStudy = route.value.of === "failures";
  const choice = (of: string, text: string) => <a href={href("plans", of)} aria-current={(of === "failures") === isStudy ? "page" : undefined}>{text}</a>;
  return (
    <div key={`${topology.value}${isStudy}`}>
      <nav class="tabs" aria-label="Plans">{choice("moves", "Moves")}{choice("failures", "Failures")}</nav>
      {isStudy ? <Failures topology={topology.value} /> : <Moves topology={topology.value} />}
    </div>
  );
}

/** What is asked of the server, and what came of it: the last answer stays until the next is there. */
function useAsking<T>(): { value: T | null; error: unknown; busy: boolean; run: (work: () => Promise<T>) => Promise<void>; clear: () => void } {
  const [state, setState] = useState<{ value: T | null; error: unknown; busy: boolean }>({ value: null, error: null, busy: false });
  const run = async (work: () => Promise<T>) => {
    setState({ value: null, error: null, busy: true });
    try {
      setState({ value: await work(), error: null, busy: false });
    } catch (error) {
      setState({ value: null, error, busy: false });
    }
  };
  return { ...state, run, clear: () => setState({ value: null, error: null, busy: false }) };
}

/** What a plan may be for. */
const OBJECTIVES: Record<Objective, { choice: string; title: string; subject: string; better: string; beyond: string; short: string }> = {
  max_utilisation: { choice: "the fullest link", title: "Moves that empty the fullest link", subject: "The fullest link", better: "make the fullest link emptier", beyond: "below", short: "Fullest link" },
  total_cost: { choice: "the total cost", title: "Moves to cheaper paths", subject: "The total cost", better: "make the total cost less", beyond: "below", short: "Cost" },
  max_min: { choice: "the least free bandwidth", title: "Moves that leave the most free everywhere", subject: "The least free bandwidth of a link", better: "leave more bandwidth free", beyond: "above", short: "Least free" },
  admit_all: { choice: "what is admitted of requests", title: "Moves that make room for requests", subject: "What is admitted of the requests", better: "admit more of the requests", beyond: "above", short: "Admitted" },
};

function isOffered(name: string): name is keyof typeof OBJECTIVES {
  return name in OBJECTIVES;
}

/** So many requests a plan may have. */
const REQUESTS_MAX = 100;
const EXAMPLE = "from, to, 500M, 2";

/** The requests in a text, one a line: from, to, bandwidth, class type. What is wrong with it, else. */
function requestsIn(text: string): AllocationRequest[] | string {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  if (!lines.length || lines.length > REQUESTS_MAX) return `Write 1 to ${REQUESTS_MAX} requests, one a line.`;
  const nodes = new Set((layout.value?.layout.nodes ?? []).map((node) => node.node));
  const classes = new Set((model.value?.model.classes ?? []).map((one) => one.class_type));
  const read: AllocationRequest[] = [];
  for (const [at, line] of lines.entries()) {
    const [ingress = "", egress = "", bandwidth = "", classText = "0"] = line.split(",").map((part) => part.trim());
    const bps = parseRate(bandwidth);
    const class_type = Number(classText.replace(/^CT/i, ""));
    const wrong = !nodes.has(ingress) ? `there is no node ${ingress || "at its beginning"}` : !nodes.has(egress) ? `there is no node ${egress || "at its end"}` : ingress === egress ? "from and to are the same node"
      : bps === null ? "write an amount such as 500M, 2.5G or 1000000" : !classes.has(class_type) ? `there is no class type ${classText}` : "";
    if (wrong) return `Line ${at + 1}: ${wrong}.`;
    read.push({ ingress, egress, bandwidth_bps: bps!, class_type });
  }
  return read;
}

/** What was denied lately, as lines; the newest last, each once. */
function deniedLately(of: string): string[] {
  const demands = happenings.value.filter((one) => one.kind === "allocation_denied").map((one) => one.data.demand as { topology: string; ingress: string; egress: string; bandwidth_bps: number; class_type: number });
  const lines = demands.filter((one) => one.topology === of).map((one) => `${one.ingress}, ${one.egress}, ${one.bandwidth_bps}, ${one.class_type}`);
  return [...new Set(lines)].slice(-REQUESTS_MAX);
}

function Wanted(props: { topology: string; text: string; set: (text: string) => void; wrong: string | null }) {
  const denied = deniedLately(props.topology);
  return (
    <>
      <label class="wide">Requests, one a line: from, to, bandwidth, class type ({(model.value?.model.classes ?? []).map((one) => className(one.class_type, true)).join(", ")})
        <textarea rows={5} placeholder={EXAMPLE} value={props.text} aria-invalid={props.wrong !== null} onInput={(event) => props.set(event.currentTarget.value)} />
      </label>
      {denied.length ? <p><button type="button" onClick={() => props.set(denied.join("\n"))}>Fill in what was denied lately ({denied.length})</button></p> : null}
      {props.wrong ? <p class={props.text.trim() ? "bad" : "quiet"}>{props.wrong}</p> : null}
    </>
  );
}

function Moves(props: { topology: string }) {
  const [text, setText] = param("max_moves", "20");
  const [name, setName] = param("objective", "max_utilisation");
  const objective = isOffered(name) ? name : "max_utilisation";
  const { value: plan, error, busy, run, clear } = useAsking<Plan>();
  const [at, setAt] = useState(0);
  useEffect(() => () => pin(), []);
  const [wanted, setWanted] = useState("");
  const requests = objective === "admit_all" ? requestsIn(wanted) : undefined;
  const wrong = typeof requests === "string" ? requests : null;
  const most = Number(text);
  const isGood = Number.isInteger(most) && most >= 1 && most <= MOVES_MAX;
  const look = () => run(async () => {
    setAt(0);
    pin();
    return (await ask<Plan>("POST", ofTopology(props.topology, "/optimizations"), { objective, max_moves: most, ...(requests ? { requests } : {}) })).body;
  });
  // What the map shows is between before and after, as the slider is.
  const shown = useMemo(() => plan && between(plan, at), [plan, at, busiest.value]);
  return (
    <div class="with-map">
      <div>
        <h1>{OBJECTIVES[objective].title}</h1>
        <form class="inline" onSubmit={(event) => (event.preventDefault(), void look())}>
          <label>Better <select value={objective} onChange={(event) => (setName(event.currentTarget.value), clear())}>
            {Object.entries(OBJECTIVES).map(([one, { choice }]) => <option value={one}>{choice}</option>)}
          </select></label>
          <label>Most moves <input type="number" min="1" max={MOVES_MAX} value={text} aria-invalid={!isGood} onInput={(event) => setText(event.currentTarget.value)} /></label>
          <button class="primary" disabled={busy || !isGood || wrong !== null}>Plan</button>
        </form>
        {isGood ? null : <p class="bad">Write a whole number from 1 to {MOVES_MAX.toLocaleString("en")}.</p>}
        {requests ? <Wanted topology={props.topology} text={wanted} set={(text) => (setWanted(text), clear())} wrong={wrong} /> : null}
        {error ? <Failure error={error} again={look} /> : null}
        <div aria-live="polite">
          {busy ? <p class="quiet">Searching for moves …</p> : plan ? <Told plan={plan} /> : error ? null : <p class="quiet">Allocations move one after the other, make-before-break, and none is lost. Nothing moves before you apply the plan.</p>}
        </div>
        {plan?.moves.length ? <Planned key={plan.id} topology={props.topology} plan={plan} at={at} setAt={setAt} again={look} /> : null}
      </div>
      <MiniMap links={shown ?? undefined} told={plan?.moves.length ? `${at === 0 ? "Before" : at === 100 ? "After" : `${at} % of the way`}. Lit is what you point at, or every link of the moves.` : "Plan, and see it here."} />
    </div>
  );
}

function wordsOf(plan: Plan): (typeof OBJECTIVES)[keyof typeof OBJECTIVES] {
  return isOffered(plan.objective) ? OBJECTIVES[plan.objective] : OBJECTIVES.max_utilisation;
}

/** A value of the objective, in its unit. */
function valued(plan: Plan, value: number): string {
  const { unit } = plan.value;
  return unit === "ppm" ? percent(value) : unit === "bps" ? rate(value) : `${rate(value)} × metric`;
}

function Told(props: { plan: Plan }) {
  const { plan } = props;
  const { before, after, bound, bound_from, reached_ppm, unit } = plan.value;
  const { subject, better, beyond } = wordsOf(plan);
  // A bound from below is rounded down.
  const limit = unit === "ppm" ? `${Math.floor(bound / 1_000) / 10} %` : valued(plan, bound);
  return (
    <div class="verdict">
      {plan.moves.length ? (
        <p><strong>{subject} would go from {valued(plan, before)} to {valued(plan, after)}</strong> by {steps(plan.moves)}.</p>
      ) : plan.objective === "admit_all" ? <p><strong>None of the requests could be admitted</strong>, not even after moves.</p> : <p><strong>No move would {better}</strong> than {valued(plan, before)}.</p>}
      <p>No routing of this traffic could go {beyond} {limit}, not even one that split it over many paths and kept to no constraint. The plan reaches {Math.floor(reached_ppm / 1_000) / 10} % of that{bound_from === "shortest_paths" ? ", which takes links to have any capacity" : ""}.</p>
      {plan.cut_short ? <p class="quiet">The search ended for want of time: further moves may help.</p> : null}
    </div>
  );
}

type Step = Plan["moves"][number];

/** "2 moves and 1 admission". */
function steps(of: Step[]): string {
  const admissions = of.filter(isAdmission).length;
  const moves = of.length - admissions;
  return [moves || !admissions ? count(moves, "move") : "", admissions ? count(admissions, "admission") : ""].filter(Boolean).join(" and ");
}

function isAdmission(one: Step): boolean {
  return one.request !== undefined;
}

/** What was done by so many steps: "2 allocations moved". */
function made(of: Step[]): string {
  const admissions = of.filter(isAdmission).length;
  return [of.length - admissions || !admissions ? `${count(of.length - admissions, "allocation")} moved` : "", admissions ? `${count(admissions, "request")} admitted` : ""].filter(Boolean).join(", ");
}

/** The links' loads on the way from before to after. */
function between(plan: Plan, at: number): Link[] {
  const changed = new Map(plan.links.map((one) => [one.link, one.before_ppm + ((one.after_ppm - one.before_ppm) * at) / 100]));
  return busiest.value.map((link) => ({ ...link, utilisation_ppm: Math.round(changed.get(link.link) ?? link.utilisation_ppm) })).sort((one, two) => two.utilisation_ppm - one.utilisation_ppm);
}

function Planned(props: { topology: string; plan: Plan; at: number; setAt: (at: number) => void; again: () => void }) {
  const { plan, at } = props;
  const [asked, setAsked] = useState(false);
  const [isLit, setLit] = useState(false);
  const applying = useAsking<Applied>();
  const moves = plan.moves.map((one, place) => ({ ...one, id: one.id ?? "", place: place + 1 }));
  const bandwidth = rate(plan.moves.reduce((sum, one) => sum + one.bandwidth_bps, 0));
  // Busiest before or after: who wins by the plan, and who pays for it.
  const rows = [...plan.links].sort((one, two) => Math.max(two.before_ppm, two.after_ppm) - Math.max(one.before_ppm, one.after_ppm));
  const [done, setDone] = useState(plan.moves_done);
  const left = moves.slice(done);
  const [next] = left;
  const { subject, short } = wordsOf(plan);
  /** All that is left at once, or the next step alone. */
  const apply = (through?: number) => applying.run(async () => {
    try {
      const { body } = await ask<Applied>("POST", ofTopology(props.topology, `/optimizations/${encodeURIComponent(plan.id)}/apply`), through ? { through } : undefined);
      setDone(body.moves_done);
      if (body.conflict) throw new Refused(body.conflict.status, body.conflict);
      props.setAt(Math.round((100 * body.moves_done) / moves.length));
      const now = made(moves.slice(done, body.moves_done));
      say(body.moves_done < moves.length ? `${now}.` : `${now}: ${subject.toLowerCase()} goes from ${valued(plan, plan.value.before)} to ${valued(plan, plan.value.after)}.`);
      return body;
    } finally {
      setAsked(false);
    }
  });
  const failed = applying.error instanceof Refused ? moves[Number(applying.error.problem.request)] : undefined;
  return (
    <>
      <div class="buttons stays">
        {next ? (
          <>
            {done ? <strong>● {done} of {count(moves.length, plan.objective === "admit_all" ? "step" : "move")} made.</strong> : null}
            <button class="primary" disabled={applying.busy} onClick={() => setAsked(true)}>{done ? "Apply the rest …" : "Apply …"}</button>
            <button disabled={applying.busy} title={isAdmission(next) ? `Admit ${called(next)}` : `Move allocation ${called(next)}`} onClick={() => apply(done + 1)}>Apply next step</button>
          </>
        ) : <strong>● Applied: {made(moves)}.</strong>}
        <button aria-pressed={isLit} onClick={() => (pin(isLit ? [] : plan.moves.flatMap((one) => [...one.from, ...one.to])), setLit(!isLit))}>Light the moves on the map</button>
        <label class="slide">
          Before <input type="range" aria-label="From before to after" min="0" max="100" value={at} aria-valuetext={`${at} % of the way from before to after`} onInput={(event) => props.setAt(Number(event.currentTarget.value))} /> After
        </label>
      </div>
      {applying.error ? (
        <>
          <Failure error={applying.error} again={props.again} />
          <p>{failed ? `${isAdmission(failed) ? `Step ${failed.place}, ` : `Move ${failed.place}, allocation `}${called(failed)}, cannot be made any more. ` : ""}{done ? `${count(done, "move")} had been made before.` : "Nothing was moved."} Trying again makes a new plan.</p>
        </>
      ) : null}
      <h2>{plan.objective === "admit_all" ? "The steps, in their order" : "The moves, in their order"}</h2>
      <Table
        name="moves" label="Moves" rows={moves} whole most={SHOWN} id={(one) => String(one.place)} links={(one) => [...one.from, ...one.to]} total={`${steps(plan.moves)}, ${bandwidth}.`}
        columns={[
          { title: plan.objective === "admit_all" ? "Step" : "Move", number: true, cell: (one) => (one.place > done ? one.place : <>● {one.place}</>), value: (one) => one.place },
          { title: "Allocation", cell: (one) => (one.id ? <a href={href("allocations", one.id)}>{one.id}</a> : called(one)), value: (one) => Number(one.id || one.request) },
          ...(moves.some((one) => one.name || one.customer) ? NAMED : []),
          { title: "Bandwidth", number: true, cell: (one) => rate(one.bandwidth_bps), value: (one) => one.bandwidth_bps },
          { title: "Path now", cell: (one) => (one.from.length ? <PathText path={one.from} /> : "—"), value: (one) => one.from.join(" ") },
          { title: "Path then", cell: (one) => <PathText path={one.to} />, value: (one) => one.to.join(" ") },
          ...(plan.objective === "max_utilisation" ? [] : [{ title: `${short} then`, number: true, cell: (one: (typeof moves)[number]) => valued(plan, one.value), value: (one: (typeof moves)[number]) => one.value }]),
          { title: "Fullest link then", number: true, cell: (one) => percent(one.max_ppm), value: (one) => one.max_ppm },
        ]}
      />
      <h2>The links that change, busiest first</h2>
      <Table
        name="planned-links" label="Links before and after" rows={rows} whole most={SHOWN} id={(one) => one.link} links={(one) => [one.link]}
        total={plan.links_left_out ? `${count(plan.links_left_out, "further link")} would change.` : `${count(rows.length, "link")} would change.`}
        columns={[
          { title: "Link", cell: (one) => <LinkName name={one.link} />, value: (one) => one.link },
          { title: "By the slider", cell: (one) => <Share ppm={Math.round(one.before_ppm + ((one.after_ppm - one.before_ppm) * at) / 100)} /> },
          { title: "Before", number: true, cell: (one) => percent(one.before_ppm), value: (one) => one.before_ppm },
          { title: "After", number: true, cell: (one) => percent(one.after_ppm), value: (one) => one.after_ppm },
        ]}
      />
      {asked ? (
        <Ask title={left.some(isAdmission) ? `Make ${steps(left)} in ${props.topology}?` : `Move ${count(left.length, "allocation")} in ${props.topology}?`} close={() => setAsked(false)}>
          <p><strong>{rate(left.reduce((sum, one) => sum + one.bandwidth_bps, 0))}</strong> would {left.some(isAdmission) ? "move or be admitted" : "move"}, make-before-break, in the order of the plan. Each step is decided again; if one cannot be made any more, none is.</p>
          <ol class="feed tall" tabIndex={0}>{left.slice(0, SHOWN).map((one) => <li>{called(one)}, {rate(one.bandwidth_bps)}</li>)}</ol>
          <div class="buttons"><button class="primary" disabled={applying.busy} onClick={() => apply()}>{left.some(isAdmission) ? "Make" : "Move"} {left.length === 1 ? "it" : "them"}</button> <button onClick={() => setAsked(false)}>Leave {left.length === 1 ? "it" : "them"}</button></div>
        </Ask>
      ) : null}
    </>
  );
}

/** "12 (ACME east, ACME)". */
function called(one: { id: string; request?: number; name?: string; customer?: string }): string {
  if (!one.id && one.request !== undefined) return `request ${one.request + 1}`;
  const texts = [one.name, one.customer].filter((text) => text);
  return texts.length ? `${one.id} (${texts.join(", ")})` : one.id;
}

const SETS: Record<FailureSet, { each: string; one: string }> = {
  links: { each: "each link", one: "failure of a link" },
  nodes: { each: "each node", one: "failure of a node" },
  srlgs: { each: "each shared-risk link group", one: "failure of a shared-risk link group" },
  pairs: { each: "each two links", one: "failure of two links" },
};
const STOPS: Record<string, string> = { scenarios: "there are too many failures", work: "there was too much to decide", time: "there was no time left" };

function Failures(props: { topology: string }) {
  const [set, setSet] = param("scenarios", "links");
  const [text, setText] = param("growth", "0");
  const scenarios = (set in SETS ? set : "links") as FailureSet;
  const growth = Number(text);
  const isGood = text.trim() !== "" && growth >= 0 && growth <= GROWTH_MAX_PERCENT;
  const { value, error, busy, run, clear } = useAsking<{ of: FailureSet; growth: number; study: Study }>();
  const look = () => run(async () => {
    const body = { scenarios, growth_ppm: [Math.round(growth * 10_000)], listed_max: namesOf(scenarios) };
    return { of: scenarios, growth, study: (await ask<Study>("POST", ofTopology(props.topology, "/failure-studies"), body)).body };
  });
  const found = value?.study.growths[0];
  useEffect(() => () => pin(), []);
  return (
    <div class="with-map">
      <div>
        <h1>What failures would take with them</h1>
        <form class="inline" onSubmit={(event) => (event.preventDefault(), void look())}>
          <label>Fails <select value={scenarios} onChange={(event) => (setSet(event.currentTarget.value), clear())}>
            {Object.entries(SETS).map(([name, { each }]) => <option value={name}>{each}</option>)}
          </select></label>
          <label>when traffic has grown by <input type="number" min="0" max={GROWTH_MAX_PERCENT} value={text} aria-invalid={!isGood} onInput={(event) => (setText(event.currentTarget.value), clear())} /> %</label>
          <button class="primary" disabled={busy || !isGood}>Study</button>
        </form>
        {isGood ? null : <p class="bad">Write a number from 0 to {GROWTH_MAX_PERCENT.toLocaleString("en")}.</p>}
        {error ? <Failure error={error} again={look} /> : null}
        <div aria-live="polite">
          {busy ? <p class="quiet">Studying …</p> : value ? <Summary of={value.of} growth={value.growth} study={value.study} /> : error ? null : <p class="quiet">Each failure is decided by itself on a copy of the network: who would be rerouted, and who lost. Nothing is changed.</p>}
        </div>
        {found ? <Worst key={value.of} of={value.of} growth={found} /> : null}
      </div>
      <MiniMap told="Point at a failure to see its links." />
    </div>
  );
}

/** How many allocations each list may name, so that the names of an answer do for all its failures: each has two lists. */
function namesOf(set: FailureSet): number {
  const ways = new Map<string, number>();
  for (const { from, to } of busiest.value) ways.set(`${from}\n${to}`, (ways.get(`${from}\n${to}`) ?? 0) + 1);
  // A fibre is a link and its other direction, if it has one.
  const fibres = [...ways].reduce((sum, [way, number]) => sum + Math.max(0, number - (way < turned(way) ? 0 : (ways.get(turned(way)) ?? 0))), 0);
  const failures = set === "pairs" ? (fibres * (fibres - 1)) / 2 : set === "nodes" ? layout.value!.layout.nodes.length : fibres;
  return Math.max(1, Math.min(NAMES_EACH, Math.floor(NAMES_IN_ALL / (2 * Math.max(1, failures)))));
}

function turned(way: string): string {
  return way.split("\n").reverse().join("\n");
}

function Summary(props: { of: FailureSet; growth: number; study: Study }) {
  const { study } = props;
  const found = study.growths[0];
  const losing = found?.scenarios.filter((one) => one.lost.count) ?? [];
  const unserved = found?.unserved;
  const isBad = losing.length > 0 || Boolean(unserved?.count);
  return (
    <div class={`verdict ${isBad ? "is-no" : found?.scenarios.length && !study.scenarios_left_out ? "is-yes" : ""}`}>
      {!study.scenario_count ? <p><strong>There is nothing of that kind that could fail.</strong></p> : null}
      {found?.scenarios.length ? (
        <p><strong>{losing.length ? `${count(losing.length, SETS[props.of].one, SETS[props.of].one.replace("failure", "failures"))} would lose allocations` : "No allocation would be lost"}</strong>, of {found.scenarios.length.toLocaleString("en")} studied.{losing.length && losing.every((one) => one.lost_with_node === one.lost.count) ? " All that would be lost begin or end at the node that fails." : ""}</p>
      ) : null}
      {unserved?.count ? <p>{count(unserved.count, "allocation")} of {rate(unserved.bandwidth_bps)} could not grow by {props.growth} %, before anything fails: <Names of={unserved} /></p> : null}
      {study.scenarios_left_out ? <p class="bad">{count(study.scenarios_left_out, "failure")} not studied: {STOPS[study.stopped_by ?? ""] ?? "the study ended"}.</p> : null}
    </div>
  );
}

function Worst(props: { of: FailureSet; growth: Growth }) {
  const { scenarios, links, links_left_out } = props.growth;
  const worst = useMemo(() => [...scenarios].sort((one, two) => two.lost.bandwidth_bps - one.lost.bandwidth_bps || two.lost.count - one.lost.count || two.rerouted.bandwidth_bps - one.rerouted.bandwidth_bps), [scenarios]);
  if (!scenarios.length) return null;
  return (
    <>
      <h2>The failures, worst first</h2>
      <Table
        name="failures" label="Failures" rows={worst} whole most={FAILURES_SHOWN} id={(one) => textOf(one)} links={(one) => one.links} total={`${count(scenarios.length, "failure")}.${scenarios.some((one) => unnamedOf(one.lost)) ? " One answer names so many allocations only: with fewer failures it names more." : ""}`}
        columns={[
          { title: "Fails", cell: (one) => <What of={one} />, value: textOf },
          { title: "Lost", number: true, cell: (one) => one.lost.count, value: (one) => one.lost.count },
          ...(props.of === "nodes" ? [{ title: "Of them at the node", number: true, cell: (one: Scenario) => one.lost_with_node, value: (one: Scenario) => one.lost_with_node }] : []),
          { title: "Bandwidth lost", number: true, cell: (one) => (one.lost.count ? rate(one.lost.bandwidth_bps) : "—"), value: (one) => one.lost.bandwidth_bps },
          { title: "Who is lost", class: "why", cell: (one) => <Names of={one.lost} />, value: (one) => one.lost.allocations.map(called).join("; ") },
          { title: "Rerouted", number: true, cell: (one) => one.rerouted.count, value: (one) => one.rerouted.count },
          { title: "Kept", number: true, cell: (one) => one.kept, value: (one) => one.kept },
        ]}
      />
      <h2>Each link at its worst</h2>
      <Table
        name="worst" label="Each link's worst case" rows={links} whole most={SHOWN} id={(one) => one.link} links={(one) => [one.link, ...(one.cause?.links ?? [])]}
        total={links_left_out ? `${count(links_left_out, "further link")} not listed.` : `${count(links.length, "link")}.`}
        columns={[
          { title: "Link", cell: (one) => <LinkName name={one.link} />, value: (one) => one.link },
          { title: "Before", number: true, cell: (one) => percent(one.before_ppm), value: (one) => one.before_ppm },
          { title: "Worst", number: true, cell: (one) => <Share ppm={one.worst_ppm} />, value: (one) => one.worst_ppm },
          { title: "When this fails", cell: (one) => (one.cause ? <What of={one.cause} /> : <span class="quiet">no failure raises it</span>), value: (one) => one.cause && textOf(one.cause) },
        ]}
      />
    </>
  );
}

function textOf(of: Subject): string {
  return of.node ?? (of.srlg !== undefined ? `group ${of.srlg}` : of.links.join(" and "));
}

function What(props: { of: Subject }): ComponentChildren {
  const { links, node, srlg } = props.of;
  if (node !== undefined) return <NodeName of={node} />;
  const all = <>{links.map((one, at) => <>{at ? " and " : ""}<LinkName name={one} short={links.length > 2} /></>)}</>;
  return srlg === undefined ? all : <details><summary>group {srlg}, {count(links.length, "link")}</summary>{all}</details>;
}

function unnamedOf(of: Affected): number {
  return of.count - of.allocations.length;
}

/** The first by name; the others on demand; and how many the answer does not name. */
function Names(props: { of: Affected }): ComponentChildren {
  const { allocations } = props.of;
  const name = (one: Affected["allocations"][number], at: number) => <>{at ? "; " : ""}<a href={href("allocations", one.id)}>{one.id}</a>{called(one).slice(one.id.length)}, {rate(one.bandwidth_bps)}</>;
  const more = allocations.slice(NAMES_SHOWN);
  const unnamed = unnamedOf(props.of);
  return (
    <>
      {allocations.slice(0, NAMES_SHOWN).map(name)}
      {more.length ? <details><summary>{more.length} more</summary>{more.map(name)}</details> : null}
      {unnamed ? <span class="quiet">{allocations.length ? " and " : ""}{unnamed.toLocaleString("en")} not named</span> : null}
    </>
  );
}
