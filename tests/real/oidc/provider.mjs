// An OpenID provider, and tokens of it, right and wrong. Prints a line of JSON: its issuer and the tokens by name. A line on
// standard input changes its key, and it prints a token of the new one; "soon" has it print one that ends in some seconds.
import { createInterface } from "node:readline";
import { SignJWT, exportJWK, generateKeyPair } from "jose";
import { OAuth2Server } from "oauth2-mock-server";

const provider = new OAuth2Server();
const first = await provider.issuer.keys.generate("ES256");
const rsa = await provider.issuer.keys.generate("RS256");
await provider.start(0, "127.0.0.1");
const issuer = provider.issuer.url;

/** A token with these changes to what is right; null takes a claim away. */
function token(kid, changes = {}) {
  const now = Math.floor(Date.now() / 1000);
  return provider.issuer.buildToken({
    kid,
    scopesOrTransform: (_, payload) => {
      Object.assign(payload, { iss: issuer, aud: "watermaster", sub: "night shift", iat: now, nbf: now, exp: now + 600, realm: { roles: ["staff", "net-ops"] }, tenant: "acme" }, changes);
      for (const [name, value] of Object.entries(changes)) if (value === null) delete payload[name];
    },
  });
}

/** A token signed by somebody else, with the header of ours. */
async function forged(header, key) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { realm: { roles: ["net-ops"] }, tenant: "acme" };
  return new SignJWT(claims).setProtectedHeader(header).setIssuer(issuer).setAudience("watermaster").setSubject("mallory").setExpirationTime(now + 600).sign(key);
}

const text = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const other = await generateKeyPair("ES256");
const known = provider.issuer.keys.toJSON().find((key) => key.kid === rsa.kid);
const now = Math.floor(Date.now() / 1000);
const wrong = {
  "another audience": await token(first.kid, { aud: "somebody else" }),
  "another issuer": await token(first.kid, { iss: "https://evil.example" }),
  "another key": await forged({ alg: "ES256", kid: first.kid }, other.privateKey),
  "an unknown key": await forged({ alg: "ES256", kid: "nobody" }, other.privateKey),
  "no signature": `${text({ alg: "none", kid: first.kid })}.${text({ iss: issuer, aud: "watermaster", sub: "mallory", exp: now + 600, realm: { roles: ["net-ops"] } })}.`,
  "the public key as a secret": await forged({ alg: "HS256", kid: rsa.kid }, Buffer.from(JSON.stringify(known))),
  "over": await token(first.kid, { exp: now - 120, nbf: now - 600 }),
  "not yet": await token(first.kid, { nbf: now + 300 }),
  "without an end": await token(first.kid, { exp: null }),
  "without a role": await token(first.kid, { realm: { roles: ["staff"] } }),
};
const right = { es256: await token(first.kid), rs256: await token(rsa.kid) };
console.log(JSON.stringify({ issuer, right, wrong, jwk: await exportJWK(other.publicKey) }));

for await (const line of createInterface({ input: process.stdin })) {
  if (line === "soon") {
    // Clocks may differ by 30 seconds, so that it is over by 22 and good for 8 more.
    console.log(JSON.stringify({ soon: await token(first.kid, { exp: Math.floor(Date.now() / 1000) - 22 }) }));
    continue;
  }
  const next = await provider.issuer.keys.generate("ES256");
  console.log(JSON.stringify({ rotated: await token(next.kid) }));
}
await provider.stop();
