// Who one is to the service, and what the page may offer therefore. A token of the service is in a cookie that no script reads:
// neither this page nor any other keeps it. One of an OpenID provider is in the memory of this page (see openid.ts).
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { ask, get, onSignedOut, Refused, setBearer, type Session, type SignInWays } from "./api";
import { comeBack, forget, isPossible, leave, wasSignedIn, ways } from "./openid";

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
  const wasIn = session.value !== null;
  signedOut.value ??= wasIn ? OVER : "This service asks who you are.";
  session.value = null;
  setBearer(null);
  // The provider may know the person still: then the page is back in a moment, where it was.
  if (wasIn && wasSignedIn()) void silently();
});

const OVER = "Your session is over: the token has ended or was revoked.";

async function silently(): Promise<void> {
  const provider = (await ways().catch(() => null))?.openid;
  if (provider) await leave(provider, "silent").catch(() => forget());
}

/** Finds out who one is; false: somebody has to say. */
export async function openSession(): Promise<boolean> {
  const back = await comeBack();
  if (back?.outcome === "failed") signedOut.value = `Signing in failed: ${back.why}`;
  if (back?.outcome === "asks") signedOut.value = OVER;
  try {
    session.value = await get<Session>("/v1/session");
    signedOut.value = null;
    return true;
  } catch (error) {
    if (!(error instanceof Refused && error.status === 401)) return true;
    if (back?.outcome === "signed-in") {
      forget();
      signedOut.value = `The provider knows you, and this service does not let you in: ${error.message}.`;
    } else if (!back && wasSignedIn()) await silently();
    return false;
  }
}

export function SignIn(props: { done: () => void }) {
  const [token, setToken] = useState("");
  const [error, setError] = useState<string | null>(null);
  const [openid, setOpenid] = useState<SignInWays["openid"]>();
  useEffect(() => void ways().then((found) => setOpenid(found.openid), () => undefined), []);
  const away = () => openid && leave(openid, "ask").catch((error: unknown) => setError(error instanceof Error ? error.message : String(error)));
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
      <p role="status">{signedOut.value}</p>
      {openid && isPossible() ? <button type="button" class="primary" onClick={away}>Sign in with {new URL(openid.issuer).host}</button> : null}
      {openid && !isPossible() ? <p class="bad">Signing in at {new URL(openid.issuer).host} needs this page by https.</p> : null}
      <p>{openid ? "Or with a token: whoever" : "Whoever"} runs the service makes you a token with <code>watermaster token create</code>.</p>
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
    forget();
    window.location.reload();
  };
  return <span class="who" title={`Role: ${one.role}${one.tenant ? `, tenant ${one.tenant}` : ""}`}>{one.name} <button class="small" onClick={leave}>Sign out</button></span>;
}
