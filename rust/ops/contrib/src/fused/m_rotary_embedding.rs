//! MRotaryEmbedding: rotary positions of three streams, time, height and width.

use base::{DType, Result, Tensor, bail, ensure};
use ir::{Attribute, Fact, Graph, Node, ValueId};
use op::body::{Body, Composed};
use op::{Attrs, OpDef, TypeSet, since};

use super::{TYPES, last};

/// MRotaryEmbedding of `com.microsoft`: RotaryEmbedding whose angles come from one of three positions each.
pub static M_ROTARY_EMBEDDING: OpDef = OpDef {
    name: "MRotaryEmbedding",
    versions: &[since(
        1,
        "input:T, position_ids:M, cos_cache:T, sin_cache:T -> output:T",
        &[("T", TYPES), ("M", TypeSet::tensors(&[DType::I64]))],
    )],
    load: |a| {
        Streams::read(a)?;
        ["interleaved", "num_heads", "rotary_embedding_dim"].iter().try_for_each(|name| a.opt_int(name).map(drop))?;
        // How batches lie makes no difference, and the factor has none where positions are given.
        ["is_packed_batching", "scale"].iter().for_each(|name| a.ignore(name));
        Ok(Box::new(Composed))
    },
    body: Some(body),
    ..OpDef::MICROSOFT
};

/// Which stream each angle takes its position from.
struct Streams {
    sections: [i64; 3],
    interleaved: bool,
}

impl Streams {
    fn read(a: &Attrs<'_>) -> Result<Self> {
        let given = a.opt_ints("mrope_section")?.unwrap_or_default();
        let &[time, height, width] = given else { bail!(InvalidGraph, "attribute 'mrope_section' is {given:?}, not three numbers") };
        ensure!(given.iter().all(|n| *n >= 0), InvalidGraph, "attribute 'mrope_section' is {given:?}");
        Ok(Self { sections: [time, height, width], interleaved: a.flag("mrope_layout", false)? })
    }

    /// The stream of angle `i`.
    fn of(&self, i: i64) -> usize {
        let [time, height, width] = self.sections;
        match i % 3 {
            _ if !self.interleaved => usize::from(i >= time) + usize::from(i >= time + height),
            1 if i < 3 * height => 1,
            2 if i < 3 * width => 2,
            _ => 0,
        }
    }

    /// Rows of `cache` at the positions of each stream, and of each row the angles of that stream.
    fn chosen(&self, b: &mut Body, cache: ValueId, angles: i64) -> Result<ValueId> {
        let mut rows = Vec::new();
        for stream in 0..3 {
            let (positions, place) = (b.required(1)?, b.constant(Tensor::scalar(stream)?));
            let positions = b.node(("Gather", 13), &[positions, place], &[("axis", Attribute::Int(0))]);
            rows.push(b.node(("Gather", 13), &[cache, positions], &[("axis", Attribute::Int(0))]));
        }
        let mut all = rows[0];
        for stream in [1, 2] {
            let mask: Vec<bool> = (0..angles).map(|i| self.of(i) == stream).collect();
            let mask = b.constant(Tensor::from_slice([mask.len()], &mask)?);
            all = b.node(("Where", 16), &[mask, rows[stream], all], &[]);
        }
        Ok(all)
    }
}

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let (mut b, attributes) = (Body::of(node), Attrs::new(node));
    let (streams, angles) = (Streams::read(&attributes)?, last(facts, 2)?);
    let (cos, sin) = (b.required(2)?, b.required(3)?);
    let (cos, sin) = (streams.chosen(&mut b, cos, angles)?, streams.chosen(&mut b, sin, angles)?);
    let kept = ["interleaved", "num_heads", "rotary_embedding_dim"];
    let y = b.node_like(node, ("", "RotaryEmbedding", 23), &[b.input(0), Some(cos), Some(sin)], &kept, &[]);
    Ok(b.finish(&[y]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_of_each_stream() {
        let streams = |interleaved| Streams { sections: [3, 2, 1], interleaved };
        let of = |s: &Streams| (0..6).map(|i| s.of(i)).collect::<Vec<_>>();
        assert_eq!(of(&streams(false)), [0, 0, 0, 1, 1, 2]);
        assert_eq!(of(&streams(true)), [0, 1, 2, 0, 1, 0]);
    }
}
