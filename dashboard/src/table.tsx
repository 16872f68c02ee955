// One table for all: sorted by its columns where all rows are there, as CSV, with rows chosen for what is done to many. On a
// phone each row is a card, so that nothing has to be scrolled sideways.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { light } from "./live";
import { param } from "./route";

export interface Column<T> {
  title: string;
  cell: (row: T) => ComponentChildren;
  /** What it is sorted by, and what a CSV holds. A column without is for eyes only. */
  value?: (row: T) => string | number | undefined;
  number?: boolean;
  class?: string;
}

interface TableProps<T> {
  /** A short name: of the file, and of how it is sorted in the address. */
  name: string;
  label: string;
  columns: Column<T>[];
  rows: T[];
  id: (row: T) => string;
  /** All rows are here: they can be sorted without a lie. */
  whole?: boolean;
  /** So many are shown at most. */
  most?: number;
  /** So many are shown at first; the others when they are asked for. */
  fold?: number;
  /** What is said below: totals. */
  total?: ComponentChildren;
  /** Every row for a CSV, if there are more than are here. */
  every?: () => Promise<T[]>;
  /** It fits a phone as it is. */
  narrow?: boolean;
  /** The links of a row, lit while it is pointed at. */
  links?: (row: T) => string[];
  chosen?: ReadonlySet<string>;
  choose?: (chosen: ReadonlySet<string>) => void;
  can?: (row: T) => boolean;
}

export function Table<T>(props: TableProps<T>) {
  const { columns, name, id, chosen, choose } = props;
  const [sorting, setSorting] = param(`sort-${name}`);
  const [by, down] = sorting.startsWith("-") ? [sorting.slice(1), true] : [sorting, false];
  const column = columns.find((one) => one.title === by && one.value);
  const rows = props.whole && column ? sorted(props.rows, column, down) : props.rows;
  const [isOpen, setOpen] = useState(false);
  const most = Math.min(props.most ?? rows.length, rows.length);
  const shown = rows.slice(0, isOpen || !props.fold ? most : Math.min(most, props.fold));
  const able = shown.filter((row) => props.can?.(row) ?? true).map(id);
  const allChosen = able.length > 0 && able.every((one) => chosen?.has(one));
  const flip = (ids: string[], on: boolean) => choose?.(new Set(on ? [...chosen!, ...ids] : [...chosen!].filter((one) => !ids.includes(one))));
  const save = async () => download(`${name}.csv`, new Blob([csv(columns, props.every ? await props.every() : rows)], { type: "text/csv" }));
  return (
    <>
      <div class="tabled">
        <table aria-label={props.label} class={props.narrow ? "narrow" : "cards"}>
          <thead>
            <tr>
              {choose ? <th><input type="checkbox" aria-label="Choose all that are shown" checked={allChosen} disabled={!able.length} onChange={() => flip(able, !allChosen)} /></th> : null}
              {columns.map((one) => (
                <th class={one.number ? "number" : ""} aria-sort={one === column && props.whole ? (down ? "descending" : "ascending") : undefined}>
                  {props.whole && one.value ? (
                    // Numbers begin with the largest.
                    <button class="sort" onClick={() => setSorting(one === column ? (down === Boolean(one.number) ? `${one.number ? "" : "-"}${one.title}` : "") : `${one.number ? "-" : ""}${one.title}`)}>
                      {one.title}<span aria-hidden="true">{one === column ? (down ? " ▼" : " ▲") : ""}</span>
                    </button>
                  ) : one.title === "Actions" ? <span class="hidden">Actions</span> : one.title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((row) => {
              const on = props.links ? () => light(props.links!(row)) : undefined;
              return (
                <tr key={id(row)} onMouseEnter={on} onFocusIn={on} onMouseLeave={on && (() => light())} aria-selected={choose ? chosen!.has(id(row)) : undefined}>
                  {choose ? <td class="pick"><input type="checkbox" aria-label={`Choose ${id(row)}`} checked={chosen!.has(id(row))} disabled={!able.includes(id(row))} onChange={(event) => flip([id(row)], event.currentTarget.checked)} /></td> : null}
                  {columns.map((one) => <td data-title={one.title} class={`${one.number ? "number" : ""} ${one.class ?? ""}`}><div>{one.cell(row)}</div></td>)}
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      <p class="totals">
        {shown.length < rows.length ? <>The first {shown.length.toLocaleString("en")} of {rows.length.toLocaleString("en")}. </> : null}
        {shown.length < most ? <><button class="small" onClick={() => setOpen(true)}>Show {most < rows.length ? most.toLocaleString("en") : "all"}</button>{" "}</> : null}
        {props.total} {columns.some((one) => one.value) ? <button class="small" onClick={save}>CSV</button> : null}
      </p>
    </>
  );
}

function sorted<T>(rows: T[], column: Column<T>, down: boolean): T[] {
  const order = (one: T, two: T) => {
    const [a, b] = [column.value!(one) ?? "", column.value!(two) ?? ""];
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  };
  return [...rows].sort((one, two) => (down ? order(two, one) : order(one, two)));
}

export function csv<T>(columns: Pick<Column<T>, "title" | "value">[], rows: T[]): string {
  const written = columns.filter((one) => one.value);
  const line = (values: (string | number)[]) => values.map(field).join(",");
  return [line(written.map((one) => one.title)), ...rows.map((row) => line(written.map((one) => one.value!(row) ?? "")))].join("\r\n") + "\r\n";
}

/** RFC 4180; and what a spreadsheet would take for a formula is a text. */
function field(value: string | number): string {
  const text = typeof value === "string" && /^[=+\-@\t]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

export function download(name: string, content: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
