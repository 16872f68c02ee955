// Server-sent events by fetch (HTML, section 9.2): the browser's own EventSource cannot send the token that a page has in memory. It
// does not connect again by itself: who listens does.
import { authorized, here } from "./api";

/** A stream of events; closed once it broke. */
export class EventStream {
  private readonly controller = new AbortController();
  closed = false;

  constructor(path: string, on: { open: () => void; event: (kind: string, data: string) => void; broken: (status: number) => void }) {
    void this.read(path, on.open, on.event).then(
      (status) => this.end(on.broken, status),
      () => this.end(on.broken, 0),
    );
  }

  close(): void {
    this.closed = true;
    this.controller.abort();
  }

  private end(broken: (status: number) => void, status: number): void {
    if (this.closed) return;
    this.closed = true;
    broken(status);
  }

  /** The status with which it was refused; 0: it ended. */
  private async read(path: string, open: () => void, event: (kind: string, data: string) => void): Promise<number> {
    const response = await fetch(here(path), { headers: authorized({ accept: "text/event-stream" }), signal: this.controller.signal, cache: "no-store" });
    if (!response.ok || !response.body) return response.status;
    open();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.closed) return 0;
      // The service ends lines with a line feed alone.
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop()!;
      for (const block of blocks) {
        let kind = "message";
        const data: string[] = [];
        for (const line of block.split("\n")) {
          if (line.startsWith("event:")) kind = line.slice(6).trimStart();
          else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
        }
        if (data.length) event(kind, data.join("\n"));
      }
    }
  }
}
