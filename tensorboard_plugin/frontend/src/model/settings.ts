// What the user chose, kept over reloads.  Names from the log are stored, never interpreted.

import type { Axis } from "../api/types";

export const TABS = ["overview", "layers", "samples", "filters", "features", "prune"] as const;
/** "largest": the filter of the largest number; "column": one of the attributes or targets that came with the probe. */
export const COLOURS = ["true", "predicted", "cluster", "largest", "column"] as const;
export const SIZES = ["certainty", "uncertainty", "uniform"] as const;
export const MARKS = ["dots", "images"] as const;
/** Where the predicted classes lie in the plane. */
export const REGION_STYLES = ["off", "boundary", "regions"] as const;
/** "auto": of a sample that is selected alone. */
export const TRAILS = ["auto", "on", "off"] as const;
/** What dragging over the picture does. */
export const TOOLS = ["move", "rectangle", "circle", "lasso"] as const;
/** "change": how much a layer has changed since the epoch before. */
export const METRICS = ["knn_accuracy", "probe_accuracy", "silhouette", "change", "dead"] as const;

export const FILTER_VIEWS = ["health", "histograms", "maxima", "classes", "kernels", "maps", "development"] as const;
export const HISTOGRAM_ORDERS = ["index", "maximum", "active", "mean", "similarity"] as const;
export const MAXIMA_ORDERS = ["total", "highest", "index"] as const;
/** How filters' weights are laid out in the plane. */
export const WEIGHT_MAPS = ["pca", "umap"] as const;
/** Numbers of filters that are shown over the epochs. */
export const DEVELOPED = ["active", "energy", "maximum", "mean", "negative", "bias", "scale", "shift", "responsive", "roughness"] as const;
/** "change": the largest from the first epoch to the last in front; "group": doubles side by side. */
export const DEVELOPMENT_ORDERS = ["index", "now", "change", "group"] as const;

/** What full colour stands for in pictures of kernels: the largest weight of the layer, or of the filter. */
export const KERNEL_SCALES = ["layer", "filter"] as const;
export const KERNEL_ORDERS = ["index", "energy", "roughness"] as const;
/** Kernels alone, or what they make of a sample beside them. */
export const KERNELS_ON = ["kernels", "sample"] as const;

/** Ways of seeing what filters look for. */
export const FEATURE_VIEWS = ["images", "exemplars", "attributions", "groups", "clusters", "classmaps", "maximising"] as const;

/** What stands side by side of a sample: methods for one filter, or filters by one method; and what is drawn of each. */
export const ATTRIBUTION_COLUMNS = ["methods", "filters"] as const;
export const ATTRIBUTION_SHOWN = ["map", "overlay", "areas"] as const;
/** What full colour stands for in attributions: the largest of all samples in the column, or of each map by itself. */
export const ATTRIBUTION_SCALES = ["column", "map"] as const;
/** Receptive fields of the units that act most. */
export const BOX_STYLES = ["off", "empty", "filled"] as const;

/** Feature images as they were made, or after activation filtering. */
export const PICTURED = ["plain", "filtered"] as const;
/** Whether a filter's maps lie over the samples that activate it most. */
export const OVERLAYS = ["on", "off"] as const;

export const TILES = ["small", "medium", "large"] as const;
export const ORDERS = ["index", "ratio", "similarity"] as const;

export type Tab = (typeof TABS)[number];
export type ColourBy = (typeof COLOURS)[number];
export type SizeBy = (typeof SIZES)[number];
export type Marks = (typeof MARKS)[number];
export type RegionStyle = (typeof REGION_STYLES)[number];
export type TrailMode = (typeof TRAILS)[number];
export type Tool = (typeof TOOLS)[number];
export type Metric = (typeof METRICS)[number];
export type FilterView = (typeof FILTER_VIEWS)[number];
export type HistogramOrder = (typeof HISTOGRAM_ORDERS)[number];
export type MaximaOrder = (typeof MAXIMA_ORDERS)[number];
export type WeightMap = (typeof WEIGHT_MAPS)[number];
export type Developed = (typeof DEVELOPED)[number];
export type DevelopmentOrder = (typeof DEVELOPMENT_ORDERS)[number];
export type KernelScale = (typeof KERNEL_SCALES)[number];
export type KernelOrder = (typeof KERNEL_ORDERS)[number];
export type KernelsOn = (typeof KERNELS_ON)[number];
export type Pictured = (typeof PICTURED)[number];
export type Overlay = (typeof OVERLAYS)[number];
export type FeatureView = (typeof FEATURE_VIEWS)[number];
export type AttributionColumns = (typeof ATTRIBUTION_COLUMNS)[number];
export type AttributionShown = (typeof ATTRIBUTION_SHOWN)[number];
export type AttributionScale = (typeof ATTRIBUTION_SCALES)[number];
export type BoxStyle = (typeof BOX_STYLES)[number];
export type Tile = (typeof TILES)[number];
export type Order = (typeof ORDERS)[number];

export interface Settings {
  run: string | null;
  layer: string | null;
  /** Where the playhead was left; null while it follows the newest epoch. */
  epoch: number | null;
  /** null: by epoch where there are snapshots at epochs. */
  axis: Axis | null;
  tab: Tab;
  colourBy: ColourBy;
  /** The attribute or target to colour by. */
  column: string | null;
  sizeBy: SizeBy;
  marks: Marks;
  /** How large samples' images are, as a multiple of what suits their number and the zoom. */
  imageSize: number;
  regionStyle: RegionStyle;
  trails: TrailMode;
  tool: Tool;
  /** How far samples have gone from their places to their cells of the grid, 0 to 1. */
  toGrid: number;
  metric: Metric;
  filterView: FilterView;
  histogramOrder: HistogramOrder;
  maximaOrder: MaximaOrder;
  weightMap: WeightMap;
  developed: Developed;
  developmentOrder: DevelopmentOrder;
  kernelScale: KernelScale;
  kernelOrder: KernelOrder;
  kernelsOn: KernelsOn;
  featureView: FeatureView;
  attributionColumns: AttributionColumns;
  /** null: the first that was recorded. */
  attributionMethod: string | null;
  attributionShown: AttributionShown;
  attributionScale: AttributionScale;
  boxStyle: BoxStyle;
  /** Whether a random network stands beside the trained one. */
  twin: boolean;
  /** Standard deviation, pixels of the map. */
  smoothing: number;
  /** Of a map's largest: what surely is important. */
  areaShare: number;
  mapOpacity: number;
  /** The filter of the layer whose page is open. */
  opened: number | null;
  pictured: Pictured;
  overlay: Overlay;
  /** How channels of images are shown, where it was chosen: all, their mean, or one of them. */
  channels: "all" | "mean" | number | null;
  tile: Tile;
  order: Order;
  /** The share of units to prune that is looked at; null: as much as hardly costs anything. */
  pruneShare: number | null;
}

export const DEFAULTS: Settings = {
  run: null, layer: null, epoch: null, axis: null, tab: "overview", colourBy: "true", column: null, sizeBy: "certainty",
  marks: "dots", imageSize: 1, regionStyle: "boundary", trails: "auto", tool: "move", toGrid: 0, metric: "knn_accuracy",
  filterView: "health", histogramOrder: "index", maximaOrder: "total",
  weightMap: "pca", developed: "active", developmentOrder: "index",
  kernelScale: "layer", kernelOrder: "index", kernelsOn: "kernels", featureView: "images",
  attributionColumns: "methods", attributionMethod: null, attributionShown: "overlay", attributionScale: "column", boxStyle: "empty", twin: true, smoothing: 0.5, areaShare: 0.5, mapOpacity: 0.7,
  opened: null, pictured: "plain", overlay: "on", channels: null, tile: "medium", order: "index", pruneShare: null,
};

export const MOST_SMOOTHING = 4;
export const SMALLEST_IMAGE = 0.5;
export const LARGEST_IMAGE = 3;

const KEY = "featwatch.page.1";

function oneOf<T extends string>(allowed: readonly T[], value: unknown, otherwise: T): T {
  return allowed.includes(value as T) ? (value as T) : otherwise;
}

function between(low: number, high: number, value: unknown, otherwise: number): number {
  return typeof value === "number" && value >= low && value <= high ? value : otherwise;
}

/** Settings from whatever was stored; what does not fit falls back to its default. */
export function parseSettings(stored: string | null): Settings {
  let raw: Record<string, unknown> = {};
  try {
    const value: unknown = JSON.parse(stored ?? "{}");
    if (typeof value === "object" && value !== null) raw = value as Record<string, unknown>;
  } catch {
    // Somebody else's or a damaged entry: start from the defaults.
  }
  return {
    run: typeof raw.run === "string" ? raw.run : null,
    layer: typeof raw.layer === "string" ? raw.layer : null,
    epoch: Number.isInteger(raw.epoch) ? (raw.epoch as number) : null,
    axis: raw.axis === "steps" || raw.axis === "epochs" ? raw.axis : null,
    tab: oneOf(TABS, raw.tab, DEFAULTS.tab),
    colourBy: oneOf(COLOURS, raw.colourBy, DEFAULTS.colourBy),
    column: typeof raw.column === "string" ? raw.column : null,
    sizeBy: oneOf(SIZES, raw.sizeBy, DEFAULTS.sizeBy),
    marks: oneOf(MARKS, raw.marks, DEFAULTS.marks),
    imageSize: between(SMALLEST_IMAGE, LARGEST_IMAGE, raw.imageSize, DEFAULTS.imageSize),
    regionStyle: oneOf(REGION_STYLES, raw.regionStyle, DEFAULTS.regionStyle),
    trails: oneOf(TRAILS, raw.trails, DEFAULTS.trails),
    tool: oneOf(TOOLS, raw.tool, DEFAULTS.tool),
    toGrid: between(0, 1, raw.toGrid, DEFAULTS.toGrid),
    metric: oneOf(METRICS, raw.metric, DEFAULTS.metric),
    filterView: oneOf(FILTER_VIEWS, raw.filterView, DEFAULTS.filterView),
    histogramOrder: oneOf(HISTOGRAM_ORDERS, raw.histogramOrder, DEFAULTS.histogramOrder),
    maximaOrder: oneOf(MAXIMA_ORDERS, raw.maximaOrder, DEFAULTS.maximaOrder),
    weightMap: oneOf(WEIGHT_MAPS, raw.weightMap, DEFAULTS.weightMap),
    developed: oneOf(DEVELOPED, raw.developed, DEFAULTS.developed),
    developmentOrder: oneOf(DEVELOPMENT_ORDERS, raw.developmentOrder, DEFAULTS.developmentOrder),
    kernelScale: oneOf(KERNEL_SCALES, raw.kernelScale, DEFAULTS.kernelScale),
    kernelOrder: oneOf(KERNEL_ORDERS, raw.kernelOrder, DEFAULTS.kernelOrder),
    kernelsOn: oneOf(KERNELS_ON, raw.kernelsOn, DEFAULTS.kernelsOn),
    featureView: oneOf(FEATURE_VIEWS, raw.featureView, DEFAULTS.featureView),
    attributionColumns: oneOf(ATTRIBUTION_COLUMNS, raw.attributionColumns, DEFAULTS.attributionColumns),
    attributionMethod: typeof raw.attributionMethod === "string" ? raw.attributionMethod : null,
    attributionShown: oneOf(ATTRIBUTION_SHOWN, raw.attributionShown, DEFAULTS.attributionShown),
    attributionScale: oneOf(ATTRIBUTION_SCALES, raw.attributionScale, DEFAULTS.attributionScale),
    boxStyle: oneOf(BOX_STYLES, raw.boxStyle, DEFAULTS.boxStyle),
    twin: typeof raw.twin === "boolean" ? raw.twin : DEFAULTS.twin,
    smoothing: between(0, MOST_SMOOTHING, raw.smoothing, DEFAULTS.smoothing),
    areaShare: between(0.1, 0.9, raw.areaShare, DEFAULTS.areaShare),
    mapOpacity: between(0.2, 1, raw.mapOpacity, DEFAULTS.mapOpacity),
    opened: Number.isInteger(raw.opened) && (raw.opened as number) >= 0 ? (raw.opened as number) : null,
    pictured: oneOf(PICTURED, raw.pictured, DEFAULTS.pictured),
    overlay: oneOf(OVERLAYS, raw.overlay, DEFAULTS.overlay),
    channels: raw.channels === "all" || raw.channels === "mean" || Number.isInteger(raw.channels) ? (raw.channels as Settings["channels"]) : null,
    tile: oneOf(TILES, raw.tile, DEFAULTS.tile),
    order: oneOf(ORDERS, raw.order, DEFAULTS.order),
    pruneShare: typeof raw.pruneShare === "number" && raw.pruneShare >= 0 && raw.pruneShare <= 1 ? raw.pruneShare : null,
  };
}

export function loadSettings(): Settings {
  try {
    return parseSettings(localStorage.getItem(KEY));
  } catch {
    return { ...DEFAULTS };
  }
}

export function saveSettings(settings: Settings): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // Storage may be full or forbidden; the page works without it.
  }
}
