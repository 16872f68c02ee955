// What if: a request decided without effect, under the model in force and the three others side by side; and what draining
// a link would move. Nothing here changes anything until it is confirmed.
import { useEffect, useState } from "preact/hooks";
import { idempotencyKey, type ModelName } from "./api";
import { Service } from "./link";
import { busiest, byName, layout, links, model, pin, topology } from "./live";
import { MiniMap } from "./canvas";
import { citiesOf, Empty } from "./parts";
import { asQuery, Complaints, decide, Decided, Fields, isSame, Send, useRequest, type Preview } from "./request";
import { adjust, param } from "./route";
import { MODEL_WORDS } from "./units";

const MODELS: ModelName[] = ["mam", "rdm", "gbam", "atcs"];

export function WhatIf() {
  useEffect(() => () => pin(), []);
  if (!topology.value || model.value?.topology !== topology.value || layout.value?.topology !== topology.value || links.value?.topology !== topology.value)
    return <Empty title="Loading the topology …" />;
  return (
    <div key={topology.value}>
      <h1>What if …</h1>
      <Compare />
      <Drain />
    </div>
  );
}

function Compare() {
  const form = useRequest();
  const [preview, setPreview] = useState<Preview | null>(null);
  const [busy, setBusy] = useState(false);
  const { request } = form;
  const run = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    adjust(asQuery(form));
    setPreview({ request, key: idempotencyKey(), verdicts: await Promise.all(MODELS.map((one) => decide(one, request))) });
    setBusy(false);
  };
  const inForce = model.value?.model.model;
  // What was answered is of what was asked: after a change it is asked again.
  const shown = isSame(preview, request) ? preview : null;
  return (
    <section>
      <h2>… bandwidth were requested?</h2>
      <form class="inline" onSubmit={run}>
        <Fields form={form} />
        <button class="primary" disabled={busy || !form.good}>Ask</button>
      </form>
      <Complaints form={form} />
      {shown ? (
        <>
          <div class="verdicts" aria-live="polite">
            {shown.verdicts.map((one) => (
              <section key={one.model} class={`verdict ${one.outcome ? "is-yes" : "is-no"}`}>
                <h3>{MODEL_WORDS[one.model]} {one.model === inForce ? <span class="badge">in force</span> : null}</h3>
                <Decided verdict={one} />
              </section>
            ))}
          </div>
          <p class="quiet">
            The present allocations stay as they are; each model has the same classes and shares. G-BAM, where another model is in force, lends half of each
            share either way.
          </p>
          {shown.verdicts.find((one) => one.model === inForce)?.outcome ? <Send preview={shown} /> : null}
          <div class="mini-row"><MiniMap /></div>
        </>
      ) : (
        <p class="quiet">
          {preview ? "The request was changed: ask again. " : ""}Nothing is changed by asking. Under each model you see the path, which allocations would be preempted, devolved
          or rerouted, or which link binds.
        </p>
      )}
    </section>
  );
}

function Drain() {
  const [name, setName] = param("link", busiest.value[0]?.link ?? "");
  const link = byName.value.get(name);
  const cities = citiesOf(name);
  return (
    <section>
      <h2>… a link were drained, or broke?</h2>
      <form class="inline" onSubmit={(event) => event.preventDefault()}>
        <label>Link <input value={name} list="drain-links" onInput={(event) => setName(event.currentTarget.value)} aria-invalid={!link} /></label>
        {cities ? <span class="quiet">{cities}</span> : null}
        <datalist id="drain-links">{links.value!.links.slice(0, 5_000).map((one) => <option value={one.link}>{citiesOf(one.link) ?? `${one.from} to ${one.to}`}</option>)}</datalist>
      </form>
      {link ? <Service key={name} topology={topology.value!} link={link} /> : <p class="bad">{topology.value} has no link of that name.</p>}
    </section>
  );
}
