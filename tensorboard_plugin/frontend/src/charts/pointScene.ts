// The large point view: deck.gl behind `new PointScene(target, handlers)`, `update(props)`, `destroy()`.

import { Deck, OrthographicView, type Layer, type OrthographicViewState } from "@deck.gl/core";
import type { Paint } from "../model/samples";
import type { Change, Shape } from "../model/selection";
import { changeOf } from "../model/selection";
import type { Tool } from "../model/settings";
import { DotsLayer, type Dots } from "./dotsLayer";
import { boundsOf, fit, keepBounds, type Bounds } from "./bounds";
import { Gesture, STILL } from "./gestures";
import { imageSide, type Images } from "./images";
import { ImagesLayer } from "./imagesLayer";
import { pick } from "./pick";
import { ease, Travel } from "./travel";
import { MisclassifiedPoints } from "./misclassified";
import type { View } from "./window";

export interface PointProps {
  /** Whose points these are: points travel while it stays the same, and jump where it changes. */
  subject: string;
  /** Which picture of the subject, e.g. its epoch. */
  moment: string;
  points: Float32Array;
  paint: Paint;
  travelMs: number;
  /** How far the points have gone to their cells, 0 to 1, and the side of a cell: who drags the slider sees them go at once. */
  toGrid: number;
  cell: number;
  tool: Tool;
  /** Drawn instead of dots. */
  images: Images | null;
}

/** What is to be seen at a moment. */
export interface Picture {
  points: Float32Array;
  view: View;
  /** px of the longer side of a sample's image; 0 = dots. */
  side: number;
}

export interface PointHandlers {
  hover(index: number | null, x: number, y: number): void;
  click(index: number | null, change: Change): void;
  /** A shape was drawn around points, which stand in it as they do at this moment. */
  shape(shape: Shape, change: Change, points: Float32Array): void;
  /** Something has moved: what lies above and below the points is to be drawn again. */
  picture(picture: Picture): void;
  /** A picture was drawn: how many points, and of which moment. */
  drawn(points: number, moment: string): void;
  failed(reason: string): void;
}

/** px that are kept free around all points, where the tools and the slider lie. */
const FREE = { left: 56, right: 12, top: 12, bottom: 34 };

export class PointScene {
  readonly gesture = new Gesture();
  private readonly deck: Deck<OrthographicView>;
  private readonly listening = new AbortController();
  private props: PointProps | null = null;
  private travel = new Travel();
  private readonly misclassified = new MisclassifiedPoints();
  private frame = 0;
  private bounds: Bounds | null = null;
  private view: OrthographicViewState = { target: [0, 0, 0], zoom: 0 };
  /** The user has zoomed or panned: leave the view alone until it is reset. */
  private touched = false;
  private size = { width: 0, height: 0 };

  constructor(private readonly target: HTMLDivElement, private readonly handlers: PointHandlers) {
    this.deck = new Deck({
      parent: target,
      views: viewOf("move"),
      viewState: this.view,
      layers: [],
      onViewStateChange: ({ viewState, interactionState }) => {
        const { isDragging, isZooming, isPanning } = interactionState ?? {};
        if (isDragging || isZooming || isPanning) this.touched = true;
        this.setView(viewState as OrthographicViewState);
      },
      onResize: (size) => {
        this.size = size;
        this.refit();
      },
      onAfterRender: () => {
        if (!this.props) return;
        handlers.picture(this.picture());
        handlers.drawn(this.props.points.length / 2, this.props.moment);
      },
      onError: (error) => handlers.failed(error.message),
      getCursor: ({ isDragging }) => (this.props?.tool !== "move" ? "crosshair" : isDragging ? "grabbing" : this.hovering ? "pointer" : "default"),
    });
    this.listen();
  }

  update(props: PointProps): void {
    const before = this.props;
    this.props = props;
    if (before?.subject !== props.subject) {
      this.travel = new Travel(props.points);
      this.bounds = null;
      this.touched = false;
    }
    if (before?.tool !== props.tool) {
      this.gesture.cancel();
      this.deck.setProps({ views: viewOf(props.tool) });
    }
    if (before?.points !== props.points) {
      const led = before?.toGrid !== props.toGrid && before?.moment === props.moment;
      const milliseconds = before?.subject === props.subject && !led ? props.travelMs : 0;
      this.travel.set(props.points, performance.now(), milliseconds);
      const window = this.bounds;
      // Who drags the slider sees the window stand still, until it has come to an end.
      const ended = led && (props.toGrid === 0 || props.toGrid === 1);
      this.bounds = ended ? this.boundsOf(props) : led ? window : keepBounds(window, this.boundsOf(props));
      if (this.bounds !== window) this.refit(led ? props.travelMs : milliseconds);
    }
    if (!this.frame) this.step();
  }

  /** Shows everything again. */
  reset(): void {
    this.touched = false;
    this.bounds = this.props && this.boundsOf(this.props);
    this.refit(250);
  }

  /** Points and window as they are now. */
  picture(): Picture {
    return { points: this.travel.now, view: this.window, side: this.side };
  }

  destroy(): void {
    cancelAnimationFrame(this.frame);
    this.listening.abort();
    this.deck.finalize();
  }

  /** Draws, and again with every frame until the points have arrived. */
  private readonly step = (): void => {
    this.frame = 0;
    if (!this.props) return;
    const points = this.travel.at(performance.now());
    this.deck.setProps({ layers: this.layers(this.props, points) });
    if (!this.travel.arrived) this.frame = requestAnimationFrame(this.step);
  };

  // Picking is a search here, not a picture to read back: reading stalls the graphics card at every move of the pointer.
  private listen(): void {
    const options = { signal: this.listening.signal };
    let down = { x: 0, y: 0 };
    this.target.addEventListener("pointerdown", (event) => {
      down = { x: event.clientX, y: event.clientY };
      if (this.props?.tool === "move" || event.button !== 0) return;
      this.target.setPointerCapture(event.pointerId);
      this.gesture.begin(...this.at(event));
    }, options);
    this.target.addEventListener("pointermove", (event) => {
      if (this.gesture.active) {
        this.gesture.move(...this.at(event));
        this.handlers.picture(this.picture());
      }
      const index = event.buttons ? null : this.under(event);
      this.hover(index, ...this.at(event));
    }, options);
    this.target.addEventListener("pointerup", (event) => {
      if (!this.gesture.active) return;
      const drawn = this.gesture.end(this.props?.tool ?? "move", this.window, event);
      this.handlers.picture(this.picture());
      if (drawn) this.handlers.shape(drawn.shape, drawn.change, this.travel.now);
    }, options);
    this.target.addEventListener("pointercancel", () => this.cancel(), options);
    this.target.addEventListener("pointerleave", () => this.hover(null, 0, 0), options);
    this.target.addEventListener("click", (event) => {
      if (Math.hypot(event.clientX - down.x, event.clientY - down.y) <= STILL) this.handlers.click(this.under(event), changeOf(event));
    }, options);
  }

  /** Drops the shape that is being drawn; false where there is none. */
  cancel(): boolean {
    if (!this.gesture.active) return false;
    this.gesture.cancel();
    this.handlers.picture(this.picture());
    return true;
  }

  private hovering = false;
  private hover(index: number | null, x: number, y: number): void {
    this.hovering = index !== null;
    this.handlers.hover(index, x, y);
  }

  private at(event: MouseEvent): [number, number] {
    const box = this.target.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  private under(event: MouseEvent): number | null {
    const { window, side } = this;
    const { fill, radius } = this.props?.paint ?? { fill: new Uint8Array(0), radius: new Float32Array(0) };
    const faded = (i: number): boolean => fill[4 * i + 3]! < 100;
    const reach = side ? new Float32Array(radius.length).fill(side / 2) : radius;
    return pick(this.travel.now, reach, faded, window, window.width, window.height, ...this.at(event));
  }

  private get window(): View {
    const [x = 0, y = 0] = this.view.target as number[];
    return { scale: 2 ** (this.view.zoom as number), x, y, ...this.size };
  }

  private get side(): number {
    const { props, bounds } = this;
    if (!props?.images || !bounds) return 0;
    const { width, height } = this.size;
    const { scale } = this.window;
    return imageSide(props.points.length / 2, width, height, scale / this.whole(bounds).scale, props.images.size, props.toGrid, props.cell * scale);
  }

  /** Pixels a unit and the middle, such that everything is to be seen beside the tools. */
  private whole(bounds: Bounds): { scale: number; x: number; y: number } {
    const { width, height } = this.size;
    return fit(bounds, Math.max(1, width - FREE.left - FREE.right), Math.max(1, height - FREE.top - FREE.bottom));
  }

  /** Around all points, and on the grid around their cells. */
  private boundsOf({ points, toGrid, cell }: PointProps): Bounds | null {
    const bounds = boundsOf(points);
    const pad = toGrid > 0 && cell > 0 ? (toGrid * cell) / 2 : 0;
    return bounds && { x0: bounds.x0 - pad, y0: bounds.y0 - pad, x1: bounds.x1 + pad, y1: bounds.y1 + pad };
  }

  private refit(milliseconds = 0): void {
    const { width, height } = this.size;
    if (!this.bounds || this.touched || width < 2 || height < 2) return;
    const { scale, x, y } = this.whole(this.bounds);
    this.setView({
      target: [x - (FREE.left - FREE.right) / 2 / scale, y - (FREE.bottom - FREE.top) / 2 / scale, 0], zoom: Math.log2(scale),
      ...(milliseconds ? { transitionDuration: milliseconds, transitionEasing: ease } : {}),
    });
  }

  private setView(view: OrthographicViewState): void {
    const before = this.view.zoom;
    this.view = view;
    this.deck.setProps({ viewState: view });
    // Images grow with the zoom, by a law of their own.
    if (this.props?.images && before !== view.zoom && !this.frame) this.frame = requestAnimationFrame(this.step);
  }

  private layers({ subject, paint, images }: PointProps, points: Float32Array): Layer[] {
    const dataOf = (looks: Dots["attributes"]): Dots => ({ length: points.length / 2, attributes: { getPosition: { value: points, size: 2 }, ...looks } });
    const looks = looksOf(paint);
    if (images) {
      const { sheet, grid, cutout } = images;
      return [new ImagesLayer({ id: `images ${subject}`, data: dataOf(looks.images), sheet, grid, cutout, side: this.side })];
    }
    const samples = new DotsLayer({ id: `samples ${subject}`, data: dataOf(looks.dots) });
    // Misclassified ones lie on top of the others.
    const wrong = new DotsLayer({ id: `misclassified ${subject}`, data: this.misclassified.at(points, paint) });
    return [samples, wrong];
  }
}

/** Dragging moves the picture, or with a tool draws; the wheel zooms always. */
function viewOf(tool: Tool): OrthographicView {
  return new OrthographicView({ flipY: false, controller: { doubleClickZoom: false, keyboard: false, dragPan: tool === "move" } });
}

interface Looks {
  dots: Dots["attributes"];
  images: Dots["attributes"];
}

/** deck.gl uploads an attribute again when its description is another object: one per paint. */
const described = new WeakMap<Paint, Looks>();

function looksOf(paint: Paint): Looks {
  let looks = described.get(paint);
  if (!looks) {
    const fill = { value: paint.fill, size: 4, normalized: true };
    looks = {
      dots: { getFillColor: fill, getRadius: { value: paint.radius, size: 1 } },
      images: { getFillColor: fill, getLineColor: { value: paint.ring, size: 4, normalized: true }, getNumber: { value: paint.radius.map((_, i) => i), size: 1 } },
    };
    described.set(paint, looks);
  }
  return looks;
}
