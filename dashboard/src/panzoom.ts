// Moving and zooming a drawing: by pointer, by pinch, by wheel and by keys. It holds what part is seen; who draws is told.
import type { View } from "./geometry";

const ZOOM_MAX = 60;

export class PanZoom {
  view: View = { x: 0, y: 0, k: 1 };
  /** Whether the drawing is being moved. */
  moving = false;
  /** Whether the last press moved it: then it was no click. */
  moved = false;
  private whole: View = { x: 0, y: 0, k: 1 };
  private width = 1;
  private height = 1;
  private pointers = new Map<number, { x: number; y: number }>();
  private ends = new AbortController();

  constructor(private box: HTMLElement, private changed: () => void) {
    const options = { signal: this.ends.signal };
    box.addEventListener("wheel", (event) => this.wheel(event), { ...options, passive: false });
    box.addEventListener("pointerdown", (event) => this.down(event), options);
    window.addEventListener("pointermove", (event) => this.move(event), options);
    window.addEventListener("pointerup", (event) => this.up(event), options);
    window.addEventListener("pointercancel", (event) => this.up(event), options);
  }

  stop(): void {
    this.ends.abort();
  }

  /** Fits a drawing of this size into a box of that; what was seen before stays in sight if it is the same drawing. */
  fit(drawing: { width: number; height: number }, width: number, height: number, anew: boolean): void {
    // Labels need more room beside than above.
    const [beside, above] = [width > 600 ? 90 : 74, 40];
    const k = Math.max(1e-4, Math.min((width - 2 * beside) / drawing.width, (height - 2 * above) / drawing.height));
    const whole = { k, x: (width - drawing.width * k) / 2, y: (height - drawing.height * k) / 2 };
    const ratio = k / this.whole.k;
    const stays = !anew && this.isZoomed();
    const [x, y] = [(this.width / 2 - this.view.x) / this.view.k, (this.height / 2 - this.view.y) / this.view.k];
    [this.width, this.height, this.whole] = [width, height, whole];
    this.view = stays ? { k: this.view.k * ratio, x: width / 2 - x * this.view.k * ratio, y: height / 2 - y * this.view.k * ratio } : { ...whole };
    this.changed();
  }

  private isZoomed(): boolean {
    return this.view.k !== this.whole.k || this.view.x !== this.whole.x || this.view.y !== this.whole.y;
  }

  by(factor: number): void {
    this.around(factor, this.width / 2, this.height / 2);
  }

  reset(): void {
    this.view = { ...this.whole };
    this.changed();
  }

  /** Brings a place of the drawing to the middle, and near enough to be told apart. */
  show(x: number, y: number, zoom: number): void {
    const k = Math.max(this.view.k, this.whole.k * zoom);
    this.view = { k, x: this.width / 2 - x * k, y: this.height / 2 - y * k };
    this.changed();
  }

  /** Whether the key was one of these. */
  key(event: KeyboardEvent): boolean {
    const stride = this.width / 12;
    const move = (x: number, y: number) => () => (this.view = { ...this.view, x: this.view.x + x, y: this.view.y + y });
    const moves: Record<string, () => void> = {
      ArrowLeft: move(stride, 0), ArrowRight: move(-stride, 0), ArrowUp: move(0, stride), ArrowDown: move(0, -stride),
      "+": () => this.by(1.4), "=": () => this.by(1.4), "-": () => this.by(1 / 1.4), "0": () => this.reset(),
    };
    const found = moves[event.key];
    if (!found || event.ctrlKey || event.metaKey || event.altKey) return false;
    event.preventDefault();
    found();
    this.changed();
    return true;
  }

  private at(event: { clientX: number; clientY: number }): { x: number; y: number } {
    const bounds = this.box.getBoundingClientRect();
    return { x: event.clientX - bounds.left, y: event.clientY - bounds.top };
  }

  private around(factor: number, x: number, y: number): void {
    const k = Math.min(this.whole.k * ZOOM_MAX, Math.max(this.whole.k * 0.5, this.view.k * factor));
    const ratio = k / this.view.k;
    this.view = { k, x: x - (x - this.view.x) * ratio, y: y - (y - this.view.y) * ratio };
    this.changed();
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    const at = this.at(event);
    this.around(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), at.x, at.y);
  }

  private down(event: PointerEvent): void {
    if (event.button !== 0) return;
    this.pointers.set(event.pointerId, this.at(event));
    this.moved = false;
  }

  private move(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.at(event);
    const [one, other] = [...this.pointers.values()];
    if (one && other) {
      const still = before === one ? other : one;
      const ratio = Math.hypot(now.x - still.x, now.y - still.y) / Math.max(1, Math.hypot(before.x - still.x, before.y - still.y));
      this.around(ratio, still.x, still.y);
    } else {
      // A hand that shakes still clicks.
      if (!this.moved && Math.hypot(now.x - before.x, now.y - before.y) < 4) return;
      this.moving = true;
      this.view = { ...this.view, x: this.view.x + now.x - before.x, y: this.view.y + now.y - before.y };
      this.changed();
    }
    this.moved = true;
    this.pointers.set(event.pointerId, now);
  }

  private up(event: PointerEvent): void {
    this.pointers.delete(event.pointerId);
    this.moving = false;
  }
}
