// What if: a request decided without effect, under the model in force and the three others side by side; and what draining
// a link would move. Nothing here changes anything until somebody says so.
import { useEffect, useState } from "preact/hooks";
import { ask, Refused, type Allocation, type AllocationOutcome, type AllocationRequest, type ModelName } from "./api";
import { MiniMap } from "./allocations";
import { Service } from "./link";
import { busiest, byName, layout, links, lit, model, topology } from "./live";
import { Denial, Empty, PathText, say, Victims } from "./parts";
import { go, route } from "./route";
import { className, MODEL_WORDS, parseRate, rate } from "./units";

const MODELS: ModelName[] = ["mam", "rdm", "gbam", "atcs"];

type Verdict = { model: ModelName; outcome?: AllocationOutcome; problem?: Refused };

export function WhatIf() {
  useEffect(() => () => void (lit.value = new Set()), []);
  if (!topology.value || model.value?.topology !== topology.value || layout.value?.topology !== topology.value || links.value?.topology !== topology.value)
    return <Empty title="Loading the topology …" />;
  return (
    <div key={topology.value}>
      <h1>What if …</h1>
      <Request />
      <Drain />
    </div>
  );
}

function Request() {
  const query = route.value.query;
  const nodes = layout.value!.layout.nodes;
  const classes = model.value?.model.classes ?? [];
  const [ingress, setIngress] = useState(query.get("ingress") ?? nodes[0]?.node ?? "");
  const [egress, setEgress] = useState(query.get("egress") ?? nodes.at(-1)?.node ?? "");
  const [classType, setClassType] = useState(Number(query.get("class_type") ?? Math.max(0, ...classes.map((one) => one.class_type))));
  const [text, setText] = useState(query.get("bandwidth") ?? "500M");
  const [maxHops, setMaxHops] = useState("");
  const [verdicts, setVerdicts] = useState<Verdict[] | null>(null);
  const [busy, setBusy] = useState(false);
  const bps = parseRate(text);
  const request = (): AllocationRequest => ({
    topology: topology.value!, ingress, egress, class_type: classType, bandwidth_bps: bps ?? 0,
    ...(maxHops ? { constraints: { max_hops: Number(maxHops) } } : {}),
  });
  const run = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setVerdicts(await Promise.all(MODELS.map((one) => decide(one, request()))));
    setBusy(false);
  };
  const admit = async () => {
    try {
      const { body } = await ask<Allocation>("POST", "/v1/allocations", request());
      say(`Admitted: allocation ${body.id}.`);
      go("allocations", body.id);
    } catch (error) {
      say(error instanceof Error ? error.message : String(error), true);
    }
  };
  const inForce = model.value?.model.model;
  const now = verdicts?.find((one) => one.model === inForce);
  return (
    <section>
      <h2>… somebody asked for bandwidth?</h2>
      <form class="inline" onSubmit={run}>
        <Node title="From" value={ingress} set={setIngress} />
        <Node title="To" value={egress} set={setEgress} />
        <label>Class <select value={classType} onChange={(event) => setClassType(Number(event.currentTarget.value))}>
          {classes.map((one) => <option value={one.class_type}>{className(one.class_type, true)}</option>)}
        </select></label>
        <label>Bandwidth <input value={text} size={8} aria-invalid={bps === null} onInput={(event) => setText(event.currentTarget.value)} /></label>
        <label>Most hops <input value={maxHops} size={3} inputMode="numeric" pattern="[0-9]*" placeholder="any" onInput={(event) => setMaxHops(event.currentTarget.value)} /></label>
        <button class="primary" disabled={bps === null || busy || ingress === egress}>Ask</button>
      </form>
      {bps === null ? <p class="bad">Write an amount such as 500M, 2.5G or 1000000.</p> : null}
      {ingress === egress ? <p class="bad">From and to are the same node.</p> : null}
      {verdicts ? (
        <>
          <div class="verdicts" aria-live="polite">
            {verdicts.map((one) => <Column key={one.model} verdict={one} inForce={one.model === inForce} />)}
          </div>
          <p class="quiet">
            The present allocations stay as they are; each model has the same classes and shares. G-BAM, where another model is in force, lends half of each
            share either way.
          </p>
          {now?.outcome ? <button onClick={admit}>Ask for it for real</button> : null}
          <div class="mini-row"><MiniMap /></div>
        </>
      ) : (
        <p class="quiet">Nothing is changed by asking. Under each model you see the path, which allocations would be preempted, devolved or rerouted, or which link binds.</p>
      )}
    </section>
  );
}

async function decide(name: ModelName, request: AllocationRequest): Promise<Verdict> {
  const inForce = model.value?.model.model === name;
  try {
    const { body } = await ask<AllocationOutcome>("POST", `/v1/allocations?dry_run=true${inForce ? "" : `&model=${name}`}`, request);
    if (inForce) lit.value = new Set(body.path);
    return { model: name, outcome: body };
  } catch (error) {
    const problem = error instanceof Refused ? error : new Refused(0, { detail: String(error) });
    const binding = problem.problem.binding_links as { link: string }[] | undefined;
    if (inForce && binding) lit.value = new Set(binding.map((one) => one.link));
    return { model: name, problem };
  }
}

function Column(props: { verdict: Verdict; inForce: boolean }) {
  const { model: name, outcome, problem } = props.verdict;
  return (
    <section class={`verdict ${outcome ? "is-yes" : "is-no"}`}>
      <h3>{MODEL_WORDS[name]} {props.inForce ? <span class="badge">in force</span> : null}</h3>
      {outcome ? (
        <>
          <p><strong>● Admitted</strong>{outcome.victims.length ? `, ${outcome.victims.length} of the others would be touched` : ", no other allocation would be touched"}</p>
          <p onMouseEnter={() => (lit.value = new Set(outcome.path))}>Path: <PathText path={outcome.path} /></p>
          <Tightest path={outcome.path} />
          {outcome.victims.length ? <div class="scroll"><Victims effects={outcome} would /></div> : null}
        </>
      ) : (
        <>
          <p><strong>⊘ {problem!.problem.title ?? "Refused"}</strong></p>
          <Denial problem={problem!.problem} />
        </>
      )}
    </section>
  );
}

/** The link that binds first on a path: the fullest. */
function Tightest(props: { path: string[] }) {
  const on = props.path.map((name) => byName.value.get(name)).filter((link) => link !== undefined);
  const tight = on.sort((one, two) => two.utilisation_ppm - one.utilisation_ppm)[0];
  if (!tight) return null;
  return <p class="quiet">Tightest link now: {tight.link}, {rate(Math.max(0, tight.max_reservable_bps - tight.reserved_bps))} unreserved.</p>;
}

function Node(props: { title: string; value: string; set: (value: string) => void }) {
  const nodes = layout.value!.layout.nodes;
  if (nodes.length > 500)
    return (
      <label>{props.title} <input value={props.value} list="what-if-nodes" onInput={(event) => props.set(event.currentTarget.value)} />
        <datalist id="what-if-nodes">{nodes.slice(0, 5_000).map((node) => <option value={node.node}>{node.label}</option>)}</datalist>
      </label>
    );
  return (
    <label>{props.title} <select value={props.value} onChange={(event) => props.set(event.currentTarget.value)}>
      {nodes.map((node) => <option value={node.node}>{node.label && node.label !== node.node ? `${node.node} (${node.label})` : node.node}</option>)}
    </select></label>
  );
}

function Drain() {
  const [name, setName] = useState(route.value.query.get("link") ?? busiest.value[0]?.link ?? "");
  const link = byName.value.get(name);
  return (
    <section>
      <h2>… a link were drained, or broke?</h2>
      <form class="inline" onSubmit={(event) => event.preventDefault()}>
        <label>Link <input value={name} list="drain-links" onInput={(event) => setName(event.currentTarget.value)} aria-invalid={!link} /></label>
        <datalist id="drain-links">{links.value!.links.slice(0, 5_000).map((one) => <option value={one.link}>{`${one.from} to ${one.to}`}</option>)}</datalist>
      </form>
      {link ? <Service key={name} topology={topology.value!} link={link} /> : <p class="bad">{topology.value} has no link of that name.</p>}
    </section>
  );
}
