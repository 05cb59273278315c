// The large point view: deck.gl behind `new PointScene(target, handlers)`, `update(props)`, `destroy()`.

import { Deck, OrthographicView, type Layer, type OrthographicViewState } from "@deck.gl/core";
import { ScatterplotLayer } from "@deck.gl/layers";
import type { Paint } from "../model/samples";
import { DotsLayer, type Dots } from "./dotsLayer";
import { boundsOf, fit, keepBounds, type Bounds } from "./bounds";
import { pick } from "./pick";
import { ease, Travel } from "./travel";
import { MisclassifiedPoints } from "./misclassified";

export interface PointProps {
  /** Whose points these are: points travel while it stays the same, and jump where it changes. */
  subject: string;
  /** Which picture of the subject, e.g. its epoch. */
  moment: string;
  points: Float32Array;
  paint: Paint;
  selected: readonly number[];
  hovered: number | null;
  ink: [number, number, number];
  travelMs: number;
}

export interface PointHandlers {
  hover(index: number | null, x: number, y: number): void;
  click(index: number | null, add: boolean): void;
  /** A picture was drawn: how many points, and of which moment. */
  drawn(points: number, moment: string): void;
  failed(reason: string): void;
}

const STILL = 4; // px that the pointer may move in a click
const MARGIN = 24;

export class PointScene {
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
      views: new OrthographicView({ flipY: false, controller: { doubleClickZoom: false, keyboard: false } }),
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
      onAfterRender: () => this.props && handlers.drawn(this.props.points.length / 2, this.props.moment),
      onError: (error) => handlers.failed(error.message),
      getCursor: ({ isDragging }) => (isDragging ? "grabbing" : this.props?.hovered != null ? "pointer" : "default"),
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
    if (before?.points !== props.points) {
      const milliseconds = before?.subject === props.subject ? props.travelMs : 0;
      this.travel.set(props.points, performance.now(), milliseconds);
      const window = this.bounds;
      this.bounds = keepBounds(window, boundsOf(props.points));
      if (this.bounds !== window) this.refit(milliseconds);
    }
    if (!this.frame) this.step();
  }

  /** Shows everything again. */
  reset(): void {
    this.touched = false;
    this.bounds = this.props ? boundsOf(this.props.points) : null;
    this.refit(250);
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
    this.target.addEventListener("pointerdown", (event) => (down = { x: event.clientX, y: event.clientY }), options);
    this.target.addEventListener("pointermove", (event) => {
      const { index, x, y } = event.buttons ? { index: null, x: 0, y: 0 } : this.under(event);
      this.handlers.hover(index, x, y);
    }, options);
    this.target.addEventListener("pointerleave", () => this.handlers.hover(null, 0, 0), options);
    this.target.addEventListener("click", (event) => {
      if (Math.hypot(event.clientX - down.x, event.clientY - down.y) <= STILL) this.handlers.click(this.under(event).index, event.shiftKey);
    }, options);
  }

  private under(event: MouseEvent): { index: number | null; x: number; y: number } {
    const box = this.target.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const [targetX = 0, targetY = 0] = this.view.target as number[];
    const window = { scale: 2 ** (this.view.zoom as number), x: targetX, y: targetY };
    const { fill, radius } = this.props?.paint ?? { fill: new Uint8Array(0), radius: new Float32Array(0) };
    const faded = (i: number): boolean => fill[4 * i + 3]! < 100;
    return { index: pick(this.travel.now, radius, faded, window, box.width, box.height, x, y), x, y };
  }

  private refit(milliseconds = 0): void {
    const { width, height } = this.size;
    if (!this.bounds || this.touched || width < 2 || height < 2) return;
    const { scale, x, y } = fit(this.bounds, width - MARGIN, height - MARGIN);
    this.setView({
      target: [x, y, 0], zoom: Math.log2(scale),
      ...(milliseconds ? { transitionDuration: milliseconds, transitionEasing: ease } : {}),
    });
  }

  private setView(view: OrthographicViewState): void {
    this.view = view;
    this.deck.setProps({ viewState: view });
  }

  private layers({ subject, paint, selected, hovered, ink }: PointProps, points: Float32Array): Layer[] {
    const samples = new DotsLayer({
      id: `samples ${subject}`,
      data: { length: points.length / 2, attributes: { getPosition: { value: points, size: 2 }, ...attributesOf(paint) } },
    });
    // Misclassified ones lie on top of the others.
    const wrong = new DotsLayer({ id: `misclassified ${subject}`, data: this.misclassified.at(points, paint) });
    const marked = (hovered === null ? selected : [...selected, hovered]).filter((i) => i < points.length / 2);
    const rings = new ScatterplotLayer({
      radiusUnits: "pixels",
      lineWidthUnits: "pixels",
      id: `rings ${subject}`,
      data: marked.map((i) => ({ position: [points[2 * i]!, points[2 * i + 1]!] as [number, number], radius: paint.radius[i]! + 3.5 })),
      getPosition: (mark) => mark.position,
      getRadius: (mark) => mark.radius,
      getLineColor: ink,
      getLineWidth: 2,
      filled: false,
      stroked: true,
      updateTriggers: { getLineColor: ink },
    });
    return [samples, wrong, rings];
  }
}

/** deck.gl uploads an attribute again when its description is another object: one per paint. */
const described = new WeakMap<Paint, Dots["attributes"]>();

function attributesOf(paint: Paint): Dots["attributes"] {
  let attributes = described.get(paint);
  if (!attributes) {
    attributes = { getFillColor: { value: paint.fill, size: 4, normalized: true }, getRadius: { value: paint.radius, size: 1 } };
    described.set(paint, attributes);
  }
  return attributes;
}
