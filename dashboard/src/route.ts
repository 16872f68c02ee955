// Which view is shown: the part of the address behind the #, so that every view can be linked to and gone back from. The
// topology is in it, and so is every filter: two people who share an address see the same.
import { computed, signal } from "@preact/signals";

export interface Route {
  view: string;
  /** What the view is about, such as a link's name. */
  of: string | null;
  query: URLSearchParams;
}

const hash = signal(location.hash);
let timer: number | undefined;
let written = 0;
/** Browsers refuse an address that changes with every step of a slider. */
const WRITE_EVERY_MS = 200;

window.addEventListener("hashchange", () => {
  window.clearTimeout(timer);
  hash.value = location.hash;
});

export const route = computed<Route>(() => {
  const [path = "", query = ""] = hash.value.replace(/^#\/?/, "").split("?");
  const [view = "", of] = path.split("/");
  return { view: view || "map", of: of ? decode(of) : null, query: new URLSearchParams(query) };
});

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a view: in the topology that is shown, unless the query names another. */
export function href(view: string, of?: string, query: Record<string, string> = {}): string {
  const topology = query.topology ?? route.value.query.get("topology");
  const tail = new URLSearchParams({ ...(topology ? { topology } : {}), ...query }).toString();
  return `#/${view}${of === undefined ? "" : `/${encodeURIComponent(of)}`}${tail ? `?${tail}` : ""}`;
}

export function go(view: string, of?: string, query?: Record<string, string>): void {
  location.hash = href(view, of, query);
}

/** Changes parts of the query in place: what is typed or dragged is no step to go back to. */
export function adjust(changes: Record<string, string | null>): void {
  const { view, of, query } = route.peek();
  const next: Record<string, string> = Object.fromEntries(query);
  for (const [name, value] of Object.entries(changes)) {
    if (value !== null) next[name] = value;
    else delete next[name];
  }
  const to = href(view, of ?? undefined, next);
  if (to === hash.peek()) return;
  hash.value = to;
  window.clearTimeout(timer);
  const wait = written + WRITE_EVERY_MS - Date.now();
  if (wait <= 0) write();
  else timer = window.setTimeout(write, wait);
}

function write(): void {
  written = Date.now();
  history.replaceState(null, "", hash.peek());
}

/** One part of the query, as a value and how it is set. */
export function param(name: string, fallback = ""): [string, (value: string) => void] {
  return [route.value.query.get(name) ?? fallback, (value) => adjust({ [name]: value || fallback ? value : null })];
}
