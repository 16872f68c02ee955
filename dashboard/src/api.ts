// The client of /v1: what is fetched, and what a refusal says. Types come from the OpenAPI document.
import type { components } from "./schema";

type Schemas = components["schemas"];
export type Link = Schemas["Link"];
export type AggregatorHistory = Schemas["AggregatorHistory"];
export type LinkHistoryAnswer = Schemas["LinkHistoryAnswer"];
export type TopologyHistory = Schemas["TopologyHistoryAnswer"];
export type LinkOutcome = Schemas["LinkOutcome"];
/** One that is there has an id; only what a dry run answers has none. */
export type Allocation = Schemas["Allocation"] & { id: string };
export type AllocationOutcome = Schemas["AllocationOutcome"];
export type AllocationPage = Omit<Schemas["AllocationPage"], "items"> & { items: Allocation[] };
export type AllocationUpdate = Schemas["AllocationUpdate"];
export type AllocationRequest = Schemas["AllocationRequest"];
export type BatchOutcome = Schemas["BatchOutcome"];
export type Availability = Schemas["AvailabilityAnswer"];
export type AllocationState = Schemas["AllocationState"];
export type Effects = Schemas["Effects"];
export type Victim = Schemas["Victim"];
export type Layout = Schemas["TopologyLayout"];
export type Summary = Schemas["TopologySummary"];
export type Upload = Schemas["TopologyOutcome"];
export type Model = Schemas["BandwidthModelInForce"];
export type ModelOutcome = Schemas["BandwidthModelOutcome"];
export type ModelName = Schemas["ModelName"];
export type ClassFigures = Schemas["ClassFigures"];
export type Readiness = Schemas["Readiness"];
export type Maintenance = Schemas["PlannedMaintenance"];
export type MaintenanceDocument = Schemas["MaintenanceDocument"];
export type MaintenanceOutcome = Schemas["MaintenanceOutcome"];
export type Controller = Schemas["Controller"];
export type Plan = Schemas["OptimizationPlan"];
export type Objective = Schemas["OptimizationObjective"];
export type Applied = Schemas["OptimizationApplied"];
export type FailureSet = Schemas["FailureSet"];
export type Study = Schemas["FailureStudy"];
export type Growth = Schemas["FailureStudyGrowth"];
export type Scenario = Schemas["FailureScenario"];
export type Subject = Schemas["FailureSubject"];
export type Affected = Schemas["AffectedAllocations"];
export type Session = Schemas["Session"];
export type SignInWays = Schemas["SignIn"];
export type Problem = Schemas["Problem"] & Record<string, unknown>;

/** An event; its data speaks like the resources do. */
export interface Happening {
  sequence: number;
  at: string;
  kind: Schemas["EventKind"];
  /** Who had it decided. */
  actor?: Schemas["EventActor"];
  data: Record<string, unknown>;
}

/** What the server refused, or that it could not be reached. */
export class Refused extends Error {
  constructor(readonly status: number, readonly problem: Partial<Problem>) {
    super(problem.detail || problem.title || `The server answered ${status}.`);
  }
  get slug(): string {
    return String(this.problem.type ?? "").replace("/problems/", "");
  }
}

export interface Answer<T> {
  body: T;
  etag: string | null;
}

/** A path of the service, from the page on: a proxy may have put both under a prefix. */
export function here(path: string): string {
  return path.replace(/^\//, "");
}

let bearer: string | null = null;

/** The token that requests have from now on, besides the cookie; it is here and nowhere else. */
export function setBearer(token: string | null): void {
  bearer = token;
}

/** Headers with that token, if there is one and they have none. */
export function authorized(headers: Record<string, string>): Record<string, string> {
  return bearer ? { authorization: `Bearer ${bearer}`, ...headers } : headers;
}

let signedOut = () => {};

/** What to do when the server asks who one is. */
export function onSignedOut(then: () => void): void {
  signedOut = then;
}

/** Asks the server; throws [Refused] for anything but success. */
export async function ask<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer<T>> {
  const raw = typeof body === "string" || body instanceof Blob;
  let response: Response;
  try {
    response = await fetch(here(path), {
      method,
      headers: authorized({ ...(body === undefined || raw ? {} : { "content-type": "application/json" }), ...headers }),
      body: body === undefined ? undefined : raw ? body : JSON.stringify(body),
    });
  } catch {
    throw new Refused(0, { title: "The server cannot be reached", detail: "The server cannot be reached." });
  }
  const text = await response.text();
  const isJson = (response.headers.get("content-type") ?? "").includes("json");
  const value = isJson && text ? JSON.parse(text) : text;
  if (response.status === 401 && method !== "PUT") signedOut();
  if (!response.ok && !(path === "/readyz" && isJson)) throw new Refused(response.status, isJson ? value : { title: text });
  return { body: value as T, etag: response.headers.get("etag") };
}

export async function get<T>(path: string): Promise<T> {
  return (await ask<T>("GET", path)).body;
}

/** Every page of a list, up to so many items. */
export async function all<T>(path: string, most = 200_000): Promise<T[]> {
  const items: T[] = [];
  const join = path.includes("?") ? "&" : "?";
  let after: string | undefined;
  do {
    const page: { items: T[]; next?: string } = await get(`${path}${join}limit=1000${after ? `&after=${encodeURIComponent(after)}` : ""}`);
    items.push(...page.items);
    after = page.next;
  } while (after && items.length < most);
  return items;
}

/** The path of a topology. */
export function ofTopology(name: string, rest = ""): string {
  return `/v1/topologies/${encodeURIComponent(name)}${rest}`;
}

export function ofLink(topology: string, link: string): string {
  return ofTopology(topology, `/links/${encodeURIComponent(link)}`);
}

/** A key for what is meant once: repeated after a broken connection, it is answered again and not done again. (RFC draft
 * Idempotency-Key.) `randomUUID` is only there on pages by https. */
export function idempotencyKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
