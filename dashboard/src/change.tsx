// A change of one allocation: its bandwidth, its times and its protection, previewed as one and sent exactly so.
import { useState } from "preact/hooks";
import { ask, type Allocation, type AllocationOutcome, type AllocationUpdate } from "./api";
import { Ask, Failure, PathText, say, Victims } from "./parts";
import { AGAINST, DISJOINT, instant, isDisjointness, wall } from "./request";
import { dateAndTime, parseRate, rate } from "./units";

export function isUnprotected(one: Allocation): boolean {
  return Boolean(one.protection && !one.backup_path && !one.ended_at);
}

/** What the form holds of it. */
function fieldsOf(one: Allocation) {
  return {
    bandwidth: String(one.bandwidth_bps),
    starts: one.starts_at ? wall(one.starts_at) : "",
    ends: one.expires_at ? wall(one.expires_at) : "",
    protect: one.protection ? (one.protection.disjoint ?? "link") : "",
    backup: one.protection?.kind ?? "dedicated",
  };
}

type Fields = ReturnType<typeof fieldsOf>;

/** What differs from what it has; a backup path that it lacks is asked for in any case. */
function updateOf(one: Allocation, fields: Fields): AllocationUpdate {
  const had = fieldsOf(one);
  const bps = parseRate(fields.bandwidth);
  const { protect, backup } = fields;
  const isProtectionChanged = protect !== had.protect || (protect !== "" && backup !== had.backup) || isUnprotected(one);
  const asked = isDisjointness(protect) ? { ...one.protection, kind: backup, disjoint: protect, revertive: one.protection?.revertive ?? true } : null;
  return {
    ...(bps !== null && bps !== one.bandwidth_bps ? { bandwidth_bps: bps } : {}),
    ...(fields.starts !== had.starts ? { starts_at: instant(fields.starts) ?? null } : {}),
    ...(fields.ends !== had.ends ? { expires_at: instant(fields.ends) ?? null } : {}),
    ...(isProtectionChanged ? { protection: asked } : {}),
  };
}

/** What was previewed is what is sent. */
export function Change(props: { one: Allocation; close: () => void }) {
  const { one } = props;
  const [fields, setFields] = useState(fieldsOf(one));
  const [would, setWould] = useState<{ sent: string; outcome: AllocationOutcome } | null>(null);
  const [error, setError] = useState<unknown>(null);
  const bps = parseRate(fields.bandwidth);
  const update = updateOf(one, fields);
  const text = JSON.stringify(update);
  const run = async (dry: boolean) => {
    try {
      const { body } = await ask<AllocationOutcome>("PATCH", `/v1/allocations/${one.id}${dry ? "?dry_run=true" : ""}`, update);
      setError(null);
      if (dry) return setWould({ sent: text, outcome: body });
      say(`Allocation ${one.id} has ${rate(body.bandwidth_bps)} ${body.expires_at ? `until ${dateAndTime(body.expires_at)}` : "now"}.`);
      props.close();
    } catch (failed) {
      setWould(null);
      setError(failed);
    }
  };
  const shown = would?.sent === text ? would.outcome : null;
  const field = (name: keyof Fields) => ({ value: fields[name], onInput: (event: { currentTarget: HTMLInputElement }) => setFields({ ...fields, [name]: event.currentTarget.value }) });
  const choice = (name: keyof Fields) => ({ value: fields[name], onChange: (event: { currentTarget: HTMLSelectElement }) => setFields({ ...fields, [name]: event.currentTarget.value }) });
  return (
    <Ask title={`Change allocation ${one.id}`} close={props.close}>
      <form class="filters" onSubmit={(event) => (event.preventDefault(), void run(true))}>
        <label>New bandwidth <input {...field("bandwidth")} aria-invalid={bps === null} /></label>
        {one.starts_at ? <label>Starts <input type="datetime-local" {...field("starts")} /></label> : null}
        <label>Ends <input type="datetime-local" {...field("ends")} /></label>
        <label>Protect <select {...choice("protect")}><option value="">no</option>{DISJOINT.map((kind) => <option value={kind}>{AGAINST[kind]}</option>)}</select></label>
        {fields.protect ? <label>Backup <select {...choice("backup")}><option value="dedicated">its own</option><option value="shared">shared with others</option></select></label> : null}
        <button disabled={bps === null || text === "{}"}>What would happen?</button>
      </form>
      <p class="quiet">It has {rate(one.bandwidth_bps)}{one.expires_at ? ` until ${dateAndTime(one.expires_at)}` : ", without an end"}. Write 500M, 2.5G or bit/s; without an end it lasts until it is released.</p>
      {error ? <Failure error={error} /> : null}
      {shown ? <><Victims effects={shown} would /><p>Path: <PathText path={shown.path} /></p>{shown.backup_path ? <p>Backup path: <PathText path={shown.backup_path} /></p> : null}</> : null}
      <div class="buttons">
        <button class="primary" disabled={!shown} onClick={() => shown && run(false)}>Change</button> <button onClick={props.close}>Cancel</button>
      </div>
    </Ask>
  );
}
