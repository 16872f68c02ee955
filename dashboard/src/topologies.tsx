// Topologies: those there are; a file dropped here is tried first, and its report is shown before it is put.
import { useRef, useState } from "preact/hooks";
import { ask, ofTopology, Refused, type Upload } from "./api";
import { readTopologies, topologies, topology } from "./live";
import { ModelEditor } from "./model";
import { Ask, Empty, Failure, say, Victims } from "./parts";
import { go, href } from "./route";
import { may } from "./session";
import { Table } from "./table";
import { count, MODEL_WORDS, parseRate } from "./units";

export function Topologies() {
  return (
    <>
      <h1>Topologies</h1>
      <div class="columns">
        <section>
          <List />
          {may("operate") ? <UploadForm /> : null}
        </section>
        <section>
          <h2>Bandwidth model</h2>
          {topology.value ? <ModelEditor /> : <p class="quiet">A topology comes first.</p>}
        </section>
      </div>
    </>
  );
}

function List() {
  const [removing, setRemoving] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  if (!topologies.value) return <Empty title="Loading topologies …" />;
  if (!topologies.value.length) return <Empty title="There is no topology yet"><p>Drop a file below.</p></Empty>;
  const remove = async (name: string) => {
    try {
      await ask("DELETE", ofTopology(name), undefined, { "if-match": "*" });
      say(`${name} is deleted.`);
      setRemoving(null);
    } catch (failed) {
      setError(failed);
    }
  };
  return (
    <>
      <Table
        name="topologies" label="Topologies" rows={topologies.value} whole id={(one) => one.topology}
        columns={[
          { title: "Topology", cell: (one) => <a href={href("map", undefined, { topology: one.topology })} aria-current={one.topology === topology.value ? "true" : undefined}>{one.topology}</a>, value: (one) => one.topology },
          { title: "Nodes", number: true, cell: (one) => one.nodes, value: (one) => one.nodes },
          { title: "Links", number: true, cell: (one) => one.links, value: (one) => one.links },
          { title: "Allocations", number: true, cell: (one) => one.allocations, value: (one) => one.allocations },
          { title: "Model", cell: (one) => MODEL_WORDS[one.model], value: (one) => MODEL_WORDS[one.model] },
          {
            title: "Save as",
            cell: (one) => (["native", "graphml", "rfc8345"] as const).map((format, at) => (
              <>{at ? ", " : ""}<a href={ofTopology(one.topology, `?format=${format}`)} download={`${one.topology}.${format === "graphml" ? "graphml" : "json"}`}>{format}</a></>
            )),
          },
          { title: "Actions", class: "actions", cell: (one) => !may("operate") ? null : <button onClick={() => setRemoving(one.topology)} aria-label={`Delete ${one.topology}`}>Delete</button> },
        ]}
      />
      {removing ? (
        <Ask title={`Delete ${removing}?`} close={() => (setRemoving(null), setError(null))}>
          <p>It can be uploaded again. A topology that carries allocations is not deleted.</p>
          {error ? <Failure error={error} /> : null}
          <div class="buttons"><button class="primary" onClick={() => remove(removing)}>Delete</button> <button onClick={() => (setRemoving(null), setError(null))}>Keep it</button></div>
        </Ask>
      ) : null}
    </>
  );
}

interface Chosen {
  file: File;
  name: string;
}

function UploadForm() {
  const [over, setOver] = useState(false);
  const [chosen, setChosen] = useState<Chosen | null>(null);
  const [capacity, setCapacity] = useState("10G");
  const [missing, setMissing] = useState("default");
  const [evict, setEvict] = useState(false);
  const [report, setReport] = useState<Upload | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const send = async (what: Chosen, dry: boolean) => {
    const bps = parseRate(capacity);
    const query = new URLSearchParams({ on_missing_capacity: missing, ...(bps ? { default_capacity_bps: String(bps) } : {}), ...(evict ? { evict: "true" } : {}), ...(dry ? { dry_run: "true" } : {}) });
    const isThere = topologies.value?.some((one) => one.topology === what.name);
    setBusy(true);
    try {
      const { body } = await ask<Upload>("PUT", `${ofTopology(what.name)}?${query}`, what.file, { "content-type": "application/octet-stream", ...(isThere && !dry ? { "if-match": "*" } : {}) });
      setError(null);
      if (dry) setReport(body);
      else {
        say(`${what.name} is put: ${count(body.nodes, "node")}, ${count(body.links, "link")}.`);
        setChosen(null);
        setReport(null);
        await readTopologies();
        go("map", undefined, { topology: what.name });
      }
    } catch (failed) {
      setReport(null);
      setError(failed);
    }
    setBusy(false);
  };
  const take = (file: File | undefined) => {
    if (!file) return;
    const what = { file, name: file.name.replace(/\.[^.]+$/, "").slice(0, 100) || "network" };
    setChosen(what);
    void send(what, true);
  };
  return (
    <section>
      <h2>Upload</h2>
      <div
        class={`drop ${over ? "is-over" : ""}`}
        onDragOver={(event) => (event.preventDefault(), setOver(true))}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => (event.preventDefault(), setOver(false), take(event.dataTransfer?.files[0]))}
      >
        <p>Drop a file here: GraphML, GML, SNDlib, REPETITA, RFC 8345, networkx, CSV or native JSON.</p>
        <button onClick={() => input.current?.click()}>Choose a file …</button>
        <input ref={input} type="file" class="hidden" tabIndex={-1} aria-label="Topology file" onChange={(event) => (take(event.currentTarget.files?.[0]), (event.currentTarget.value = ""))} />
      </div>
      {chosen ? (
        <form class="stack" onSubmit={(event) => (event.preventDefault(), void send(chosen, false))}>
          <label>Name <input value={chosen.name} required maxLength={255} onInput={(event) => (setChosen({ ...chosen, name: event.currentTarget.value }), setReport(null))} /></label>
          <label>Links without a capacity <select value={missing} onChange={(event) => (setMissing(event.currentTarget.value), setReport(null))}>
            <option value="default">get this one</option><option value="drop">are left out</option><option value="error">make the file refused</option>
          </select> <input value={capacity} size={7} aria-label="Default capacity" aria-invalid={parseRate(capacity) === null} disabled={missing !== "default"} onInput={(event) => (setCapacity(event.currentTarget.value), setReport(null))} /></label>
          <label class="radio"><input type="checkbox" checked={evict} onChange={(event) => (setEvict(event.currentTarget.checked), setReport(null))} /> <span>Reroute allocations that do not fit; those without another path fail</span></label>
          <div class="buttons">
            <button type="button" disabled={busy} onClick={() => send(chosen, true)}>Try again</button>
            <button class="primary" disabled={busy || !report || !chosen.name}>Put {chosen.name}</button>
            <button type="button" onClick={() => (setChosen(null), setReport(null), setError(null))}>Cancel</button>
          </div>
          {error ? <Refusal error={error} /> : null}
          {report ? <Report report={report} /> : null}
        </form>
      ) : null}
    </section>
  );
}

function Refusal(props: { error: unknown }) {
  const { error } = props;
  const place = error instanceof Refused ? [error.problem.line ? `line ${error.problem.line}` : "", error.problem.column ? `column ${error.problem.column}` : "", String(error.problem.element ?? "")].filter(Boolean).join(", ") : "";
  return <><Failure error={error} />{place ? <p>At {place}.</p> : null}</>;
}

function Report(props: { report: Upload }) {
  const { report } = props;
  const known = Object.entries(report.capacity_from).filter(([, number]) => Number(number) > 0);
  return (
    <div class="verdict is-yes" aria-live="polite">
      <h3>{report.format}: {count(report.nodes, "node")}, {count(report.links, "link")}</h3>
      <p>Capacities: {known.map(([source, number]) => `${number} ${SOURCES[source] ?? source}`).join(", ") || "none"}.</p>
      <Victims effects={report} would />
      {report.warnings.length ? (
        <>
          <h4>{count(report.warnings.length, "warning")}{report.warnings_omitted ? ` of ${report.warnings.length + report.warnings_omitted}` : ""}</h4>
          <Table
            name="warnings" label="Warnings" rows={report.warnings} id={(one) => `${one.place.line} ${one.place.element} ${one.message}`}
            columns={[
              { title: "Line", number: true, cell: (one) => one.place.line ?? "—", value: (one) => one.place.line ?? undefined },
              { title: "Where", cell: (one) => one.place.element ?? "", value: (one) => one.place.element ?? undefined },
              { title: "What", cell: (one) => one.message, value: (one) => one.message },
            ]}
          />
        </>
      ) : <p class="quiet">No warnings.</p>}
    </div>
  );
}

const SOURCES: Record<string, string> = {
  given: "given", label: "read from labels", bound: "from bounds", range: "the top of ranges", module: "the largest module", default: "by default",
};
