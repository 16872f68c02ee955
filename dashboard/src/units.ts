// Numbers for people: bit/s in three digits, shares, times; and back again.

const STEPS: [number, string][] = [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

/** 12345678 → "12.3 Mbit/s". */
export function rate(bps: number): string {
  const [size, prefix] = STEPS.find(([size]) => Math.abs(bps) >= size) ?? [1, ""];
  return `${digits(bps / size)} ${prefix}bit/s`;
}

function digits(value: number): string {
  const size = Math.abs(value);
  // 999.9 Mbit/s is not 1000 Mbit/s.
  if (size >= 999) return String(Math.trunc(value));
  return size >= 100 || Number.isInteger(value) ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** "500M", "2.5 Gbit/s", "1000000" → bit/s; null if it is none of these. */
export function parseRate(text: string): number | null {
  const match = /^\s*([0-9]+(?:[.,][0-9]+)?)\s*([kmgtp]?)(?:i?b(?:it)?(?:\/s|ps)?)?\s*$/i.exec(text);
  if (!match) return null;
  const size = STEPS.find(([, prefix]) => prefix.toLowerCase() === match[2]!.toLowerCase())?.[0] ?? 1;
  const bps = Math.round(Number(match[1]!.replace(",", ".")) * size);
  return bps >= 1 && bps <= Number.MAX_SAFE_INTEGER ? bps : null;
}

/** Parts per million → "93 %". Never more than it is: 99.7 % is not 100 %, and 100.3 % is not 100 % either. */
export function percent(ppm: number): string {
  const tenths = Math.floor(ppm / 1_000);
  if (ppm > 0 && tenths === 0) return "under 0.1 %";
  const fine = (tenths > 0 && tenths < 100) || (tenths >= 990 && tenths <= 1_010 && tenths !== 1_000);
  return `${fine ? (tenths / 10).toFixed(1) : Math.floor(tenths / 10)} %`;
}

export function count(value: number, one: string, many = `${one}s`): string {
  return `${value.toLocaleString("en")} ${value === 1 ? one : many}`;
}

export function clock(at: string | number): string {
  return new Date(at).toLocaleTimeString("en-GB");
}

export function dateAndTime(at: string): string {
  const date = new Date(at);
  const today = date.toDateString() === new Date().toDateString();
  // In Sweden the day is written as in ISO 8601; it is that of the clock on the wall.
  return today ? clock(at) : `${date.toLocaleDateString("sv-SE")} ${clock(at)}`;
}

/** Where the steps of utilisation begin, in parts per million; the last is over the whole. Most of them are where it gets tight. */
const STEP_FROM = [0, 500_000, 800_000, 900_000, 950_000, 990_000, 1_000_001];
export const STEP_WORDS = ["under 50 %", "50 to 80 %", "80 to 90 %", "90 to 95 %", "95 to 99 %", "99 to 100 %", "over 100 %"];
/** From here a link is called busy. */
export const BUSY_PPM = 900_000;

export function step(ppm: number): number {
  return STEP_FROM.findLastIndex((from) => ppm >= from);
}

export const CLASS_WORDS: Record<number, string> = { 0: "insensitive", 1: "sensitive", 2: "priority" };

/** "CT1", with what the QoS level of that number is called. */
export function className(classType: number, long = false): string {
  const word = CLASS_WORDS[classType];
  return long && word ? `CT${classType} (${word})` : `CT${classType}`;
}

export const MODEL_WORDS: Record<string, string> = { mam: "MAM", rdm: "RDM", gbam: "G-BAM", atcs: "ATCS" };
