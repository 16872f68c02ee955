// Takes a release back: what was released is asked for again, with what it had asked for and on the path that it had, unless
// another allocation would lose by it.
import { ask, idempotencyKey, type Allocation, type AllocationOutcome, type AllocationRequest } from "./api";

/** So long after a release it is offered. */
export const UNDO_MS = 30_000;

/** Books one again; its new id. Throws what the server refused, or that the room was taken. */
export async function bookAgain(one: Allocation): Promise<string> {
  const now = Date.now();
  const { topology, ingress, egress, class_type, bandwidth_bps, setup_priority, hold_priority, aggregator, tenant, name, customer, note, protection, flow, expires_at } = one;
  const asked = { topology, ingress, egress, class_type, bandwidth_bps, setup_priority, hold_priority, aggregator, tenant, name, customer, note, protection, flow, expires_at } as AllocationRequest;
  if (one.starts_at && Date.parse(one.starts_at) > now) asked.starts_at = one.starts_at;
  if (one.held_until) asked.hold_ms = Math.max(1, Date.parse(one.held_until) - now);
  const constraints = (one.constraints ?? {}) as NonNullable<AllocationRequest["constraints"]>;
  const again: AllocationRequest = { ...asked, constraints: { ...constraints, route: one.path.map((link) => ({ link })) }, relocation: { max_moves: 0 } };
  const would = (await ask<AllocationOutcome>("POST", "/v1/allocations?dry_run=true", again)).body;
  if (would.victims.length) throw new Error("Its room was taken: another allocation would lose by it.");
  const { body } = await ask<AllocationOutcome>("POST", "/v1/allocations", again, { "idempotency-key": idempotencyKey() });
  // The path is as it was, and from now on as free to change as it was; where that is refused, it stays on this path.
  await ask("PATCH", `/v1/allocations/${body.id}`, { constraints }).catch(() => null);
  return body.id!;
}
