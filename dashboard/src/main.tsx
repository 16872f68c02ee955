// The frame: which view, which topology, whether the page is live. Keys: g then a letter goes to a view.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Aggregators } from "./aggregators";
import { Alerts, open } from "./alerts";
import { Allocations } from "./allocations";
import { Calendar } from "./calendar";
import { Events } from "./events";
import { Health } from "./health";
import { LinkView } from "./link";
import { choose, connection, lostAt, retry, start, topologies, topology, trouble } from "./live";
import { MapView } from "./map";
import { Empty, said } from "./parts";
import { Plans } from "./plans";
import { go, href, route } from "./route";
import { Search } from "./search";
import { may, openSession, signedOut, SignIn, Who } from "./session";
import { theme, type Theme } from "./theme";
import { Topologies } from "./topologies";
import { clock } from "./units";
import { WhatIf } from "./whatif";
import "uplot/dist/uPlot.min.css";
import "./style.css";

const VIEWS: { view: string; name: string; key: string; needs?: "request" | "operate"; /** Other views lead there. */ aside?: true }[] = [
  { view: "map", name: "Map", key: "m" },
  { view: "link", name: "Link", key: "l" },
  { view: "allocations", name: "Allocations", key: "a" },
  { view: "calendar", name: "Calendar", key: "c" },
  { view: "what-if", name: "What-if", key: "w", needs: "request" },
  { view: "plans", name: "Plans", key: "p", needs: "operate" },
  { view: "aggregators", name: "Aggregators", key: "g" },
  { view: "topologies", name: "Topologies", key: "t" },
  { view: "alerts", name: "Alerts", key: "x" },
  { view: "events", name: "Events", key: "e", aside: true },
  { view: "health", name: "Health", key: "h" },
];

function offered(one: (typeof VIEWS)[number]): boolean {
  return !one.needs || may(one.needs);
}

/** Views that need no topology. */
const WITHOUT = ["topologies", "health"];

function View() {
  const { view, query } = route.value;
  const asked = query.get("topology");
  const known = topologies.value?.map((one) => one.topology);
  if (asked && known?.length && !known.includes(asked) && !WITHOUT.includes(view))
    return (
      <Empty title={`There is no topology ${asked}`}>
        <p>There is {known.slice(0, 20).map((name, at) => <>{at ? ", " : ""}<a href={href("map", undefined, { topology: name })}>{name}</a></>)}.</p>
      </Empty>
    );
  switch (view) {
    case "alerts": return <Alerts />;
    case "link": return <LinkView />;
    case "allocations": return <Allocations />;
    case "calendar": return <Calendar />;
    case "what-if": return <WhatIf />;
    case "plans": return <Plans />;
    case "aggregators": return <Aggregators />;
    case "topologies": return <Topologies />;
    case "events": return <Events />;
    case "health": return <Health />;
    default: return <MapView />;
  }
}

function Frame() {
  const { view } = route.value;
  const isOut = signedOut.value !== null;
  useEffect(() => {
    const name = VIEWS.find((one) => one.view === view)?.name ?? "Map";
    document.title = `${name} · Watermaster`;
  }, [view]);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), document.getElementById("main")?.focus())}>Skip to content</a>
      <header>
        <a class="brand" href={href("map")} aria-label="Watermaster, to the map">
          <svg viewBox="0 0 32 22" aria-hidden="true">
            <path d="M3 4c5-5 8 5 13 0s8 5 13 0M3 11c5-5 8 5 13 0s8 5 13 0M3 18c5-5 8 5 13 0s8 5 13 0" />
          </svg>
          <span>Watermaster</span>
        </a>
        <nav aria-label="Views">
          {VIEWS.filter((one) => offered(one) && !one.aside).map((one) => (
            <a href={href(one.view)} aria-current={one.view === view ? "page" : undefined} title={`g ${one.key}`}>{one.name}{one.view === "alerts" && open.value.length ? <span class="badge">{open.value.length}</span> : null}</a>
          ))}
        </nav>
        <Search />
        <label class="topology-choice">
          <span class="hidden">Topology</span>
          <select value={topology.value ?? ""} onChange={(event) => choose(event.currentTarget.value)}>
            {(topologies.value ?? []).map((one) => <option value={one.topology}>{one.topology}</option>)}
          </select>
        </label>
        <Who />
        <Look />
        <Pulse />
      </header>
      {isOut ? null : <Lost />}
      <main id="main" tabIndex={-1} class={`view-${view}`}>{isOut ? <SignIn done={retry} /> : <View />}</main>
      <div class="said" role="status" aria-live="polite">
        {said.value ? <p class={said.value.bad ? "bad" : ""}>{said.value.text}{said.value.undo ? <button onClick={said.value.undo}>Undo</button> : null}</p> : null}
      </div>
    </>
  );
}

const LOOKS: Record<Theme, { next: Theme; sign: string }> = { auto: { next: "dark", sign: "◐" }, dark: { next: "light", sign: "●" }, light: { next: "auto", sign: "○" } };

function Look() {
  const { next, sign } = LOOKS[theme.value];
  return <button class="look" aria-label={`Colours: ${theme.value}. Change to ${next}`} title={`Colours: ${theme.value}`} onClick={() => (theme.value = next)}>{sign}</button>;
}

function Pulse() {
  const words = { connecting: "◌ connecting", live: "● live", lost: "✕ offline" };
  return <span class={`pulse is-${connection.value}`} role="status">{words[connection.value]}</span>;
}

function Lost() {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = window.setInterval(() => tick((count) => count + 1), 1_000);
    return () => window.clearInterval(timer);
  }, []);
  if (connection.value !== "lost") return null;
  const since = lostAt.value ? Math.round((Date.now() - lostAt.value) / 1_000) : 0;
  return (
    <div class="lost" role="alert">
      <strong>The server does not answer.</strong> What you see is from {lostAt.value ? clock(lostAt.value) : "before"}
      {since > 2 ? ` (${since} s ago)` : ""}; nothing can be changed. This page keeps trying.
      {trouble.value ? <> It last said: {trouble.value}</> : null} <button onClick={retry}>Try now</button>
    </div>
  );
}

/** "g" and then the letter of a view, while no field has the focus. */
function keys(): void {
  let armed = false;
  window.addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, textarea, dialog")) return;
    if (armed) {
      armed = false;
      const found = VIEWS.find((one) => one.key === event.key && offered(one));
      if (found) go(found.view);
    } else if (event.key === "g") {
      armed = true;
      window.setTimeout(() => (armed = false), 1_500);
    }
  });
}

keys();
void openSession().then(start);
render(<Frame />, document.getElementById("app")!);
