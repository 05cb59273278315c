"""Every number that an alert depends on, in one place, with the reason for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """When something is called wrong.  A share lies between 0 and 1; checks are records of one layer, one after another."""

    # A filter is dead when it is so in this many checks in a row: one check is one state of the weights, and a
    # filter that fires for rare inputs can miss a probe set once.  The alert goes after as many checks without one.
    dead_checks: int = 2
    # Share of a layer's filters above which their loss is a fault, not a saving: SageMaker Debugger's rule
    # DeadRelu fires when more than 50 % of a layer is dead.  Below, the alert is advice: they can be pruned.
    dead_share: float = 0.5

    # Share of samples × positions below which a rectifier is as good as dead: SageMaker Debugger's DeadRelu and the
    # project's notes on pruning (APoZ of 0.99, Hu et al. 2016, *Network Trimming*).
    # In 216 networks (benchmarks/detection.py) ablating all such filters changed 0.33 % of the predictions at most; below 5 %
    # it is 1.7 %, below 10 % 3.7 %.
    nearly_dead_active: float = 0.01
    nearly_dead_checks: int = 2
    # A filter's weight norm, or batch-norm scale, relative to the layer's median: what is below adds less than a tenth of
    # what others add to a sum.  Norms of random and trained kernels of one layer lie within a factor of 3 of each other.
    # In benchmarks/detection.py no healthy filter lies below 0.3; of planted ones all 259 below 0.1 are named, none above 0.15.
    energy_ratio: float = 0.1
    energy_checks: int = 2
    # Of fewer filters a median says little: of two it is their mean.
    energy_filters: int = 4
    # Filters called redundant are so by `FilterSimilarity`'s thresholds; early in training filters still part.
    redundant_filter_checks: int = 3
    # Share of samples × positions with a gradient (`featwatch.activations`) below which a unit is a switch.
    saturated_responsive: float = 0.01
    saturated_checks: int = 2
    # Nine in ten living filters: one that bends makes the layer as a whole bend, but a tenth do little.
    linear_filters: float = 0.9
    linear_piece: float = 0.99
    # A tangent misses tanh by 2 % of the range where values lie within ±0.24, a sigmoid within 0.5 ± 0.12.
    linear_bend: float = 0.02
    # Freshly initialised layers may work in the middle of a smooth function until their weights have grown.
    linear_checks: int = 3
    # Geary's C of noise is 1.  On digits and on drawn shapes first kernels of 5 × 5 ended at a median of 0.57 to 0.69, of
    # 7 × 7 before a batch normalisation at 0.84 to 0.89; of 3 × 3, which are edges and dots, at 0.79 to 1.13 in nets that
    # were right about every sample: these are not judged.
    # In benchmarks/detection.py 4 of 18 healthy 5 × 5 nets still have 0.9 after 15 epochs: this can be advice only.
    noisy_roughness: float = 0.9
    noisy_width: int = 5
    noisy_filters: int = 8
    noisy_epochs: int = 5
    noisy_checks: int = 2
    # The model has settled where its accuracy on the probe rose by less than this within so many checks.
    noisy_progress: float = 0.01
    noisy_plateau: int = 3

    # What is not finite never becomes so again by training on: once is enough.
    not_finite_checks: int = 1

    # What a model must have reached above chance before it can be said to lose it.
    learnt: float = 0.1
    # Share of its kNN accuracy above chance that the deepest layer must lose.  Of 46 healthy trainings on digits one
    # lost an accuracy of 0.09 for a check, the others less than 0.05; a learning rate of 1 costs nearly all of it.
    collapse_share: float = 0.3
    # Above this there is hardly anything left to lose.
    collapse_critical_share: float = 0.7
    collapse_checks: int = 2
    # Smaller falls than this many standard errors of an accuracy over the probe are its noise: 3 σ.
    standard_errors: float = 3.0

    # Share of the samples that are given one class.  Not 1: a few outliers may still be told apart.
    one_class_share: float = 0.99
    one_class_checks: int = 2

    # A layer adds nothing where the features behind it are nearly those before it (linear CKA) and no gain is as large
    # as these.  Chosen on 108 trainings of a dozen small nets on digits, digits in noise, generated cells and dice, 16
    # epochs at most: of 269 sound layers none is named; of 72 planted ones 31 are, all 21 frozen identities and all 6
    # closed residual branches among them.  With a CKA of 0.99 two sound layers are named (and 34 planted ones), with
    # 0.985 four, with 0.98 seven: deep convolutions on cells that the layer before separates already, and second
    # convolutions on digits, where two of them see nearly the same.  What trains on from an identity has mostly come
    # to add something, and a dense layer more adds silhouette.  On other nets, data and seeds: benchmarks/redundant_layers.py.
    redundant_cka: float = 0.995
    redundant_knn_gain: float = 0.01
    redundant_silhouette_gain: float = 0.03
    redundant_probe_gain: float = 0.02
    redundant_checks: int = 4
    # Share of the best layer's kNN accuracy above chance that the layer before must have: early layers prepare.  The
    # second convolutions on digits stood behind 0.93 to 0.965.
    redundant_saturation: float = 0.97
    # Layers that nothing tells apart: no difference larger, and this CKA.  How far separation is then does not matter,
    # nor whether the model still learns: frozen identities are found so by the fourth check.
    redundant_same: float = 0.005
    redundant_same_cka: float = 0.998
    # It is gone where a gain, or what CKA lacks of 1, is so many times as large, or the saturation smaller by so much.
    redundant_release: float = 1.5
    redundant_slack: float = 0.03
    # A model has learnt when its best layer has half of what lies above chance, and rises by less than `progress`
    # within so many checks.
    redundant_learnt: float = 0.5
    redundant_progress: float = 0.01
    redundant_plateau: int = 3

    # Half-way between points at random, 0.5, and a layout that shows nobody beside whom he is not near, 1.  The page
    # veils a picture below the same number (`DOUBTFUL` in frontend/src/model/belief.ts).
    layout_trustworthiness: float = 0.75
    # Share of the neighbours above chance: UMAP and t-SNE keep 0.5 to 0.7 of them, PCA 0.3 (notes of this project).
    layout_neighbors_kept: float = 0.05
    # Spearman's ρ of the movement in the features and in the plane: 0 where every epoch is laid out afresh, with one
    # seed too, 0.4 for AlignedUMAP, 0.7 to 0.98 for layouts that start from the last.
    layout_stability: float = 0.2
    # By so much of the layout's radius half of the samples must have moved, while half of them moved by less than that
    # in the features, in distances to the k-th neighbour: in its first epochs a healthy network moves everything.
    layout_moved: float = 0.25
    layout_features_moved: float = 0.5
    layout_checks: int = 2
    # Below, ranks are too few: of 30 points at random the trustworthiness is 0.5 ± 0.03 already.
    layout_samples: int = 30


DEFAULTS = Thresholds()
