// The tutorial's TypeScript recipe: types generated from the document, the platform's own fetch.
import type { components } from "./watermaster";

type Request = components["schemas"]["AllocationRequest"];
type Outcome = components["schemas"]["AllocationOutcome"];
type Problem = components["schemas"]["Problem"];

declare const process: { env: Record<string, string | undefined> };
const api = process.env.WATERMASTER ?? "http://127.0.0.1:8080";
const request: Request = { topology: "nsfnet", ingress: "WA", egress: "NJ", qos_level: 1, bandwidth_bps: 14_000_000 };
const answer = await fetch(`${api}/v1/allocations`, {
  method: "POST",
  headers: { "content-type": "application/json", "idempotency-key": `typescript-${Date.now()}` },
  body: JSON.stringify(request),
});
if (!answer.ok) {
  const problem = (await answer.json()) as Problem;
  throw new Error(`${problem.title}: ${problem.detail}`);
}
const admitted = (await answer.json()) as Outcome;
console.log(`admitted ${admitted.id} over ${admitted.path.join(", ")}`);
await fetch(`${api}/v1/allocations/${admitted.id}`, { method: "DELETE" });
