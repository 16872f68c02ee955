// The bandwidth model: which, and what each class may have. What a change would do is shown before it can be made.
import { useState } from "preact/hooks";
import { ask, ofTopology, type Model, type ModelName, type ModelOutcome } from "./api";
import { model, topologies, topology } from "./live";
import { ClassMark, Failure, outcomes, say, Victims } from "./parts";
import { may } from "./session";
import { count, MODEL_WORDS } from "./units";

const WORDS: Record<ModelName, string> = {
  mam: "each class has its share and no more (RFC 4125)",
  rdm: "lower classes may use what higher ones leave (RFC 4127)",
  gbam: "each class lends as much as it says, either way",
  atcs: "every class may use what any other leaves",
};

interface Row {
  class_type: number;
  share: string;
  down: string;
  up: string;
  overbooking_ppm: number;
}

export function ModelEditor() {
  if (model.value?.topology !== topology.value || !model.value) return <p class="quiet">Loading the model …</p>;
  // A new revision is a new form.
  return <Form key={`${model.value.topology}/${model.value.model.revision}`} is={model.value.model} etag={model.value.etag} />;
}

function Form(props: { is: Model; etag: string | null }) {
  const { is } = props;
  const [name, setName] = useState<ModelName>(is.model);
  const [rows, setRows] = useState<Row[]>(() => (is.classes ?? []).map((one) => ({
    class_type: one.class_type, share: String(one.share_ppm / 10_000), down: String((one.high_to_low_ppm ?? 0) / 10_000),
    up: String((one.low_to_high_ppm ?? 0) / 10_000), overbooking_ppm: one.overbooking_ppm ?? 1_000_000,
  })));
  const [soft, setSoft] = useState(false);
  const [would, setWould] = useState<ModelOutcome | null>(null);
  const [error, setError] = useState<unknown>(null);
  const sum = rows.reduce((total, row) => total + Number(row.share), 0);
  const good = rows.length > 0 && rows.every((row) => [row.share, row.down, row.up].every((text) => Number(text) >= 0 && Number(text) <= 100 && text !== "")) && sum > 0;
  const change = (at: number, part: Partial<Row>) => {
    setWould(null);
    setRows(rows.map((row, place) => (place === at ? { ...row, ...part } : row)));
  };
  const document = () => {
    const { revision: _, ...rest } = is;
    const te = name === is.model ? rest.te_classes : [];
    return {
      ...rest, model: name, te_classes: te,
      link_overrides: name === is.model ? rest.link_overrides : [],
      classes: rows.map((row) => ({
        class_type: row.class_type, share_ppm: Math.round(Number(row.share) * 10_000), overbooking_ppm: row.overbooking_ppm,
        high_to_low_ppm: Math.round(Number(row.down) * 10_000), low_to_high_ppm: Math.round(Number(row.up) * 10_000),
      })),
    };
  };
  const run = async (dry: boolean) => {
    const query = new URLSearchParams({ ...(dry ? { dry_run: "true" } : {}), ...(soft ? { soft: "true" } : {}) });
    try {
      const { body } = await ask<ModelOutcome>("PUT", `${ofTopology(topology.value!, "/bandwidth-model")}?${query}`, document(), dry ? {} : { "if-match": props.etag ?? "*" });
      setError(null);
      if (dry) return setWould(body);
      setWould(null);
      say(`${topology.value} is under ${MODEL_WORDS[body.model]} now. ${outcomes(body.victims) || "No allocation was touched"}.`);
    } catch (failed) {
      setWould(null);
      setError(failed);
    }
  };
  const next = Math.min(...[0, 1, 2, 3, 4, 5, 6, 7].filter((one) => !rows.some((row) => row.class_type === one)), 8);
  return (
    <form onSubmit={(event) => (event.preventDefault(), void run(true))}>
      <fieldset class="models">
        <legend>Model of {topology.value}</legend>
        {(Object.keys(WORDS) as ModelName[]).map((one) => (
          <label class="radio">
            <input type="radio" name="model" checked={name === one} onChange={() => (setName(one), setWould(null))} />
            <span><strong>{MODEL_WORDS[one]}</strong>{one === is.model ? <span class="badge">in force</span> : null}: {WORDS[one]}</span>
          </label>
        ))}
      </fieldset>
      <table class="tight">
        <thead>
          <tr><th>Class</th><th>Private share, %</th>{name === "gbam" ? <><th>lends down, %</th><th>lends up, %</th></> : null}<th><span class="hidden">Remove</span></th></tr>
        </thead>
        <tbody>
          {rows.map((row, at) => (
            <tr key={row.class_type}>
              <td><ClassMark classType={row.class_type} long /></td>
              <td><Percent label={`Share of CT${row.class_type}`} value={row.share} set={(share) => change(at, { share })} /></td>
              {name === "gbam" ? (
                <>
                  <td><Percent label={`CT${row.class_type} lends to lower classes`} value={row.down} set={(down) => change(at, { down })} /></td>
                  <td><Percent label={`CT${row.class_type} lends to higher classes`} value={row.up} set={(up) => change(at, { up })} /></td>
                </>
              ) : null}
              <td>{rows.length > 1 ? <button type="button" aria-label={`Remove CT${row.class_type}`} onClick={() => (setRows(rows.filter((_, place) => place !== at)), setWould(null))}>Remove</button> : null}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class={Math.abs(sum - 100) < 0.01 ? "quiet" : "bad"}>
        Shares sum to {sum.toFixed(sum % 1 ? 2 : 0)} %.{Math.abs(sum - 100) < 0.01 ? "" : " They will be scaled to 100 %."}{" "}
        {next < 8 ? <button type="button" onClick={() => (setRows([...rows, { class_type: next, share: "0", down: "0", up: "0", overbooking_ppm: 1_000_000 }].sort((one, two) => one.class_type - two.class_type)), setWould(null))}>Add CT{next}</button> : null}
      </p>
      <label class="radio"><input type="checkbox" checked={soft} onChange={(event) => (setSoft(event.currentTarget.checked), setWould(null))} /> <span>Softly: who is there may end by themselves, even where the new model has no room for them</span></label>
      <div class="buttons">
        <button disabled={!good}>What would it do?</button>
        <button type="button" class="primary" disabled={!would || !may("operate")} onClick={() => run(false)}>Put it in force</button>
      </div>
      {error ? <Failure error={error} /> : null}
      {would ? (
        <div class="verdict" aria-live="polite">
          <h3>Under {MODEL_WORDS[would.model]}, of {count(topologies.value?.find((one) => one.topology === topology.value)?.allocations ?? 0, "allocation")}</h3>
          {would.warnings.map((warning) => <p class="bad">{warning}</p>)}
          <div class="scroll"><Victims effects={would} would /></div>
        </div>
      ) : null}
    </form>
  );
}

function Percent(props: { label: string; value: string; set: (value: string) => void }) {
  return <input type="number" min="0" max="100" step="0.0001" aria-label={props.label} value={props.value} onInput={(event) => props.set(event.currentTarget.value)} />;
}
