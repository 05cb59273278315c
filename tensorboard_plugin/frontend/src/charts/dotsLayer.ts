// Round points, each with a fill, a radius in pixels and, where its ring colour is not transparent, a ring.
// deck.gl's own layer draws a little square per point by instancing, for which software renderers (a remote machine,
// a browser without a graphics card) take tens of microseconds apiece; point sprites are one vertex each.

import { Layer, picking, project32, type DefaultProps, type LayerProps } from "@deck.gl/core";
import { Model } from "@luma.gl/engine";

const VERTEX = `#version 300 es
#define SHADER_NAME dots-vertex
in vec3 positions;
in vec3 positions64Low;
in vec4 fillColors;
in vec4 lineColors;
in float radii;
out vec4 vFill;
out vec4 vLine;
out float vRadius;
void main(void) {
  geometry.worldPosition = positions;
  gl_Position = project_position_to_clipspace(positions, positions64Low, vec3(0.0), geometry.position);
  vFill = fillColors;
  vLine = lineColors;
  vRadius = radii;
  // A pixel more on each side, for the smooth edge.
  gl_PointSize = 2.0 * (radii + 1.0) * project.devicePixelRatio;
}`;

const FRAGMENT = `#version 300 es
#define SHADER_NAME dots-fragment
precision highp float;
in vec4 vFill;
in vec4 vLine;
in float vRadius;
out vec4 fragColor;
const float RING = 2.0;
void main(void) {
  float distance = length(2.0 * gl_PointCoord - 1.0) * (vRadius + 1.0);
  float inside = 1.0 - smoothstep(vRadius - 0.5, vRadius + 0.5, distance);
  if (inside <= 0.0) discard;
  float onRing = vLine.a > 0.0 ? smoothstep(vRadius - RING - 0.5, vRadius - RING + 0.5, distance) : 0.0;
  // A darker rim, so that points in a dense group can still be told apart.
  float onRim = smoothstep(vRadius - 1.4, vRadius - 0.2, distance);
  fragColor = mix(vec4(vFill.rgb * (1.0 - 0.35 * onRim), vFill.a), vLine, onRing);
  fragColor.a *= inside;
}`;

export interface Dots {
  length: number;
  attributes: Record<string, { value: Float32Array | Uint8Array; size: number; normalized?: boolean }>;
}

interface DotsProps {
  data: Dots;
}

export class DotsLayer extends Layer<DotsProps> {
  static override layerName = "DotsLayer";
  // Binary attributes come with the data; the accessors exist because deck.gl finds attributes by their names.
  static override defaultProps = {
    getPosition: { type: "accessor", value: [0, 0, 0] },
    getFillColor: { type: "accessor", value: [0, 0, 0, 255] },
    getLineColor: { type: "accessor", value: [0, 0, 0, 0] },
    getRadius: { type: "accessor", value: 1 },
  } as DefaultProps<LayerProps>;

  declare state: { model: Model };

  override getShaders(): object {
    return super.getShaders({ vs: VERTEX, fs: FRAGMENT, modules: [project32, picking] });
  }

  override initializeState(): void {
    const attributes = this.getAttributeManager()!;
    attributes.remove(["instancePickingColors"]);
    attributes.add({
      positions: { size: 3, type: "float64", fp64: this.use64bitPositions(), accessor: "getPosition" },
      fillColors: { size: 4, type: "unorm8", accessor: "getFillColor" },
      lineColors: { size: 4, type: "unorm8", accessor: "getLineColor" },
      radii: { size: 1, accessor: "getRadius" },
    });
    this.state.model = new Model(this.context.device, {
      ...this.getShaders(),
      id: this.props.id,
      bufferLayout: attributes.getBufferLayouts(),
      topology: "point-list",
      isInstanced: false,
    });
  }

  override draw(): void {
    const { model } = this.state;
    model.setVertexCount(this.getNumInstances());
    model.draw(this.context.renderPass);
  }
}
