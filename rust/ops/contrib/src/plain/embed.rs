//! QEmbedLayerNormalization: EmbedLayerNormalization whose tables are bytes.

use base::{DType, Result};
use ir::{Attribute, Fact, Graph, Node};
use op::body::{Body, Composed};
use op::{Attrs, OpDef, TypeSet, since};

use crate::q_linear::{BYTES, dequantize_at};

const SIGNATURE: &str = "input_ids:T1, segment_ids:T1?, word_embedding_quant:T2, position_embedding_quant:T2, segment_embedding:T2?, \
                         gamma_quant:T2, beta_quant:T2, mask:T1?, word_embedding_scale:T, position_embedding_scale:T, \
                         segment_embedding_scale:T?, gamma_scale:T, beta_scale:T, word_embedding_zero_point:T2, \
                         position_embedding_zero_point:T2, segment_embedding_zero_point:T2?, gamma_zero_point:T2, \
                         beta_zero_point:T2 -> layernorm_out:T, mask_index_out:T1";

/// QEmbedLayerNormalization of `com.microsoft`.
pub static Q_EMBED_LAYER_NORMALIZATION: OpDef = OpDef {
    name: "QEmbedLayerNormalization",
    versions: &[since(1, SIGNATURE, &[("T1", TypeSet::tensors(&[DType::I32])), ("T2", BYTES), ("T", TypeSet::tensors(&[DType::F32]))])],
    load: |a| {
        a.opt_float("epsilon")?;
        Ok(Box::new(Composed))
    },
    body: Some(body),
    ..OpDef::MICROSOFT
};

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let table = |b: &mut Body, i: usize| dequantize_at(b, facts, [i, i + 6, i + 11], 0);
    let tables = [2, 3, 5, 6].map(|i| table(&mut b, i));
    let segments = if b.input(4).is_some() { Some(table(&mut b, 4)?) } else { None };
    let [words, positions, gamma, beta] = tables;
    let inputs = [b.input(0), b.input(1), Some(words?), Some(positions?), segments, Some(gamma?), Some(beta?), b.input(7)];
    let epsilon = [("epsilon", Attribute::Float(Attrs::new(node).float("epsilon", 1e-12)?))];
    let asked = vec![true; node.outputs.len()];
    let outputs = b.nodes_of(("com.microsoft", "EmbedLayerNormalization", 1), &inputs, &epsilon, &asked);
    Ok(b.finish(&outputs))
}
