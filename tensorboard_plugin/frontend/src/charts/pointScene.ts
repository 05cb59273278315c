// The large point view: deck.gl behind `new PointScene(target, handlers)`, `update(props)`, `destroy()`.

import { Deck, OrthographicView, type OrthographicViewState, type PickingInfo } from "@deck.gl/core";
import { ScatterplotLayer } from "@deck.gl/layers";
import type { Paint } from "../model/samples";
import { boundsOf, fit, keepBounds, type Bounds } from "./bounds";

export interface PointProps {
  /** Whose points these are: points travel while it stays the same, and jump where it changes. */
  subject: string;
  /** Which picture of the subject, e.g. its epoch. */
  moment: string;
  points: Float32Array;
  paint: Paint;
  /** Changes whenever `paint` does. */
  look: string;
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

const easing = (t: number): number => (t < 0.5 ? 4 * t ** 3 : 1 - (2 - 2 * t) ** 3 / 2);

export class PointScene {
  private readonly deck: Deck<OrthographicView>;
  private props: PointProps | null = null;
  private bounds: Bounds | null = null;
  private view: OrthographicViewState = { target: [0, 0, 0], zoom: 0 };
  /** The user has zoomed or panned: leave the view alone until it is reset. */
  private touched = false;
  private size = { width: 0, height: 0 };

  constructor(target: HTMLDivElement, handlers: PointHandlers) {
    this.deck = new Deck({
      parent: target,
      views: new OrthographicView({ flipY: false, controller: { doubleClickZoom: false, keyboard: false } }),
      viewState: this.view,
      pickingRadius: 5,
      layers: [],
      onViewStateChange: ({ viewState, interactionState }) => {
        if (interactionState && (interactionState.isDragging || interactionState.isZooming || interactionState.isPanning)) this.touched = true;
        this.setView(viewState as OrthographicViewState);
      },
      onHover: (info: PickingInfo) => handlers.hover(info.picked ? info.index : null, info.x, info.y),
      onClick: (info: PickingInfo, event) => {
        const source = event.srcEvent as MouseEvent;
        handlers.click(info.picked ? info.index : null, Boolean(source.shiftKey));
      },
      onResize: (size) => {
        this.size = size;
        this.refit();
      },
      onAfterRender: () => this.props && handlers.drawn(this.props.points.length / 2, this.props.moment),
      onError: (error) => handlers.failed(error.message),
      getCursor: ({ isDragging, isHovering }) => (isDragging ? "grabbing" : isHovering ? "pointer" : "default"),
    });
  }

  update(props: PointProps): void {
    const moved = this.props?.points !== props.points;
    const other = this.props?.subject !== props.subject;
    this.props = props;
    if (other) {
      this.bounds = null;
      this.touched = false;
    }
    if (moved) {
      const before = this.bounds;
      this.bounds = keepBounds(before, boundsOf(props.points));
      if (this.bounds !== before) this.refit(other ? 0 : props.travelMs);
    }
    this.deck.setProps({ layers: this.layers(props) });
  }

  /** Shows everything again. */
  reset(): void {
    this.touched = false;
    this.bounds = this.props ? boundsOf(this.props.points) : null;
    this.refit(250);
  }

  destroy(): void {
    this.deck.finalize();
  }

  private refit(milliseconds = 0): void {
    const { width, height } = this.size;
    if (!this.bounds || this.touched || width < 2 || height < 2) return;
    const { scale, x, y } = fit(this.bounds, width - 24, height - 24);
    this.setView({
      target: [x, y, 0], zoom: Math.log2(scale),
      ...(milliseconds ? { transitionDuration: milliseconds, transitionEasing: easing } : {}),
    });
  }

  private setView(view: OrthographicViewState): void {
    this.view = view;
    this.deck.setProps({ viewState: view });
  }

  private layers(props: PointProps): ScatterplotLayer[] {
    const { points, paint, subject, moment, look, travelMs } = props;
    const transitions = travelMs > 0 ? { getPosition: { duration: travelMs, easing } } : undefined;
    const position = (i: number): [number, number, number] => [points[2 * i]!, points[2 * i + 1]!, 0];
    const colour = (bytes: Uint8Array, i: number): [number, number, number, number] =>
      [bytes[4 * i]!, bytes[4 * i + 1]!, bytes[4 * i + 2]!, bytes[4 * i + 3]!];
    const samples = new ScatterplotLayer({
      id: `samples ${subject}`,
      data: { length: points.length / 2 },
      getPosition: (_, { index }) => position(index),
      getFillColor: (_, { index }) => colour(paint.fill, index),
      getRadius: (_, { index }) => paint.radius[index]!,
      radiusUnits: "pixels",
      pickable: true,
      transitions,
      updateTriggers: { getPosition: moment, getFillColor: look, getRadius: look },
    });
    // Misclassified ones lie on top.  All samples are in this layer too, most with no size: were it only some,
    // an index would mean another sample at the next epoch, and points would travel to places that are not theirs.
    const wrong = new ScatterplotLayer({
      id: `wrong ${subject}`,
      data: { length: points.length / 2 },
      getPosition: (_, { index }) => position(index),
      getFillColor: (_, { index }) => colour(paint.fill, index),
      getLineColor: (_, { index }) => colour(paint.ring, index),
      getRadius: (_, { index }) => (paint.ring[4 * index + 3] ? paint.radius[index]! + 1 : 0),
      radiusUnits: "pixels",
      lineWidthUnits: "pixels",
      getLineWidth: 2,
      stroked: true,
      transitions,
      updateTriggers: { getPosition: moment, getFillColor: look, getLineColor: look, getRadius: look },
    });
    const marked = [...props.selected, ...(props.hovered === null ? [] : [props.hovered])].filter((i) => i < points.length / 2);
    // The id holds the selection: a ring travels with its point, never from one point to another.
    const rings = new ScatterplotLayer({
      id: `rings ${subject} ${marked.join()}`,
      data: marked,
      getPosition: (i: number) => position(i),
      getRadius: (i: number) => paint.radius[i]! + 3.5,
      getLineColor: props.ink,
      radiusUnits: "pixels",
      lineWidthUnits: "pixels",
      getLineWidth: 2,
      filled: false,
      stroked: true,
      transitions,
      updateTriggers: { getPosition: moment, getRadius: look, getLineColor: props.ink },
    });
    return [samples, wrong, rings];
  }
}
