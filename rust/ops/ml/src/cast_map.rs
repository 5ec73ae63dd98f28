//! CastMap: the values of a dictionary as a row.

use base::{DType, Result, Strings, Tensor, bail, ensure};
use ir::Dim;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

use crate::features::{ML, count};
use crate::maps;

/// CastMap of `ai.onnx.ml`.
pub static CAST_MAP: OpDef = OpDef {
    name: "CastMap",
    versions: &[since(1, "X:T1 -> Y:T2", &[("T1", TypeSet::NONE.and_others(&["map(int64,tensor(string))", "map(int64,tensor(float))"]))])],
    load: |a| {
        let to = [DType::F32, DType::String, DType::I64];
        let to = to[a.choice("cast_to", &["TO_FLOAT", "TO_STRING", "TO_INT64"], "TO_FLOAT")?];
        let dense = a.choice("map_form", &["DENSE", "SPARSE"], "DENSE")? == 0;
        let columns = count("max_map", a.int("max_map", 1)?)?;
        Ok(Box::new(CastMap { to, columns: (!dense).then_some(columns) }))
    },
    kernels: Kernels::NONE.stateless::<CastMap>(),
    ..ML
};

#[derive(Clone, Debug)]
struct CastMap {
    to: DType,
    /// How many columns there are if keys tell the column; else there is one for each value.
    columns: Option<usize>,
}

impl Op for CastMap {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        maps::types(cx)?;
        let columns = match self.columns {
            Some(n) => Dim::from(n),
            None => cx.fresh(),
        };
        cx.tensor(0, self.to, Some([Dim::Known(1), columns].into_iter().collect()));
        Ok(())
    }
}

/// A value of the dictionary as text, and as a number if it is one.
enum Item<'a> {
    Text(&'a str),
    Number(f32),
}

impl Item<'_> {
    fn float(&self) -> Result<f32> {
        match self {
            Self::Number(x) => Ok(*x),
            Self::Text(s) => s.trim().parse().map_err(|_| base::error!(InvalidArgument, "'{s}' is no number")),
        }
    }

    fn int(&self) -> Result<i64> {
        match self {
            Self::Number(x) => Ok(*x as i64),
            Self::Text(s) => s.trim().parse().map_err(|_| base::error!(InvalidArgument, "'{s}' is no integer")),
        }
    }

    /// As C++ writes numbers: with six digits behind the point.
    fn text(&self) -> String {
        match self {
            Self::Number(x) => format!("{x:.6}"),
            Self::Text(s) => (*s).to_owned(),
        }
    }
}

impl CastMap {
    /// For each column, which value stands there.
    fn places(&self, keys: &[i64]) -> Result<Vec<Option<usize>>> {
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by_key(|&i| keys[i]);
        let Some(columns) = self.columns else { return Ok(order.into_iter().map(Some).collect()) };
        let least = order.first().map_or(0, |&i| keys[i]);
        ensure!(least >= 0, InvalidArgument, "Negative index values are not permitted. First entry in map has index value of {least}");
        let mut places = vec![None; columns];
        for i in order {
            if let Some(place) = usize::try_from(keys[i]).ok().and_then(|k| places.get_mut(k)) {
                *place = Some(i);
            }
        }
        Ok(places)
    }
}

impl Stateless for CastMap {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let map = maps::input(cx)?;
        let values: Tensor = maps::values(&map)?;
        let keys = map.keys.slice::<i64>()?;
        ensure!(keys.len() == values.len(), InvalidArgument, "{} keys have {} values", keys.len(), values.len());
        let items: Vec<Item<'_>> = match values.dtype() {
            DType::F32 => values.slice::<f32>()?.iter().map(|&x| Item::Number(x)).collect(),
            DType::String => values.as_ref().strings()?.iter().map(Item::Text).collect(),
            other => bail!(InvalidArgument, "values of type {other} are not cast"),
        };
        let places = self.places(keys)?;
        let each = places.iter().map(|p| p.map(|i| &items[i]));
        let shape = [1, places.len()];
        match self.to {
            DType::F32 => {
                let row = each.map(|i| i.map_or(Ok(0.0), Item::float)).collect::<Result<Vec<f32>>>()?;
                cx.set(0, Tensor::from_slice(shape, &row)?)
            }
            DType::I64 => {
                let row = each.map(|i| i.map_or(Ok(0), Item::int)).collect::<Result<Vec<i64>>>()?;
                cx.set(0, Tensor::from_slice(shape, &row)?)
            }
            // The text that ONNX Runtime fills gaps with.
            _ => cx.set_strings(0, shape, each.map(|i| i.map_or_else(|| "0.f".to_owned(), Item::text)).collect::<Strings>()),
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::{Single, assert_close, single};

    use super::*;
    use crate::maps::testing::{map, text};

    fn cast(to: &str) -> Single {
        single(&CAST_MAP, 1).attr("cast_to", to)
    }

    #[test]
    fn dense_maps_are_ordered_by_key() {
        let keys = Tensor::from_slice([2], &[5i64, -1]).unwrap();
        let texts = || map(keys.clone(), &[text("2.5"), text("7")]);
        assert_close(&cast("TO_FLOAT").value(texts()).tensor().unwrap(), &[7., 2.5], 0., 0.);
        let numbers = map(keys.clone(), &[Tensor::scalar(2.5f32).unwrap(), Tensor::scalar(-3f32).unwrap()]);
        assert_eq!(cast("TO_INT64").value(numbers.clone()).tensor().unwrap().slice::<i64>().unwrap(), [-3, 2]);
        let t = cast("TO_STRING").value(numbers).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<Vec<_>>(), ["-3.000000", "2.500000"]);
        assert!(cast("TO_INT64").value(texts()).tensor().unwrap_err().detail().contains("'2.5' is no integer"));
    }

    #[test]
    fn sparse_maps_have_gaps() {
        let sparse = || cast("TO_FLOAT").attr("map_form", "SPARSE").attr("max_map", 4);
        let value = |key: i64| map(Tensor::from_slice([1], &[key]).unwrap(), &[Tensor::scalar(2f32).unwrap()]);
        assert_close(&sparse().value(value(2)).tensor().unwrap(), &[0., 0., 2., 0.], 0., 0.);
        assert_close(&sparse().value(value(9)).tensor().unwrap(), &[0.; 4], 0., 0.);
        assert!(sparse().value(value(-2)).tensor().unwrap_err().detail().contains("index value of -2"));
    }
}
