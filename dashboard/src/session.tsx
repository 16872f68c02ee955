// Who one is to the service, and what the page may offer therefore. The token is in a cookie that no script reads: neither this
// page nor any other keeps it.
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { ask, get, onSignedOut, Refused, type Session } from "./api";

export const session = signal<Session | null>(null);
/** Why somebody has to say who they are; null: they need not. */
export const signedOut = signal<string | null>(null);

const MAY = {
  request: ["requester", "engineer", "admin"],
  operate: ["engineer", "admin"],
};

/** Whether the page offers what needs this. The service decides; this only spares people a refusal. */
export function may(what: "request" | "operate"): boolean {
  return session.value === null || (MAY[what] as string[]).includes(session.value.role);
}

onSignedOut(() => {
  signedOut.value = session.value ? "Your session is over: the token has ended or was revoked." : "This service asks who you are.";
  session.value = null;
});

/** Finds out who one is; false: somebody has to say. */
export async function openSession(): Promise<boolean> {
  try {
    session.value = await get<Session>("/v1/session");
    signedOut.value = null;
    return true;
  } catch (error) {
    return !(error instanceof Refused && error.status === 401);
  }
}

export function SignIn(props: { done: () => void }) {
  const [token, setToken] = useState("");
  const [error, setError] = useState<string | null>(null);
  const send = async () => {
    try {
      session.value = (await ask<Session>("PUT", "/v1/session", undefined, { authorization: `Bearer ${token.trim()}` })).body;
      signedOut.value = null;
      props.done();
    } catch (error) {
      setError(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <form class="sign-in" onSubmit={(event) => (event.preventDefault(), void send())}>
      <h1>Sign in</h1>
      <p>{signedOut.value} Whoever runs the service makes you a token with <code>watermaster token create</code>.</p>
      <label>Token <input type="password" autocomplete="current-password" autofocus value={token} onInput={(event) => setToken(event.currentTarget.value)} /></label>
      {error ? <p class="bad" role="alert">{error}.</p> : null}
      <button class="primary" disabled={!token.trim()}>Sign in</button>
    </form>
  );
}

/** Who one is, and the way out; nothing where nobody is asked. */
export function Who() {
  const one = session.value;
  if (!one?.name) return null;
  const leave = async () => {
    await ask("DELETE", "/v1/session").catch(() => undefined);
    window.location.reload();
  };
  return <span class="who" title={`Role: ${one.role}${one.tenant ? `, tenant ${one.tenant}` : ""}`}>{one.name} <button class="small" onClick={leave}>Sign out</button></span>;
}
