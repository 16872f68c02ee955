// Health: the journal, the controllers, the broker, the versions; and the last that happened.
import { useEffect, useState } from "preact/hooks";
import { get, type Controller, type Readiness } from "./api";
import { Feed } from "./feed";
import { connection, happenings, readiness } from "./live";
import { State } from "./parts";
import { Table } from "./table";
import { count, dateAndTime } from "./units";

const ASK_EVERY_MS = 3_000;

export function Health() {
  const [controllers, setControllers] = useState<Controller[] | null>(null);
  const [numbers, setNumbers] = useState<Map<string, number> | null>(null);
  useEffect(() => {
    const look = async () => {
      try {
        readiness.value = await get<Readiness>("/readyz");
        setNumbers(read(await get<string>("/metrics")));
        setControllers((await get<{ items: Controller[] }>("/v1/controllers")).items);
      } catch {
        // The connection says so already; the next look may succeed.
      }
    };
    void look();
    const timer = window.setInterval(look, ASK_EVERY_MS);
    return () => window.clearInterval(timer);
  }, []);
  const ready = readiness.value;
  const offline = connection.value === "lost";
  return (
    <>
      <h1>Health</h1>
      <div class="columns">
        <section>
          <h2>Service</h2>
          <dl>
            <dt>Answers</dt><dd>{offline ? <Sign good={false} yes="" no="no: the server is not reached" /> : <Sign good={ready?.ready ?? false} yes="yes" no="not ready" />}</dd>
            <dt>Version</dt><dd>{ready?.version ?? "…"}</dd>
            <dt>Holds</dt><dd>{ready ? `${count(ready.topologies, "topology", "topologies")}, ${count(ready.allocations, "allocation")}` : "…"}</dd>
          </dl>
          <h2>Journal</h2>
          <dl>
            <dt>Database</dt><dd>{offline ? <span class="quiet">not known</span> : <Sign good={ready?.journal ?? false} yes="answers" no="does not answer" />}</dd>
            <dt>Last event</dt><dd>{ready?.sequence.toLocaleString("en") ?? "…"}{happenings.value.length ? `, at ${dateAndTime(happenings.value.at(-1)!.at)}` : ""}</dd>
            <Average numbers={numbers} name="journal_append_duration_seconds" title="Writing a batch" />
            <Average numbers={numbers} name="decision_batch_duration_seconds" title="Deciding a batch" />
          </dl>
          <h2>Requests</h2>
          <Requests numbers={numbers} />
        </section>
        <section>
          <h2>Controllers</h2>
          <Controllers of={controllers} />
          <h2>Broker</h2>
          <Broker numbers={numbers} />
          <h2>Latest</h2>
          <Feed happenings={happenings.value.slice(-15).reverse()} />
        </section>
      </div>
      <p class="quiet">For machines: <a href="metrics">/metrics</a>, <a href="readyz">/readyz</a>. The interface: <a href="docs/">/docs</a>.</p>
    </>
  );
}

function Sign(props: { good: boolean; yes: string; no: string }) {
  return props.good ? <span class="state is-active"><span aria-hidden="true">●</span> {props.yes}</span> : <span class="state is-failed"><span aria-hidden="true">✕</span> {props.no}</span>;
}

function Controllers(props: { of: Controller[] | null }) {
  const found = props.of;
  if (found === null) return <p class="quiet">Asking …</p>;
  if (!found.length) return <p class="quiet">No controller is configured: allocations are active at once. Add one with PUT /v1/controllers/{"{id}"} (<a href="docs/">/docs</a>).</p>;
  return (
    <Table
      name="controllers" label="Controllers" rows={found} whole id={(one) => one.id}
      columns={[
        { title: "Controller", cell: (one) => <>{one.id} <span class="quiet">{one.driver}</span></>, value: (one) => one.id },
        { title: "Topology", cell: (one) => one.topology, value: (one) => one.topology },
        { title: "State", cell: (one) => (one.reachable === undefined ? <State of="unknown" /> : <Sign good={one.reachable} yes="reached" no="not reached" />), value: (one) => String(one.reachable ?? "unknown") },
        { title: "Intended", number: true, cell: (one) => one.rules.intended, value: (one) => one.rules.intended },
        { title: "Installed", number: true, cell: (one) => one.rules.installed, value: (one) => one.rules.installed },
        { title: "Drifting", number: true, cell: (one) => one.rules.drifting, value: (one) => one.rules.drifting },
        { title: "Last error", cell: (one) => one.last_error ?? "", value: (one) => one.last_error ?? undefined },
      ]}
    />
  );
}

function Broker(props: { numbers: Map<string, number> | null }) {
  const found = [...(props.numbers ?? [])].filter(([name]) => /^watermaster_(mqtt|broker)_/.test(name) && !/_bucket|\{/.test(name));
  if (!props.numbers) return <p class="quiet">Asking …</p>;
  if (!found.length) return <p class="quiet">No broker runs in this process.</p>;
  return <dl>{found.slice(0, 20).map(([name, value]) => <><dt>{name.replace(/^watermaster_/, "").replace(/_/g, " ")}</dt><dd>{value.toLocaleString("en")}</dd></>)}</dl>;
}

function Average(props: { numbers: Map<string, number> | null; name: string; title: string }) {
  const sum = props.numbers?.get(`watermaster_${props.name}_sum`);
  const number = props.numbers?.get(`watermaster_${props.name}_count`);
  return <><dt>{props.title}</dt><dd>{sum !== undefined && number ? `${((sum / number) * 1000).toFixed(2)} ms on average, ${number.toLocaleString("en")} times` : "not yet"}</dd></>;
}

function Requests(props: { numbers: Map<string, number> | null }) {
  const by = new Map<string, number>();
  for (const [name, value] of props.numbers ?? []) {
    const outcome = /^watermaster_admission_requests_total\{.*outcome="(\w+)"/.exec(name)?.[1];
    if (outcome) by.set(outcome, (by.get(outcome) ?? 0) + value);
  }
  if (!props.numbers) return <p class="quiet">Asking …</p>;
  if (!by.size) return <p class="quiet">None since the service started.</p>;
  return <dl>{[...by].map(([outcome, value]) => <><dt>{outcome}</dt><dd>{value.toLocaleString("en")}</dd></>)}</dl>;
}

/** Prometheus text: name with labels → value. */
function read(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
}
