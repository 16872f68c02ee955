// Takes a release back, of one or of many: what was released is asked for again, with what it had asked for and on the path that
// it had, unless another allocation would lose by it. All of it comes back or nothing.
import { ask, idempotencyKey, type Allocation, type AllocationRequest, type BatchOutcome } from "./api";
import { count } from "./units";

/** So long after a release it is offered. */
export const UNDO_MS = 30_000;
/** So many that cannot come back are named. */
const NAMED_MAX = 5;

/** What an allocation had asked for, on its path. */
function again(one: Allocation): AllocationRequest {
  const now = Date.now();
  const { topology, ingress, egress, class_type, bandwidth_bps, setup_priority, hold_priority, aggregator, tenant, name, customer, note, protection, auto_bandwidth, bidirectional, flow, expires_at } = one;
  const asked = { topology, ingress, egress, class_type, bandwidth_bps, setup_priority, hold_priority, aggregator, tenant, name, customer, note, protection, auto_bandwidth, bidirectional, flow, expires_at } as AllocationRequest;
  if (one.starts_at && Date.parse(one.starts_at) > now) asked.starts_at = one.starts_at;
  if (one.held_until) asked.hold_ms = Math.max(1, Date.parse(one.held_until) - now);
  return { ...asked, constraints: { ...constraintsOf(one), route: one.path.map((link) => ({ link })) }, relocation: { max_moves: 0 } };
}

function constraintsOf(one: Allocation) {
  return (one.constraints ?? {}) as NonNullable<AllocationRequest["constraints"]>;
}

/** Books them again; their new ids. Throws who cannot come back, and why. */
export async function bookAgain(released: Allocation[]): Promise<string[]> {
  const requests = released.map(again);
  const would = (await ask<BatchOutcome>("POST", "/v1/allocations/batch?dry_run=true", { requests })).body;
  const barred = would.outcomes.flatMap(({ allocation, problem }, at) => {
    const why = problem ? problem.detail || problem.title : allocation?.victims.length ? "Its room was taken: another allocation would lose by it." : "";
    return why ? [`Allocation ${released[at]!.id} cannot be booked again. ${why}`] : [];
  });
  if (barred.length) {
    const more = barred.length > NAMED_MAX ? ` So it is with ${barred.length - NAMED_MAX} more.` : "";
    throw new Error(`${barred.slice(0, NAMED_MAX).join(" ")}${more}${released.length > 1 ? ` Of ${count(released.length, "allocation")} none was booked again.` : ""}`);
  }
  const { body } = await ask<BatchOutcome>("POST", "/v1/allocations/batch", { requests, atomic: true }, { "idempotency-key": idempotencyKey() });
  const ids = body.outcomes.map((outcome) => outcome.allocation!.id!);
  // The path is as it was, and from now on as free to change as it was; where that is refused, it stays on this path.
  for (const [at, id] of ids.entries()) await ask("PATCH", `/v1/allocations/${id}`, { constraints: constraintsOf(released[at]!) }).catch(() => null);
  return ids;
}
