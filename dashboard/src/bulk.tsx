// What is done to many at once: allocations are released, or moved off a link; links are drained. What it would do is shown first.
import { useEffect, useState } from "preact/hooks";
import { ask, ofLink, ofTopology, Refused, type Allocation, type AllocationOutcome, type AllocationUpdate, type Link, type MaintenanceOutcome } from "./api";
import { byName } from "./live";
import { Ask, ClassMark, Failure, LinkName, NAMED, NodeName, PathText, say, Stranded } from "./parts";
import { Table } from "./table";
import { bookAgain } from "./undo";
import { count, rate } from "./units";

/** So many that failed are named. */
const NAMED_MAX = 20;
const HOUR_MS = 3_600_000;

export function sum(of: Allocation[]): string {
  return rate(of.reduce((total, one) => total + one.bandwidth_bps, 0));
}

/** Releases one, or many one after the other; those that could not be are named. */
export function Release(props: { of: Allocation[]; close: () => void }) {
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const [only] = props.of.length === 1 ? props.of : [];
  const release = async () => {
    setBusy(true);
    const failed: string[] = [];
    const released: Allocation[] = [];
    let last: unknown;
    for (const one of props.of)
      await ask("DELETE", `/v1/allocations/${one.id}`).then(() => released.push(one), (error) => {
        // One that is gone already is as wanted, and not to be booked again by an undo.
        if (!(error instanceof Refused && error.status === 404)) (failed.push(one.id), (last = error));
      });
    setBusy(false);
    if (released.length) say(only ? `Allocation ${only.id} is released.` : `${count(released.length, "allocation")} ${released.length === 1 ? "is" : "are"} released: ${sum(released)}.`, false, () => undo(released));
    if (failed.length) return setError(props.of.length === 1 ? last : new Error(`${count(failed.length, "allocation")} could not be released: ${failed.slice(0, NAMED_MAX).join(", ")}. ${String((last as Error).message)}`));
    props.close();
  };
  return (
    <Ask title={only ? `Release allocation ${only.id}?` : `Release ${count(props.of.length, "allocation")}?`} close={props.close}>
      {only ? <p>{called(only)}{rate(only.bandwidth_bps)} from <NodeName of={only.ingress} /> to <NodeName of={only.egress} /> will be free again. Its traffic loses its reservation at once.</p> : (
        <>
          <p><strong>{sum(props.of)}</strong> will be free again. Their traffic loses its reservations at once.</p>
          <ul class="feed tall" tabIndex={0}>{props.of.map((one) => <li>{one.id}: {called(one)}<NodeName of={one.ingress} /> → <NodeName of={one.egress} />, {rate(one.bandwidth_bps)}</li>)}</ul>
        </>
      )}
      {error ? <Failure error={error} /> : null}
      <div class="buttons"><button class="primary" disabled={busy} onClick={release}>Release</button> <button onClick={props.close}>Keep {only ? "it" : "them"}</button></div>
    </Ask>
  );
}

/** "ACME east, ACME Industries: ". */
function called(one: Allocation): string {
  const words = [one.name, one.customer].filter(Boolean).join(", ");
  return words ? `${words}: ` : "";
}

/** Books again what was released, all of it or nothing. */
async function undo(released: Allocation[]): Promise<void> {
  say("Booking again …");
  try {
    const made = await bookAgain(released);
    say(made.length === 1 ? `It is booked again, as allocation ${made[0]}.` : `${count(made.length, "allocation")} are booked again.`);
  } catch (error) {
    say(error instanceof Error ? error.message : String(error), true);
  }
}

/** What becomes of one that is to leave a link: another path, or why there is none. */
interface Move {
  one: Allocation;
  path?: string[];
  why?: string;
}

/** Its constraints as they are now, and that it keeps off both directions of a link. */
async function off(one: Allocation, link: Link): Promise<AllocationUpdate> {
  const { body: now } = await ask<Allocation>("GET", `/v1/allocations/${one.id}`);
  const had = (now.constraints ?? {}) as NonNullable<AllocationUpdate["constraints"]>;
  const links = [link.link, ...(link.twin ? [link.twin] : [])].map((name) => ({ link: name }));
  return { constraints: { ...had, exclude: [...(had.exclude ?? []), ...links] } };
}

async function tryMove(one: Allocation, link: Link): Promise<Move> {
  try {
    const { body } = await ask<AllocationOutcome>("PATCH", `/v1/allocations/${one.id}?dry_run=true`, await off(one, link));
    return body.victims.length ? { one, why: "Another allocation would lose by it." } : { one, path: body.path };
  } catch (error) {
    return { one, why: error instanceof Error ? error.message : String(error) };
  }
}

/** Moves allocations off a link, each where that takes nothing from another. They keep off it until that is lifted. */
export function MoveOff(props: { of: Allocation[]; link: Link; close: () => void }) {
  const { link } = props;
  const [moves, setMoves] = useState<Move[] | null>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    let current = true;
    const tryAll = async () => {
      const found: Move[] = [];
      for (const one of props.of) if (current) found.push(await tryMove(one, link));
      if (current) setMoves(found);
    };
    void tryAll();
    return () => void (current = false);
  }, []);
  const movable = moves?.filter((move) => move.path) ?? [];
  const staying = moves?.filter((move) => !move.path) ?? [];
  const run = async () => {
    setBusy(true);
    const moved: Allocation[] = [];
    for (const { one } of movable) {
      // What was true when it was tried may not be any more.
      if (!(await tryMove(one, link)).path) continue;
      const done = await off(one, link).then((update) => ask("PATCH", `/v1/allocations/${one.id}`, update)).then(() => true, () => false);
      if (!done) continue;
      moved.push(one);
    }
    say(`${count(moved.length, "allocation")} moved off ${link.link}: ${sum(moved)}.${moved.length < movable.length ? ` ${movable.length - moved.length} could not move any more.` : ""}`, moved.length < movable.length);
    props.close();
  };
  return (
    <Ask title={`Move ${count(props.of.length, "allocation")} off ${link.link}?`} close={props.close}>
      {moves ? (
        <>
          {staying.length ? <p class="bad"><strong>{count(staying.length, "allocation")} could not move</strong> and would stay: {sum(staying.map((move) => move.one))}.</p> : null}
          {movable.length ? <p>{count(movable.length, "allocation")} would move: {sum(movable.map((move) => move.one))}. Each was tried by itself, and none takes anything from another. They keep off this link until that is lifted, on the page of each.</p> : null}
          <Table
            name="moves-off" label="Allocations that are to move" rows={[...staying, ...movable]} whole id={(move) => move.one.id} links={(move) => move.path ?? move.one.path}
            columns={[
              { title: "Allocation", cell: (move) => move.one.id, value: (move) => Number(move.one.id) },
              ...(props.of.some((one) => one.name || one.customer) ? NAMED.map((column) => ({ title: column.title, cell: (move: Move) => column.cell(move.one), value: (move: Move) => column.value!(move.one) })) : []),
              { title: "Demand", cell: ({ one }) => <><NodeName of={one.ingress} /> → <NodeName of={one.egress} />, <ClassMark classType={one.class_type} /></>, value: ({ one }) => `${one.ingress} → ${one.egress}` },
              { title: "Bandwidth", number: true, cell: ({ one }) => rate(one.bandwidth_bps), value: ({ one }) => one.bandwidth_bps },
              { title: "New path", cell: ({ path, why }) => (path ? <PathText path={path} /> : <span class="bad">{why}</span>), value: ({ path, why }) => path?.join(" ") ?? why },
            ]}
          />
        </>
      ) : <p class="quiet">Trying …</p>}
      <div class="buttons"><button class="primary" disabled={busy || !movable.length} onClick={run}>Move {movable.length || ""}</button> <button onClick={props.close}>Leave them</button></div>
    </Ask>
  );
}

/** Drains links together: allocations that could not leave all of them come first. */
export function DrainMany(props: { topology: string; links: string[]; close: () => void }) {
  const [would, setWould] = useState<MaintenanceOutcome | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    const now = Date.now();
    const body = { links: props.links, starts_at: new Date(now).toISOString(), ends_at: new Date(now + HOUR_MS).toISOString() };
    ask<MaintenanceOutcome>("POST", ofTopology(props.topology, "/maintenances?dry_run=true"), body).then((answer) => setWould(answer.body), setError);
  }, []);
  // The other direction of a link shares its state.
  const each = props.links.filter((name, at) => !props.links.slice(0, at).includes(byName.value.get(name)?.twin ?? name));
  const drain = async () => {
    setBusy(true);
    try {
      for (const name of each) await ask("PATCH", ofLink(props.topology, name), { state: "maintenance" });
      say(`${each.join(", ")}: maintenance.`);
      props.close();
    } catch (failed) {
      setError(failed);
    }
    setBusy(false);
  };
  return (
    <Ask title={`Drain ${count(each.length, "link")}?`} close={props.close}>
      {would ? (
        <>
          {would.stranded.length ? <Stranded ids={would.stranded} /> : <p>Every allocation on them has another path.</p>}
          <ul class="feed tall" tabIndex={0}>{would.links.map((name) => <li><LinkName name={name} />: {count(byName.value.get(name)?.allocation_count ?? 0, "allocation")}, {rate(byName.value.get(name)?.reserved_bps ?? 0)}</li>)}</ul>
        </>
      ) : error ? null : <p class="quiet">Trying …</p>}
      {error ? <Failure error={error} /> : null}
      <div class="buttons"><button class="primary" disabled={busy || !would} onClick={drain}>Drain</button> <button onClick={props.close}>Leave them</button></div>
    </Ask>
  );
}
