// What a view reads by itself, and reads again whenever something has happened: one reading at a time, so that many events
// never keep an answer from being shown.
import { effect } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { version } from "./live";

export interface Reading<T> {
  value?: T;
  /** Why the last reading failed; what was read before is still there. */
  error?: unknown;
}

/** Reads what the key stands for; again no sooner than `every` milliseconds after the last answer and, where it changes with
 * time alone, `atLeastEvery` milliseconds after it, whatever happens. */
export function useReading<T>(key: string, read: () => Promise<T>, every: (value: T) => number = () => 0, atLeastEvery = 0): Reading<T> {
  const [state, setState] = useState<Reading<T> & { key: string }>({ key });
  const latest = useRef(read);
  latest.current = read;
  useEffect(() => {
    let [current, busy, again, wait, finished] = [true, false, false, 0, 0];
    let timer: number | undefined;
    let later: number | undefined;
    const run = async () => {
      window.clearTimeout(later);
      [timer, busy, again] = [undefined, true, false];
      try {
        const value = await latest.current();
        wait = every(value);
        if (current) setState({ key, value });
      } catch (error) {
        if (current) setState((before) => ({ key, error, ...(before.key === key ? { value: before.value } : {}) }));
      }
      [busy, finished] = [false, Date.now()];
      if (current && again) begin();
      else if (current && atLeastEvery) later = window.setTimeout(begin, atLeastEvery);
    };
    const begin = () => {
      if (busy) again = true;
      else timer ??= window.setTimeout(run, Math.max(0, finished + wait - Date.now()));
    };
    const end = effect(() => {
      void version.value;
      begin();
    });
    return () => {
      current = false;
      window.clearTimeout(timer);
      window.clearTimeout(later);
      end();
    };
  }, [key]);
  return state.key === key ? state : {};
}
