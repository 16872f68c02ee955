// Choices that are the same each time.

/** Of what there is, one (xorshift). */
let seed = 2026;
export function pick(among) {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return among[(seed >>> 0) % among.length];
}
