// Moving and zooming a drawing: by pointer, by pinch, by wheel and by keys. Only a transform changes; nothing is drawn again.

const ZOOM_MAX = 60;

export class PanZoom {
  /** Whether the drawing is being moved. */
  moving = false;
  /** Whether the last press moved it: then it was no click. */
  moved = false;
  private x = 0;
  private y = 0;
  private zoom = 1;
  private pointers = new Map<number, DOMPoint>();
  private frame = 0;
  private ends = new AbortController();

  constructor(private box: SVGSVGElement, private scene: SVGGElement, private told: (zoom: number) => void) {
    const options = { signal: this.ends.signal };
    box.addEventListener("wheel", (event) => this.wheel(event), { ...options, passive: false });
    box.addEventListener("pointerdown", (event) => this.down(event), options);
    window.addEventListener("pointermove", (event) => this.move(event), options);
    window.addEventListener("pointerup", (event) => this.up(event), options);
    window.addEventListener("pointercancel", (event) => this.up(event), options);
    this.apply();
  }

  stop(): void {
    this.ends.abort();
    cancelAnimationFrame(this.frame);
  }

  by(factor: number): void {
    const view = this.box.viewBox.baseVal;
    this.around(factor, view.x + view.width / 2, view.y + view.height / 2);
  }

  reset(): void {
    [this.x, this.y, this.zoom] = [0, 0, 1];
    this.apply();
  }

  key(event: KeyboardEvent): void {
    const stride = this.box.viewBox.baseVal.width / 12;
    const moves: Record<string, () => void> = {
      ArrowLeft: () => (this.x += stride), ArrowRight: () => (this.x -= stride),
      ArrowUp: () => (this.y += stride), ArrowDown: () => (this.y -= stride),
      "+": () => this.by(1.4), "=": () => this.by(1.4), "-": () => this.by(1 / 1.4), "0": () => this.reset(),
    };
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move();
    this.apply();
  }

  /** A place on the screen in units of the drawing before it is moved. */
  private at(event: { clientX: number; clientY: number }): DOMPoint {
    const matrix = this.box.getScreenCTM();
    const point = new DOMPoint(event.clientX, event.clientY);
    return matrix ? point.matrixTransform(matrix.inverse()) : point;
  }

  private around(factor: number, x: number, y: number): void {
    const zoom = Math.min(ZOOM_MAX, Math.max(0.5, this.zoom * factor));
    const ratio = zoom / this.zoom;
    this.x = x - (x - this.x) * ratio;
    this.y = y - (y - this.y) * ratio;
    this.zoom = zoom;
    this.apply();
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
      const far = Math.hypot(now.x - before.x, now.y - before.y);
      // A hand that shakes still clicks.
      if (!this.moved && far < this.box.viewBox.baseVal.width / 300) return;
      this.moving = true;
      this.x += now.x - before.x;
      this.y += now.y - before.y;
      this.apply();
    }
    this.moved = true;
    this.pointers.set(event.pointerId, now);
  }

  private up(event: PointerEvent): void {
    this.pointers.delete(event.pointerId);
    this.moving = false;
  }

  private apply(): void {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => {
      this.scene.setAttribute("transform", `translate(${this.x} ${this.y}) scale(${this.zoom})`);
      this.told(this.zoom);
    });
  }
}
