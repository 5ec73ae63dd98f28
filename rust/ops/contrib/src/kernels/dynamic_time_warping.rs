//! DynamicTimeWarping: the cheapest path through a matrix of costs, as speech recognition aligns words with time.

use base::threads::paced;
use base::{DType, Result, Shape, bail};
use ir::Dim;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

/// DynamicTimeWarping of `com.microsoft`.
pub static DYNAMIC_TIME_WARPING: OpDef = OpDef {
    name: "DynamicTimeWarping",
    versions: &[since(1, "input:F -> output:I", &[("F", TypeSet::tensors(&[DType::F32])), ("I", TypeSet::tensors(&[DType::I32]))])],
    load: |_| Ok(Box::new(DynamicTimeWarping)),
    kernels: Kernels::NONE.stateless::<DynamicTimeWarping>(),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct DynamicTimeWarping;

/// From where a path comes to a point.
#[derive(Clone, Copy, PartialEq)]
enum From {
    Diagonal,
    Above,
    Left,
}

/// The steps of the cheapest paths from the first point to each of `rows` by `cols`.
fn steps(costs: &[f32], rows: usize, cols: usize) -> Vec<From> {
    let mut steps = vec![From::Left; rows * cols];
    // Costs of paths to the points of the row above and of this one, behind a border that no path comes from.
    let (mut above, mut here) = (vec![f32::INFINITY; cols + 1], vec![f32::INFINITY; cols + 1]);
    above[0] = 0.0;
    for row in paced(0..rows, cols) {
        for col in 0..cols {
            let (diagonal, up, left) = (above[col], above[col + 1], here[col]);
            let (from, cost) = if diagonal < up && diagonal < left {
                (From::Diagonal, diagonal)
            } else if up < diagonal && up < left {
                (From::Above, up)
            } else {
                (From::Left, left)
            };
            steps[row * cols + col] = from;
            here[col + 1] = cost + costs[row * cols + col];
        }
        std::mem::swap(&mut above, &mut here);
        here[0] = f32::INFINITY;
    }
    steps
}

/// The points of the path to the last point.
fn path(steps: &[From], rows: usize, cols: usize) -> Vec<(usize, usize)> {
    let (mut row, mut col) = (rows, cols);
    let mut path = Vec::with_capacity(rows + cols);
    while row > 0 || col > 0 {
        path.push((row.wrapping_sub(1), col.wrapping_sub(1)));
        // At the border there is one way only.
        let from = match (row, col) {
            (0, _) => From::Left,
            (_, 0) => From::Above,
            _ => steps[(row - 1) * cols + col - 1],
        };
        row -= usize::from(from != From::Left);
        col -= usize::from(from != From::Above);
    }
    path.reverse();
    path
}

impl Op for DynamicTimeWarping {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let length = cx.fresh();
        cx.tensor(0, DType::I32, Some([Dim::Known(2), length].into_iter().collect()));
        Ok(())
    }
}

impl Stateless for DynamicTimeWarping {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let x = cx.input(0)?;
        let (&[rows, cols] | &[1, rows, cols]) = x.shape() else {
            bail!(InvalidArgument, "costs of shape {}, not of rows and columns", Shape::from(x.shape()));
        };
        let path = if rows * cols == 0 { Vec::new() } else { path(&steps(x.slice::<f32>()?, rows, cols), rows, cols) };
        cx.allocate(0, DType::I32, [2, path.len()])?;
        let (of_rows, of_cols) = cx.output(0)?.slice::<i32>()?.split_at_mut(path.len());
        for (i, (row, col)) in path.into_iter().enumerate() {
            (of_rows[i], of_cols[i]) = ((row as u32).cast_signed(), (col as u32).cast_signed());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn the_cheapest_path() {
        let op = single(&DYNAMIC_TIME_WARPING, 1).input([3, 3], &[1f32, 9., 9., 1., 9., 9., 9., 1., 1.]);
        let y = op.tensor().unwrap();
        assert_eq!((&**y.shape(), y.slice::<i32>().unwrap()), (&[2, 4][..], &[0, 1, 2, 2, 0, 0, 1, 2][..]));
    }

    #[test]
    fn costs_of_other_shapes_are_refused() {
        assert!(single(&DYNAMIC_TIME_WARPING, 1).input([2, 1, 1], &[1f32; 2]).tensor().unwrap_err().detail().contains("{2,1,1}"));
        assert_eq!(&**single(&DYNAMIC_TIME_WARPING, 1).input([1 << 40, 0], &[0f32; 0]).tensor().unwrap().shape(), [2, 0]);
    }
}
