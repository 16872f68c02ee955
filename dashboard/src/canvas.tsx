// The canvas the network is painted on: large and moved about on the map, small beside a table. It is painted again when
// something it shows has changed, at most once a frame.
import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Link } from "./api";
import { busiest, drawing, lit, litBinds, touched } from "./live";
import { pathText } from "./parts";
import { paint, type Colouring, type Scene } from "./painter";
import { palette } from "./theme";
import type { View } from "./geometry";

/** A canvas that is as large as its box, and asked to paint. */
export class Surface {
  width = 0;
  height = 0;
  private frame = 0;
  private watch: ResizeObserver;

  constructor(private canvas: HTMLCanvasElement, private scene: () => Scene | null, resized: () => void) {
    this.watch = new ResizeObserver(([entry]) => {
      if (!entry) return;
      [this.width, this.height] = [entry.contentRect.width, entry.contentRect.height];
      [canvas.width, canvas.height] = [Math.round(this.width * devicePixelRatio), Math.round(this.height * devicePixelRatio)];
      resized();
      this.now();
    });
    this.watch.observe(canvas);
  }

  /** With the next frame. */
  soon = (): void => {
    this.frame ||= requestAnimationFrame(this.now);
  };

  private now = (): void => {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const [scene, context] = [this.scene(), this.canvas.getContext("2d", { alpha: false })];
    if (!scene || !context || !this.width) return;
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.lineJoin = "round";
    paint(context, scene);
  };

  stop(): void {
    this.watch.disconnect();
    cancelAnimationFrame(this.frame);
  }
}

/** What is painted now. */
export function sceneOf(view: View, width: number, height: number, more: { colouring?: Colouring; marked?: string[]; small?: boolean; links?: Link[] } = {}): Scene | null {
  const found = drawing.value;
  if (!found) return null;
  return {
    drawing: found, links: more.links ?? busiest.value, view, width, height, palette: palette.value, colouring: more.colouring ?? "utilisation", lit: lit.value, binds: litBinds.value, touched: touched.value,
    marked: more.marked ?? [], small: more.small ?? false, loads: more.links !== undefined,
  };
}

/** The network in small, with what is lit on it; as it is, or with the loads that it might have. */
export function MiniMap(props: { links?: Link[]; told?: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const links = useRef(props.links);
  const again = useRef(() => {});
  links.current = props.links;
  useEffect(() => again.current(), [props.links]);
  useEffect(() => {
    const scene = (): Scene | null => {
      const found = drawing.value;
      if (!found) return null;
      const k = Math.min((surface.width - 24) / found.width, (surface.height - 24) / found.height);
      const view = { k, x: (surface.width - found.width * k) / 2, y: (surface.height - found.height * k) / 2 };
      return sceneOf(view, surface.width, surface.height, { small: true, links: links.current });
    };
    const surface: Surface = new Surface(canvas.current!, scene, () => {});
    again.current = surface.soon;
    const end = effect(() => {
      void [drawing.value, busiest.value, lit.value, touched.value, palette.value];
      surface.soon();
    });
    return () => (end(), surface.stop());
  }, []);
  return (
    <aside class="mini" aria-hidden="true">
      <canvas ref={canvas} />
      <p class="quiet">{props.told ?? (lit.value.size ? pathText([...lit.value]) : "Point at an allocation to see its path.")}</p>
    </aside>
  );
}
