// Events: what happened in the topology, the newest first, page by page.
import { get, type Happening } from "./api";
import { Feed } from "./feed";
import { topology } from "./live";
import { Empty, Failure } from "./parts";
import { useReading } from "./reading";
import { href, route } from "./route";

const PAGE = 100;

export function Events() {
  const after = route.value.query.get("after");
  const path = `/v1/events?order=desc&limit=${PAGE}&topology=${encodeURIComponent(topology.value ?? "")}${after ? `&after=${after}` : ""}`;
  const { value, error } = useReading(path, () => get<{ items: Happening[]; next?: string }>(path), () => 1_000);
  if (error && !value) return <Failure error={error} />;
  if (!value) return <Empty title="Loading the events …" />;
  return (
    <>
      <h1>Events</h1>
      <Feed happenings={value.items} />
      <div class="pages">
        {after ? <a href={href("events")}>Newest</a> : null}
        {value.next ? <a href={href("events", undefined, { after: value.next })}>Older</a> : null}
      </div>
    </>
  );
}
