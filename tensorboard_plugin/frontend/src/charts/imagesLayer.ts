// Samples drawn as their images: a point sprite each, cut from the sheet of thumbnails, in a frame of the sample's hue.
// Where the sheet has a transparent background, the hue is an outline of what stands before it.

import { Layer, picking, project32, type DefaultProps, type LayerProps } from "@deck.gl/core";
import type { Texture } from "@luma.gl/core";
import { Model } from "@luma.gl/engine";
import type { Dots } from "./dotsLayer";

const UNIFORMS = `\
layout(std140) uniform imagesUniforms {
  vec2 tile;
  vec2 aspect;
  float columns;
  float side;
  float cutout;
} images;
`;

type ImagesUniforms = {
  /** Size of a thumbnail, as shares of the sheet. */
  tile: [number, number];
  /** Its longer side is 1. */
  aspect: [number, number];
  columns: number;
  /** px of the longer side, frame included. */
  side: number;
  /** 1 where the background is transparent, else 0. */
  cutout: number;
  sheet: Texture;
};

const module = {
  name: "images",
  vs: UNIFORMS,
  fs: UNIFORMS,
  uniformTypes: { tile: "vec2<f32>", aspect: "vec2<f32>", columns: "f32", side: "f32", cutout: "f32" },
} as const;

const VERTEX = `#version 300 es
#define SHADER_NAME images-vertex
in vec3 positions;
in vec3 positions64Low;
in vec4 fillColors;
in vec4 lineColors;
in float numbers;
out vec4 vFill;
out vec4 vLine;
flat out vec2 vCorner;
void main(void) {
  geometry.worldPosition = positions;
  gl_Position = project_position_to_clipspace(positions, positions64Low, vec3(0.0), geometry.position);
  vFill = fillColors;
  vLine = lineColors;
  vCorner = vec2(mod(numbers, images.columns), floor(numbers / images.columns)) * images.tile;
  gl_PointSize = images.side * project.devicePixelRatio;
}`;

const FRAGMENT = `#version 300 es
#define SHADER_NAME images-fragment
precision highp float;
uniform sampler2D sheet;
in vec4 vFill;
in vec4 vLine;
flat in vec2 vCorner;
out vec4 fragColor;

vec4 at(vec2 place) {
  vec2 inside = clamp(place, 0.0, 1.0);
  vec2 half_ = 0.5 / vec2(textureSize(sheet, 0));
  vec4 colour = texture(sheet, clamp(vCorner + inside * images.tile, vCorner + half_, vCorner + images.tile - half_));
  // The decoded sheet is premultiplied with its alpha.
  return vec4(colour.rgb / max(colour.a, 0.004), any(notEqual(place, inside)) ? 0.0 : colour.a);
}

void main(void) {
  // px from the middle of the picture, and of its own half sides.
  vec2 from = (gl_PointCoord - 0.5) * images.side;
  vec2 reach = 0.5 * images.side * images.aspect;
  bool wrong = vLine.a > 0.0;
  float frame = clamp(images.side * 0.075, 0.75, 3.0) * (wrong ? 1.7 : 1.0);
  float opacity = vFill.a > 0.8 ? 1.0 : vFill.a;
  vec3 outer = wrong ? vLine.rgb : vFill.rgb;
  if (images.cutout > 0.5) {
    vec2 place = (from / (reach - frame)) * 0.5 + 0.5;
    vec4 colour = at(place);
    vec2 d = 0.5 * frame / (reach - frame);
    float around = max(max(max(at(place + vec2(d.x, 0.0)).a, at(place - vec2(d.x, 0.0)).a), max(at(place + vec2(0.0, d.y)).a, at(place - vec2(0.0, d.y)).a)),
      max(max(at(place + d * 0.7).a, at(place - d * 0.7).a), max(at(place + vec2(d.x, -d.y) * 0.7).a, at(place + vec2(-d.x, d.y) * 0.7).a)));
    float shown = max(colour.a, around);
    if (shown < 0.02) discard;
    fragColor = vec4(mix(outer, colour.rgb, colour.a), shown * opacity);
    return;
  }
  vec2 left = reach - abs(from);
  float edge = min(left.x, left.y);
  if (edge < 0.0) discard;
  vec4 colour = at((from / (reach - frame)) * 0.5 + 0.5);
  vec3 picture = mix(vec3(0.5), colour.rgb, colour.a);
  // A misclassified sample has its own hue inside the one that it is taken for.
  vec3 border = wrong && edge > frame * 0.6 ? vFill.rgb : outer;
  fragColor = vec4(edge < frame ? border : picture, opacity);
}`;

interface ImagesProps {
  data: Dots;
  /** The sheet of thumbnails. */
  sheet: ImageBitmap | null;
  /** px of one thumbnail, and how many stand in a row. */
  grid: { width: number; height: number; columns: number };
  side: number;
  cutout: boolean;
}

export class ImagesLayer extends Layer<ImagesProps> {
  static override layerName = "ImagesLayer";
  static override defaultProps = {
    getPosition: { type: "accessor", value: [0, 0, 0] },
    getFillColor: { type: "accessor", value: [0, 0, 0, 255] },
    getLineColor: { type: "accessor", value: [0, 0, 0, 0] },
    getNumber: { type: "accessor", value: 0 },
    sheet: { type: "image", value: null, async: true },
    grid: { type: "object", value: { width: 1, height: 1, columns: 1 } },
    side: 16,
    cutout: false,
  } as DefaultProps<LayerProps>;

  declare state: { model: Model };

  override getShaders(): object {
    return super.getShaders({ vs: VERTEX, fs: FRAGMENT, modules: [project32, picking, module] });
  }

  override initializeState(): void {
    const attributes = this.getAttributeManager()!;
    attributes.remove(["instancePickingColors"]);
    attributes.add({
      positions: { size: 3, type: "float64", fp64: this.use64bitPositions(), accessor: "getPosition" },
      fillColors: { size: 4, type: "unorm8", accessor: "getFillColor" },
      lineColors: { size: 4, type: "unorm8", accessor: "getLineColor" },
      numbers: { size: 1, accessor: "getNumber" },
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
    const { grid, side, cutout } = this.props;
    const sheet = this.props.sheet as unknown as Texture | null;
    if (!sheet) return;
    const longer = Math.max(grid.width, grid.height);
    const images: ImagesUniforms = {
      tile: [grid.width / sheet.width, grid.height / sheet.height], aspect: [grid.width / longer, grid.height / longer],
      columns: grid.columns, side, cutout: cutout ? 1 : 0, sheet,
    };
    model.shaderInputs.setProps({ images });
    model.setVertexCount(this.getNumInstances());
    model.draw(this.context.renderPass);
  }
}
