// Which view is shown: the part of the address behind the #, so that every view can be linked to and gone back from.
import { computed, signal } from "@preact/signals";

export interface Route {
  view: string;
  /** What the view is about, such as a link's name. */
  of: string | null;
  query: URLSearchParams;
}

const hash = signal(location.hash);
window.addEventListener("hashchange", () => (hash.value = location.hash));

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

export function href(view: string, of?: string, query?: Record<string, string>): string {
  const tail = query && Object.keys(query).length ? `?${new URLSearchParams(query)}` : "";
  return `#/${view}${of === undefined ? "" : `/${encodeURIComponent(of)}`}${tail}`;
}

export function go(view: string, of?: string, query?: Record<string, string>): void {
  location.hash = href(view, of, query);
}
