// A request for bandwidth: previewed as a dry run, and sent exactly as it was previewed. The same form asks on the map, where
// each change is previewed at once, and in what-if, where the four models are compared.
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, idempotencyKey, ofTopology, Refused, type Allocation, type AllocationOutcome, type AllocationRequest, type Availability, type ModelName } from "./api";
import { byName, layout, light, model, nodeText, pin, topology } from "./live";
import { Ask, Denial, LinkName, outcomes, PathText, say, Victims } from "./parts";
import { adjust, go, param } from "./route";
import { className, dateAndTime, parseRate, rate } from "./units";

export type Verdict = { model: ModelName; outcome?: AllocationOutcome; problem?: Refused };

/** What was asked for, by one key, and what would come of it. */
export interface Preview {
  request: AllocationRequest;
  key: string;
  verdicts: Verdict[];
}

/** Nobody has so much: what is refused says how much would fit. */
const HEADROOM_PROBE_BPS = 9e15;
const SETTLED_MS = 150;

/** The request in the address. */
export function useRequest() {
  const nodes = layout.value!.layout.nodes;
  const classes = model.value!.model.classes ?? [];
  const [ingress, setIngress] = param("ingress");
  const [egress, setEgress] = param("egress");
  const [classText, setClass] = param("class_type", String(Math.max(0, ...classes.map((one) => one.class_type))));
  const [text, setText] = param("bandwidth", "500M");
  const [maxHops, setMaxHops] = param("max_hops");
  const [starts, setStarts] = param("starts");
  const [ends, setEnds] = param("ends");
  const [from, to] = [ingress || nodes[0]?.node || "", egress || nodes.at(-1)?.node || ""];
  const [protect, setProtect] = param("protect");
  const [backup, setBackup] = param("backup");
  const [both, setBoth] = param("both");
  const bps = parseRate(text);
  const request: AllocationRequest = {
    topology: topology.value!, ingress: from, egress: to, class_type: Number(classText), bandwidth_bps: bps ?? 0,
    ...(maxHops ? { constraints: { max_hops: Number(maxHops) } } : {}),
    ...(isDisjointness(protect) ? { protection: { kind: backup === "shared" ? "shared" : "dedicated", disjoint: protect, revertive: true } } : {}),
    ...(both ? { bidirectional: true } : {}),
    ...(instant(starts) ? { starts_at: instant(starts) } : {}), ...(instant(ends) ? { expires_at: instant(ends) } : {}),
  };
  return { request, bps, text, setText, maxHops, setMaxHops, setIngress, setEgress, setClass, classes, starts, setStarts, ends, setEnds, protect, setProtect, backup, setBackup, both, setBoth, good: bps !== null && from !== to && isNode(from) && isNode(to) };
}

function isNode(name: string): boolean {
  return layout.value!.layout.nodes.some((node) => node.node === name);
}

type Form = ReturnType<typeof useRequest>;

export const DISJOINT = ["link", "node", "srlg"] as const;

export const AGAINST = { link: "against a link", node: "against a node", srlg: "against a risk group" };

export function isDisjointness(text: string): text is (typeof DISJOINT)[number] {
  return (DISJOINT as readonly string[]).includes(text);
}

/** The night to come, or what is left of it: from 22:00 to 06:00, as the clock on the wall has it. */
function tonight(): [string, string] {
  const start = new Date();
  start.setHours(22, 0, 0, 0);
  const end = new Date(start);
  end.setDate(end.getDate() + 1);
  end.setHours(6);
  const soon = Math.ceil(Date.now() / 60_000 + 1) * 60_000;
  return [wall(new Date(Math.max(start.getTime(), soon)).toISOString()), wall(end.toISOString())];
}

/** What is in a field of date and time, which is of the clock on the wall. */
export function instant(text: string): string | undefined {
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : new Date(at).toISOString();
}

/** The same the other way round. */
export function wall(at: string): string {
  const date = new Date(at);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

export function Fields(props: { form: Form }) {
  const { form } = props;
  return (
    <>
      <Node title="From" value={form.request.ingress} set={form.setIngress} />
      <Node title="To" value={form.request.egress} set={form.setEgress} />
      <label>Class <select value={form.request.class_type!} onChange={(event) => form.setClass(event.currentTarget.value)}>
        {form.classes.map((one) => <option value={one.class_type}>{className(one.class_type, true)}</option>)}
      </select></label>
      <label>Bandwidth <input value={form.text} size={8} aria-invalid={form.bps === null} onInput={(event) => form.setText(event.currentTarget.value)} /></label>
      <label>Most hops <input value={form.maxHops} size={3} inputMode="numeric" pattern="[0-9]*" placeholder="any" onInput={(event) => form.setMaxHops(event.currentTarget.value.replace(/\D/g, ""))} /></label>
      <label>Protect <select value={form.protect} onChange={(event) => form.setProtect(event.currentTarget.value)}>
        <option value="">no</option>{DISJOINT.map((one) => <option value={one}>{AGAINST[one]}</option>)}
      </select></label>
      {form.protect ? <label>Backup <select value={form.backup} onChange={(event) => form.setBackup(event.currentTarget.value)}>
        <option value="">its own</option><option value="shared">shared with others</option>
      </select></label> : null}
      <label><input type="checkbox" checked={Boolean(form.both)} onChange={(event) => form.setBoth(event.currentTarget.checked ? "true" : "")} /> In both directions</label>
      <label>Starts <input type="datetime-local" value={form.starts} onInput={(event) => form.setStarts(event.currentTarget.value)} /></label>
      <label>Ends <input type="datetime-local" value={form.ends} onInput={(event) => form.setEnds(event.currentTarget.value)} /></label>
      <button type="button" title="From 22:00 to 06:00" onClick={() => { const [starts, ends] = tonight(); form.setStarts(starts); form.setEnds(ends); }}>Tonight</button>
    </>
  );
}

export function Complaints(props: { form: Form }) {
  return (
    <>
      {props.form.bps === null ? <p class="bad">Write an amount such as 500M, 2.5G or 1000000.</p> : null}
      {[props.form.request.ingress, props.form.request.egress].filter((name) => !isNode(name)).map((name) => <p class="bad">There is no node {name}.</p>)}
      {props.form.request.ingress === props.form.request.egress ? <p class="bad">From and to are the same node.</p> : null}
    </>
  );
}

/** Of very many nodes one is typed: while the field is empty, nothing is put in it. */
function TypedNode(props: { title: string; value: string; set: (value: string) => void }) {
  const [text, setText] = useState(props.value);
  const list = `nodes-${props.title}`;
  const field = useRef<HTMLInputElement>(null);
  // While it is typed, the value that comes back is of some letters ago.
  useEffect(() => { if (text && document.activeElement !== field.current) setText(props.value); }, [props.value]);
  return (
    <label>{props.title} <input ref={field} value={text} list={list} aria-invalid={!isNode(text)} onInput={(event) => (setText(event.currentTarget.value), props.set(event.currentTarget.value))} onBlur={() => setText(props.value)} />
      <datalist id={list}>{layout.value!.layout.nodes.slice(0, 5_000).map((node) => <option value={node.node}>{node.label}</option>)}</datalist>
    </label>
  );
}

function Node(props: { title: string; value: string; set: (value: string) => void }) {
  const nodes = layout.value!.layout.nodes;
  if (nodes.length > 500) return <TypedNode {...props} />;
  return (
    <label>{props.title} <select value={props.value} onChange={(event) => props.set(event.currentTarget.value)}>
      {nodes.map((node) => <option value={node.node}>{nodeText(node.node)}</option>)}
    </select></label>
  );
}

/** What would be decided, under the model in force or another; the path, or what binds, is lit for the one in force. */
export async function decide(name: ModelName, request: AllocationRequest): Promise<Verdict> {
  const inForce = model.peek()?.model.model === name;
  try {
    const { body } = await ask<AllocationOutcome>("POST", `/v1/allocations?dry_run=true${inForce ? "" : `&model=${name}`}`, request);
    if (inForce) pin([...body.path, ...(body.backup_path ?? [])]);
    return { model: name, outcome: body };
  } catch (error) {
    const problem = error instanceof Refused ? error : new Refused(0, { detail: String(error) });
    const binding = problem.problem.binding_links as { link: string }[] | undefined;
    if (inForce) pin((binding ?? []).map((one) => one.link), true);
    return { model: name, problem };
  }
}

export function isSame(preview: Preview | null, request: AllocationRequest): boolean {
  return preview !== null && JSON.stringify(preview.request) === JSON.stringify(request);
}

/** Sends what was previewed. It is decided once more first: whoever would lose by it now is shown before. */
export function Send(props: { preview: Preview; done?: () => void }) {
  const { request, key } = props.preview;
  const [asked, setAsked] = useState<AllocationOutcome | null>(null);
  const [busy, setBusy] = useState(false);
  const run = async (work: () => Promise<void>) => {
    setBusy(true);
    try {
      await work();
    } catch (error) {
      say(error instanceof Error ? error.message : String(error), true);
    }
    setBusy(false);
  };
  const send = async () => {
    const { body } = await ask<Allocation>("POST", "/v1/allocations", request, { "idempotency-key": key });
    say(body.starts_at ? `Booked: allocation ${body.id}, from ${dateAndTime(body.starts_at)} on.` : `Admitted: allocation ${body.id}.`);
    go("allocations", body.id);
  };
  const begin = async () => {
    const { body } = await ask<AllocationOutcome>("POST", "/v1/allocations?dry_run=true", request);
    if (body.victims.length) setAsked(body);
    else await send();
  };
  return (
    <>
      <button class="primary" disabled={busy} onClick={() => run(begin)}>Ask for it for real</button>
      {asked ? (
        <Ask title={`${rate(request.bandwidth_bps)} from ${nodeText(request.ingress)} to ${nodeText(request.egress)}: ${outcomes(asked.victims, true)}`} close={() => setAsked(null)}>
          <Victims effects={asked} would />
          <div class="buttons">
            <button class="primary" disabled={busy} onClick={() => run(send)}>Ask for it all the same</button> <button onClick={() => setAsked(null)}>Leave it</button>
          </div>
        </Ask>
      ) : null}
    </>
  );
}

/** On the map: two nodes are chosen, and each change is previewed at once. */
export function RequestPanel() {
  const form = useRequest();
  const [preview, setPreview] = useState<Preview | null>(null);
  const [most, setMost] = useState<number | null>(null);
  const { request } = form;
  const inForce = model.value!.model.model;
  const written = JSON.stringify(request);
  useEffect(() => {
    if (!form.good) return;
    let current = true;
    const timer = window.setTimeout(async () => {
      const verdict = await decide(inForce, request);
      if (current) setPreview({ request, key: idempotencyKey(), verdicts: [verdict] });
    }, SETTLED_MS);
    return () => ((current = false), window.clearTimeout(timer));
  }, [written, inForce]);
  useEffect(() => () => pin(), []);
  useEffect(() => {
    let current = true;
    setMost(null);
    if (request.ingress !== request.egress)
      ask("POST", "/v1/allocations?dry_run=true", { ...request, bandwidth_bps: HEADROOM_PROBE_BPS }).catch((error) => {
        const found = error instanceof Refused ? error.problem.largest_admissible_bps : undefined;
        if (current) setMost(typeof found === "number" ? found : 0);
      });
    return () => void (current = false);
  }, [request.ingress, request.egress, request.class_type, form.maxHops, form.protect, form.backup, form.both, form.starts, form.ends]);
  const verdict = isSame(preview, request) ? preview!.verdicts[0] : undefined;
  const top = Math.max((most ?? 0) * 1.25, 1);
  return (
    <section class="request" aria-label="A request between two nodes">
      <h2>A request</h2>
      <div class="filters"><Fields form={form} /></div>
      <Complaints form={form} />
      {most === null ? null : (
        <label class="slide">
          Up to <strong>{rate(most)}</strong> would be admitted.
          <input type="range" aria-label="Bandwidth" min="0" max="1000" disabled={!most} value={Math.min(1000, Math.round(((form.bps ?? 0) / top) * 1000))}
            aria-valuetext={rate(form.bps ?? 0)} onInput={(event) => form.setText(String(rounded((Number(event.currentTarget.value) / 1000) * top)))} />
        </label>
      )}
      <div class="buttons">
        {verdict?.outcome ? <Send preview={preview!} /> : null}
        <button onClick={() => go("what-if", undefined, asQuery(form))}>Compare the models</button>
        <button onClick={() => (adjust({ ingress: null, egress: null, bandwidth: null, max_hops: null, class_type: null, protect: null, backup: null, both: null, starts: null, ends: null }), pin())}>Close</button>
      </div>
      <div aria-live="polite">
        {verdict?.problem?.slug === "insufficient-bandwidth" ? <When key={written} form={form} /> : null}
        {verdict ? <Decided verdict={verdict} /> : form.good ? <p class="quiet">Asking …</p> : null}
      </div>
    </section>
  );
}

const HOUR_MS = 3_600_000;
/** How far ahead, and how many times, are offered. */
const AHEAD_MS = 7 * 24 * HOUR_MS;
const OFFERED_MAX = 5;

/** When it could be had instead, in the week to come: for as long as was asked, or for an hour. */
function When(props: { form: Form }) {
  const { form } = props;
  const [found, setFound] = useState<Availability | null>(null);
  const { topology, ingress, egress, class_type, bandwidth_bps, starts_at, expires_at, constraints, bidirectional } = form.request;
  const from = starts_at ? Date.parse(starts_at) : Date.now();
  const long = Math.max(60_000, expires_at ? Date.parse(expires_at) - from : HOUR_MS);
  const look = async () => {
    const window = { from: new Date(from).toISOString(), to: new Date(from + Math.max(AHEAD_MS, long)).toISOString() };
    try {
      const body = { from: ingress, to: egress, class_type, bandwidth_bps, duration_ms: long, window, constraints, bidirectional };
      setFound((await ask<Availability>("POST", ofTopology(topology!, "/availabilities"), body)).body);
    } catch (error) {
      say(error instanceof Error ? error.message : String(error), true);
    }
  };
  const take = (from: string) => {
    form.setStarts(wall(new Date(Math.ceil(Date.parse(from) / 60_000) * 60_000).toISOString()));
    form.setEnds(wall(new Date(Math.ceil(Date.parse(from) / 60_000) * 60_000 + long).toISOString()));
  };
  if (!found) return <p><button onClick={look}>When could I have it?</button></p>;
  if (!found.windows.length) return <p>Not in the week to come. Over all of it, up to {rate(found.largest_bandwidth_bps)} would be admitted.</p>;
  return (
    <ul class="offers">
      {found.windows.slice(0, OFFERED_MAX).map((one) => <li><button class="small" onClick={() => take(one.from)}>{dateAndTime(one.from)}</button> or later, until {dateAndTime(one.to)}</li>)}
    </ul>
  );
}

/** All of it: what is left out is another's default. */
export function asQuery(form: Form): Record<string, string> {
  const { ingress, egress, class_type } = form.request;
  return { ingress, egress, class_type: String(class_type), bandwidth: form.text, ...(form.maxHops ? { max_hops: form.maxHops } : {}), ...(form.protect ? { protect: form.protect, ...(form.backup ? { backup: form.backup } : {}) } : {}), ...(form.both ? { both: form.both } : {}), ...(form.starts ? { starts: form.starts } : {}), ...(form.ends ? { ends: form.ends } : {}) };
}

/** Two digits are enough for what is dragged. */
function rounded(bps: number): number {
  const size = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, bps))) - 1);
  return Math.max(1, Math.round(bps / size) * size);
}

export function Decided(props: { verdict: Verdict }) {
  const { outcome, problem } = props.verdict;
  if (!outcome)
    return (
      <>
        <p><strong>⊘ {problem!.problem.title ?? "Refused"}</strong></p>
        <Denial problem={problem!.problem} />
      </>
    );
  return (
    <>
      <p><strong>● Admitted</strong>{outcome.victims.length ? `, ${outcome.victims.length} other allocations would be touched` : ", no other allocation would be touched"}</p>
      {outcome.victims.length ? <Victims effects={outcome} would /> : null}
      <p onMouseEnter={() => light(outcome.path)} onMouseLeave={() => light()}>Path: <PathText path={outcome.path} /></p>
      {outcome.backup_path ? <p onMouseEnter={() => light(outcome.backup_path ?? [])} onMouseLeave={() => light()}>Backup path: <PathText path={outcome.backup_path} /></p> : null}
      <Tightest path={[...outcome.path, ...(outcome.backup_path ?? [])]} />
    </>
  );
}

/** The link that binds first on a path: the fullest. */
function Tightest(props: { path: string[] }) {
  const on = props.path.map((name) => byName.value.get(name)).filter((link) => link !== undefined);
  const tight = on.sort((one, two) => two.utilisation_ppm - one.utilisation_ppm)[0];
  if (!tight) return null;
  return <p class="quiet">Tightest link now: <LinkName name={tight.link} />, {rate(Math.max(0, tight.max_reservable_bps - tight.reserved_bps))} unreserved.</p>;
}
