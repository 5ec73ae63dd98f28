//! NonMaxSuppression: the boxes with the best scores that do not overlap too much.

use base::threads::Pace;
use base::{DType, Result, Shape, bail, ensure};
use ir::Dim;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

const SIGNATURE: &str = "boxes:float, scores:float, max_output_boxes_per_class:int64?, iou_threshold:float?, score_threshold:float? \
                         -> selected_indices:int64";

/// NonMaxSuppression of `ai.onnx`.
pub static NON_MAX_SUPPRESSION: OpDef = OpDef {
    name: "NonMaxSuppression",
    versions: &[since(10, SIGNATURE, &[]), since(11, SIGNATURE, &[])],
    load: |a| match a.int("center_point_box", 0)? {
        format @ (0 | 1) => Ok(Box::new(NonMaxSuppression { centers: format == 1 })),
        other => bail!(InvalidGraph, "attribute 'center_point_box' is {other}, neither 0 nor 1"),
    },
    kernels: Kernels::NONE.stateless::<NonMaxSuppression>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct NonMaxSuppression {
    /// Whether boxes are given as center and size, not by corners.
    centers: bool,
}

impl Op for NonMaxSuppression {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        if let (Some(boxes), Some(scores)) = (cx.dims(0)?, cx.dims(1)?) {
            let fits = boxes.len() == 3 && scores.len() == 3 && boxes[2].known().is_none_or(|n| n == 4);
            ensure!(fits, InvalidGraph, "boxes of shape {boxes:?} with scores of shape {scores:?}");
        }
        let count = cx.fresh();
        cx.tensor(0, DType::I64, Some(vec![count, Dim::Known(3)].into()));
        Ok(())
    }
}

/// A box by its lower and upper bounds along both axes.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    x: (f32, f32),
    y: (f32, f32),
}

impl NonMaxSuppression {
    fn bounds(&self, b: &[f32]) -> Bounds {
        let sorted = |a: f32, b: f32| if a >= b { (b, a) } else { (a, b) };
        match self.centers {
            true => Bounds { x: (b[0] - b[2] / 2.0, b[0] + b[2] / 2.0), y: (b[1] - b[3] / 2.0, b[1] + b[3] / 2.0) },
            false => Bounds { x: sorted(b[1], b[3]), y: sorted(b[0], b[2]) },
        }
    }
}

impl Bounds {
    fn area(&self) -> f32 {
        (self.x.1 - self.x.0) * (self.y.1 - self.y.0)
    }

    /// Whether the common area is more than `threshold` of the area of both.
    fn overlaps(&self, other: &Self, threshold: f32) -> bool {
        let common = |a: (f32, f32), b: (f32, f32)| a.1.min(b.1) - a.0.max(b.0);
        let (width, height) = (common(self.x, other.x), common(self.y, other.y));
        if width <= 0.0 || height <= 0.0 {
            return false;
        }
        let (shared, own, others) = (width * height, self.area(), other.area());
        let union = own + others - shared;
        shared > 0.0 && own > 0.0 && others > 0.0 && union > 0.0 && shared / union > threshold
    }
}

impl Stateless for NonMaxSuppression {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let chosen = self.choose(cx)?;
        cx.allocate(0, DType::I64, [chosen.len(), 3])?;
        let y = cx.output(0)?.slice::<i64>()?;
        y.chunks_exact_mut(3).zip(chosen).for_each(|(to, from)| to.copy_from_slice(&from));
        Ok(())
    }
}

impl NonMaxSuppression {
    /// The chosen boxes: image, class and number of each.
    fn choose(&self, cx: &Run<'_>) -> Result<Vec<[i64; 3]>> {
        let (boxes, scores) = (cx.input(0)?, cx.input(1)?);
        let (&[images, count, four], &[score_images, classes, score_count]) = (boxes.shape(), scores.shape()) else {
            bail!(InvalidArgument, "boxes of shape {} with scores of {}", Shape::from(boxes.shape()), Shape::from(scores.shape()));
        };
        let fits = four == 4 && images == score_images && count == score_count;
        ensure!(fits, InvalidArgument, "boxes of shape {} with scores of {}", Shape::from(boxes.shape()), Shape::from(scores.shape()));
        let most = cx.optional(2)?.map_or(Ok(0), |t| t.scalar::<i64>())?;
        let most = usize::try_from(most).unwrap_or(0);
        let threshold = cx.optional(3)?.map_or(Ok(0.0), |t| t.scalar::<f32>())?;
        ensure!((0.0..=1.0).contains(&threshold), InvalidArgument, "iou_threshold must be in range [0, 1], not {threshold}");
        let least = cx.optional(4)?.map(|t| t.scalar::<f32>()).transpose()?;
        let (boxes, scores) = (boxes.slice::<f32>()?, scores.slice::<f32>()?);
        let mut chosen = Vec::new();
        let pace = Pace::default();
        for (image, class) in (0..images).flat_map(|i| (0..classes).map(move |c| (i, c))).filter(|_| most > 0) {
            let scores = &scores[(image * classes + class) * count..][..count];
            let bounds = |i: usize| self.bounds(&boxes[(image * count + i) * 4..][..4]);
            let mut order: Vec<usize> = (0..count).filter(|i| least.is_none_or(|least| scores[*i] > least)).collect();
            order.sort_by(|a, b| {
                pace.spend(8);
                scores[*b].total_cmp(&scores[*a]).then(a.cmp(b))
            });
            let mut kept: Vec<Bounds> = Vec::new();
            for i in order {
                if kept.len() == most {
                    break;
                }
                let candidate = bounds(i);
                pace.spend(4 * kept.len() + 8);
                if !kept.iter().any(|k| k.overlaps(&candidate, threshold)) {
                    kept.push(candidate);
                    chosen.push([image as i64, class as i64, i as i64]);
                }
            }
        }
        Ok(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn the_best_of_those_that_overlap() {
        let boxes = [0f32, 0.0, 1.0, 1.0, 0.0, 0.1, 1.0, 1.1, 0.0, 5.0, 1.0, 6.0];
        let op = |most: i64, least: f32| {
            let op = single(&NON_MAX_SUPPRESSION, 11).input([1, 3, 4], &boxes).input([1, 1, 3], &[0.9f32, 0.95, 0.5]);
            op.input([], &[most]).input([], &[0.5f32]).input([], &[least]).tensor().unwrap()
        };
        assert_eq!(op(3, 0.0).slice::<i64>().unwrap(), [0, 0, 1, 0, 0, 2]);
        assert_eq!(op(1, 0.0).slice::<i64>().unwrap(), [0, 0, 1]);
        assert_eq!(&**op(3, 0.95).shape(), [0, 3]);
        assert_eq!(&**op(0, 0.0).shape(), [0, 3]);
    }

    #[test]
    fn a_threshold_out_of_range_is_refused() {
        let op = single(&NON_MAX_SUPPRESSION, 11).input([1, 1, 4], &[0f32; 4]).input([1, 1, 1], &[0f32]).input([1], &[1i64]);
        assert!(op.input([1], &[1.5f32]).tensor().is_err());
    }
}
