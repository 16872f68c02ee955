// Signing in at an OpenID provider: the authorization code flow with PKCE (RFC 7636, OpenID Connect Core 1.0 section 3.1). State,
// nonce and verifier are in the storage of this tab while the browser is at the provider, and taken out when it comes back. The
// token is in the memory of the page alone: a reload fetches another by the same redirect, without a question.
import { get, setBearer, type SignInWays } from "./api";

type Provider = NonNullable<SignInWays["openid"]>;

interface Metadata {
  issuer: string;
  authorization_endpoint: string;
  token_endpoint: string;
}

/** What has to be known when the browser comes back. */
interface Attempt {
  state: string;
  nonce: string;
  verifier: string;
  /** What was looked at. */
  hash: string;
  silent: boolean;
}

/** How a return from the provider ended; null: there was none. */
export type Return = { outcome: "signed-in" } | { outcome: "asks" } | { outcome: "failed"; why: string } | null;

const ATTEMPT = "openid-attempt";
/** Only says that this tab was signed in, so that a reload asks the provider and not the person. */
const SIGNED_IN = "openid-signed-in";

/** The storage of this tab, if the browser lets pages have one. */
const storage = {
  get(name: string): string | null {
    try {
      return sessionStorage.getItem(name);
    } catch {
      return null;
    }
  },
  remove(name: string): void {
    try {
      sessionStorage.removeItem(name);
    } catch {
      // What could not be put there is not there.
    }
  },
};

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function random(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

/** Where the provider sends the browser back: this page, under whatever prefix a proxy has put it. */
function redirectUri(): string {
  return new URL("./", location.href.replace(/[?#].*$/, "")).href;
}

export async function ways(): Promise<SignInWays> {
  return get<SignInWays>("/v1/sign-in");
}

/** Whether this page can sign in there: digests are only there on pages by https, and of this machine. */
export function isPossible(): boolean {
  return Boolean(crypto.subtle);
}

async function metadata(provider: Provider): Promise<Metadata> {
  const url = `${provider.issuer.replace(/\/+$/, "")}/.well-known/openid-configuration`;
  const found = (await (await fetch(url, { credentials: "omit" })).json()) as Metadata;
  if (found.issuer !== provider.issuer) throw new Error("the provider is not the issuer that the service names");
  if (!/^https?:$/.test(new URL(found.authorization_endpoint).protocol)) throw new Error("the provider has no address to sign in at");
  return found;
}

/** Goes to the provider; silently: it is not to ask the person anything. */
export async function leave(provider: Provider, manner: "ask" | "silent"): Promise<void> {
  const { authorization_endpoint } = await metadata(provider);
  const attempt: Attempt = { state: random(), nonce: random(), verifier: random(), hash: location.hash, silent: manner === "silent" };
  sessionStorage.setItem(ATTEMPT, JSON.stringify(attempt));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(attempt.verifier));
  const url = new URL(authorization_endpoint);
  const query = {
    response_type: "code", client_id: provider.client_id, redirect_uri: redirectUri(), scope: provider.scope,
    state: attempt.state, nonce: attempt.nonce, code_challenge: base64url(new Uint8Array(digest)), code_challenge_method: "S256",
    ...(attempt.silent ? { prompt: "none" } : {}),
  };
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  location.assign(url);
}

/** Takes what the provider sent the browser back with, if it did. The address is that of the page again, whatever came. */
export async function comeBack(): Promise<Return> {
  const query = new URLSearchParams(location.search);
  const [code, error] = [query.get("code"), query.get("error")];
  const text = storage.get(ATTEMPT);
  storage.remove(ATTEMPT);
  if (!code && !error) return null;
  const attempt = text ? (JSON.parse(text) as Attempt) : null;
  history.replaceState(null, "", redirectUri());
  // Views hear of a change of what is behind the #, and of nothing else.
  if (attempt?.hash) location.replace(attempt.hash);
  // What this tab did not ask for is another's (RFC 6749 section 10.12).
  if (!attempt || query.get("state") !== attempt.state) return { outcome: "failed", why: "The answer of the provider belongs to no attempt of this tab." };
  if (error) {
    storage.remove(SIGNED_IN);
    // Only a person can go on.
    if (attempt.silent) return { outcome: "asks" };
    return { outcome: "failed", why: query.get("error_description") ?? error };
  }
  try {
    const provider = (await ways()).openid;
    if (!provider) throw new Error("the service names no provider any more");
    setBearer(await exchange(provider, attempt, code!, query.get("iss")));
    sessionStorage.setItem(SIGNED_IN, "yes");
    return { outcome: "signed-in" };
  } catch (error) {
    storage.remove(SIGNED_IN);
    return { outcome: "failed", why: error instanceof Error ? error.message : String(error) };
  }
}

/** A token for the code. */
async function exchange(provider: Provider, attempt: Attempt, code: string, issuer: string | null): Promise<string> {
  // RFC 9207: a provider that says who it is is the one that was asked.
  if (issuer !== null && issuer !== provider.issuer) throw new Error("another provider answered");
  const { token_endpoint } = await metadata(provider);
  const body = new URLSearchParams({
    grant_type: "authorization_code", code, redirect_uri: redirectUri(), client_id: provider.client_id, code_verifier: attempt.verifier,
  });
  const response = await fetch(token_endpoint, { method: "POST", body, credentials: "omit" });
  const answer = (await response.json()) as { access_token?: string; id_token?: string; error_description?: string; error?: string };
  if (!response.ok || !answer.access_token || !answer.id_token) throw new Error(answer.error_description ?? answer.error ?? "the provider gave no token");
  checkIdToken(answer.id_token, provider, attempt);
  return answer.access_token;
}

/** OpenID Connect Core 1.0 section 3.1.3.7: it came from the provider itself, over TLS, which stands for its signature. */
function checkIdToken(token: string, provider: Provider, attempt: Attempt): void {
  const payload = (token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/");
  const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (char) => char.charCodeAt(0)))) as Record<string, unknown>;
  const audiences = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
  if (claims.iss !== provider.issuer || !audiences.includes(provider.client_id) || claims.nonce !== attempt.nonce)
    throw new Error("the provider's answer is not for this attempt to sign in");
  if (typeof claims.exp !== "number" || claims.exp * 1000 < Date.now()) throw new Error("the provider's answer is over already");
}

export function wasSignedIn(): boolean {
  return storage.get(SIGNED_IN) !== null;
}

/** The person goes; the provider may know them still. */
export function forget(): void {
  storage.remove(SIGNED_IN);
  setBearer(null);
}
