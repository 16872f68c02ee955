// One box to find anything by: nodes and cities, links, allocations. "/" or Ctrl-K leads to it from anywhere.
import { useEffect, useRef, useState } from "preact/hooks";
import { get, type Allocation, type AllocationPage } from "./api";
import { cityOf, layout, links, topology } from "./live";
import { citiesOf } from "./parts";
import { go } from "./route";
import { rate } from "./units";

interface Found {
  kind: "node" | "link" | "allocation";
  id: string;
  words: string;
}

const SHOWN = 12;
const SETTLED_MS = 150;

/** What begins with the text comes before what has it somewhere. */
function among(text: string): Found[] {
  const wanted = text.toLowerCase();
  const rank = (...names: (string | null | undefined)[]) => {
    const lower = names.map((name) => name?.toLowerCase() ?? "");
    return lower.some((name) => name === wanted) ? 0 : lower.some((name) => name.startsWith(wanted)) ? 1 : lower.some((name) => name.includes(wanted)) ? 2 : 3;
  };
  const nodes = (layout.peek()?.layout.nodes ?? []).map((node) => ({ at: rank(node.node, node.label), kind: "node" as const, id: node.node, words: cityOf(node.node) ?? "" }));
  const found = (links.peek()?.links ?? []).map((link) => {
    const cities = citiesOf(link.link);
    const joined = rank(cities, `${link.from} ${link.to}`, `${link.from} → ${link.to}`);
    return { at: Math.min(rank(link.link), joined === 3 ? 3 : joined + 1), kind: "link" as const, id: link.link, words: cities ?? `${link.from} → ${link.to}` };
  });
  return [...nodes, ...found].filter((one) => one.at < 3).sort((one, two) => one.at - two.at).slice(0, SHOWN);
}

/** Allocations are the server's to find: by id, and by how their name or customer begins. */
async function allocations(text: string): Promise<Found[]> {
  const listed = (part: string) => {
    const query = new URLSearchParams({ [part]: `${text}*`, limit: String(SHOWN), ...(topology.peek() ? { topology: topology.peek()! } : {}) });
    return get<AllocationPage>(`/v1/allocations?${query}`).then((page) => page.items, () => []);
  };
  const byId = /^\d{1,18}$/.test(text) ? get<Allocation>(`/v1/allocations/${text}`).then((one) => [one], () => []) : [];
  const all = (await Promise.all([byId, listed("name"), listed("customer")])).flat();
  const words = (one: Allocation) => [one.name, one.customer, `${one.ingress} → ${one.egress}`, rate(one.bandwidth_bps), one.state].filter(Boolean).join(", ");
  return [...new Map(all.map((one): [string, Found] => [one.id, { kind: "allocation", id: one.id, words: words(one) }])).values()];
}

function open(one: Found): void {
  if (one.kind === "node") go("map", undefined, { ingress: one.id, node: one.id });
  else go(one.kind === "link" ? "link" : "allocations", one.id);
}

export function Search() {
  const box = useRef<HTMLInputElement>(null);
  const [text, setText] = useState("");
  const [found, setFound] = useState<Found[] | null>(null);
  const [at, setAt] = useState(0);
  useEffect(() => {
    const end = new AbortController();
    window.addEventListener("keydown", (event) => {
      const isSlash = event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !(event.target as HTMLElement).closest("input, select, textarea, dialog");
      if (!isSlash && !(event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey))) return;
      event.preventDefault();
      box.current?.focus();
      box.current?.select();
    }, { signal: end.signal });
    return () => end.abort();
  }, []);
  useEffect(() => {
    const wanted = text.trim();
    setAt(0);
    if (!wanted) return setFound(null);
    let current = true;
    const here = among(wanted);
    setFound(here);
    const timer = window.setTimeout(() => void allocations(wanted).then((more) => current && more.length && setFound([...more, ...here].slice(0, SHOWN))), SETTLED_MS);
    return () => ((current = false), window.clearTimeout(timer));
  }, [text, topology.value]);
  const choose = (one: Found | undefined) => {
    if (!one) return;
    setText("");
    box.current?.blur();
    open(one);
  };
  const key = (event: KeyboardEvent) => {
    const last = (found?.length ?? 0) - 1;
    if (event.key === "ArrowDown") setAt(Math.min(last, at + 1));
    else if (event.key === "ArrowUp") setAt(Math.max(0, at - 1));
    else if (event.key === "Enter") choose(found?.[at]);
    else if (event.key === "Escape") (setText(""), box.current?.blur());
    else return;
    event.preventDefault();
  };
  return (
    <div class="search" role="search" onFocusOut={(event) => event.currentTarget.contains(event.relatedTarget as Node | null) || setFound(null)}>
      <input
        ref={box} value={text} type="search" list={undefined} role="combobox" aria-label="Find a node, city, link or allocation" aria-expanded={Boolean(found)} aria-controls="found" aria-autocomplete="list"
        aria-activedescendant={found?.[at] ? `found-${at}` : undefined} placeholder="Find …  /" title="/ or Ctrl-K" autocomplete="off" spellcheck={false}
        onInput={(event) => setText(event.currentTarget.value)} onKeyDown={key}
      />
      <ul id="found" role="listbox" aria-label="Found" hidden={!found}>
        {found?.map((one, place) => (
          <li id={`found-${place}`} role="option" aria-selected={place === at} onPointerDown={(event) => (event.preventDefault(), choose(one))} onPointerMove={() => setAt(place)}>
            <span class="badge">{one.kind}</span> {one.id} <span class="quiet">{one.words}</span>
          </li>
        ))}
        {found && !found.length ? <li class="quiet">Nothing is called that.</li> : null}
      </ul>
    </div>
  );
}
