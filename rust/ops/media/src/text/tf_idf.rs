//! TfIdfVectorizer: how often known n-grams occur in sequences of tokens, weighted.

use std::collections::HashMap;

use base::threads::paced;
use base::{DType, Result, Shape, TensorRef, bail, ensure};
use ir::{Dim, Dims};
use op::{Attrs, Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

/// TfIdfVectorizer of `ai.onnx`.
pub static TF_IDF_VECTORIZER: OpDef = OpDef {
    name: "TfIdfVectorizer",
    versions: &[since(
        9,
        "X:T -> Y:T1",
        &[("T", TypeSet::tensors(&[DType::String, DType::I32, DType::I64])), ("T1", TypeSet::tensors(&[DType::F32]))],
    )],
    load: |a| TfIdfVectorizer::load(a).map(|t| Box::new(t) as Box<dyn Op>),
    kernels: Kernels::NONE.stateless::<TfIdfVectorizer>(),
    ..OpDef::ONNX
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Counts.
    Tf,
    /// Weights of what occurs at all.
    Idf,
    /// Counts times weights.
    TfIdf,
}

/// The tokens of which n-grams are made, numbered.
#[derive(Clone, Debug)]
enum Tokens {
    Ints(HashMap<i64, u32>),
    Strings(HashMap<String, u32>),
}

/// A known n-gram.
#[derive(Clone, Copy, Debug)]
struct Gram {
    /// Where it is counted.
    output: usize,
    weight: f32,
}

/// The known n-grams as a tree: node 0 is the root, and each token leads from a node to the next.
#[derive(Clone, Debug, Default)]
struct Grams {
    edges: HashMap<(u32, u32), u32>,
    /// What ends at each node.
    ends: Vec<Option<Gram>>,
}

#[derive(Clone, Debug)]
struct TfIdfVectorizer {
    mode: Mode,
    tokens: Tokens,
    grams: Grams,
    shortest: usize,
    longest: usize,
    skips: usize,
    /// The size of a row of the output.
    size: usize,
}

impl Grams {
    fn insert(&mut self, gram: &[u32], end: Gram) -> Result<()> {
        if self.ends.is_empty() {
            self.ends.push(None);
        }
        let mut node = 0;
        for &token in gram {
            let fresh = self.ends.len() as u32;
            node = *self.edges.entry((node, token)).or_insert(fresh);
            if node == fresh {
                self.ends.push(None);
            }
        }
        let place = &mut self.ends[node as usize];
        ensure!(place.is_none(), InvalidGraph, "Duplicate ngram detected, size: {}", gram.len());
        *place = Some(end);
        Ok(())
    }
}

fn size(a: &Attrs<'_>, name: &str, least: i64) -> Result<usize> {
    let given = a.required_int(name)?;
    ensure!(given >= least, InvalidGraph, "attribute '{name}' is {given}, but must be at least {least}");
    Ok(usize::try_from(given).unwrap_or(usize::MAX))
}

/// Numbers the tokens of the pool, and gives the pool as numbers.
fn tokens(a: &Attrs<'_>) -> Result<(Tokens, Vec<u32>)> {
    fn number<K: std::hash::Hash + Eq>(pool: impl Iterator<Item = K>) -> (HashMap<K, u32>, Vec<u32>) {
        let mut known = HashMap::new();
        let numbers = pool.map(|token| {
            let fresh = known.len() as u32;
            *known.entry(token).or_insert(fresh)
        });
        let numbers = numbers.collect();
        (known, numbers)
    }
    let (ints, strings) = (a.opt_ints("pool_int64s")?, a.opt_strings("pool_strings")?);
    let len = ints.map_or(0, <[i64]>::len).max(strings.as_ref().map_or(0, Vec::len));
    ensure!(u32::try_from(len).is_ok(), InvalidGraph, "a pool of {len} tokens is too large");
    match (ints.filter(|p| !p.is_empty()), strings.filter(|p| !p.is_empty())) {
        (Some(ints), None) => {
            let (known, pool) = number(ints.iter().copied());
            Ok((Tokens::Ints(known), pool))
        }
        (None, Some(strings)) => {
            let (known, pool) = number(strings.into_iter());
            Ok((Tokens::Strings(known), pool))
        }
        _ => bail!(InvalidGraph, "either 'pool_int64s' or 'pool_strings' must hold tokens, and not both"),
    }
}

impl TfIdfVectorizer {
    fn load(a: &Attrs<'_>) -> Result<Self> {
        let mode = match a.choice("mode", &["TF", "IDF", "TFIDF"], "")? {
            0 => Mode::Tf,
            1 => Mode::Idf,
            _ => Mode::TfIdf,
        };
        let (shortest, longest) = (size(a, "min_gram_length", 1)?, size(a, "max_gram_length", 1)?);
        let skips = size(a, "max_skip_count", 0)?;
        let (tokens, pool) = tokens(a)?;
        let counts = a.opt_ints("ngram_counts")?.unwrap_or_default();
        ensure!(shortest <= longest, InvalidGraph, "min_gram_length is {shortest}, but max_gram_length is {longest}");
        ensure!(longest <= counts.len(), InvalidGraph, "max_gram_length is {longest}, but ngram_counts has {} elements", counts.len());
        let ends = ends(a)?;
        let size = ends.iter().map(|e| e.output).max().map_or(0, |n| n.saturating_add(1));
        let grams = grams(&pool, counts, &ends, shortest..=longest)?;
        Ok(Self { mode, tokens, grams, shortest, longest, skips, size })
    }
}

/// Place and weight of each n-gram of the pool.
fn ends(a: &Attrs<'_>) -> Result<Vec<Gram>> {
    let indexes = a.opt_ints("ngram_indexes")?.unwrap_or_default();
    ensure!(!indexes.is_empty(), InvalidGraph, "attribute 'ngram_indexes' must not be empty");
    let weights = a.opt_floats("weights")?.filter(|w| !w.is_empty());
    if let Some(weights) = weights {
        ensure!(weights.len() == indexes.len(), InvalidGraph, "{} weights are given for {} n-grams", weights.len(), indexes.len());
    }
    let end = |(i, &index): (usize, &i64)| {
        let Ok(output) = usize::try_from(index) else { bail!(InvalidGraph, "attribute 'ngram_indexes' holds {index}") };
        Ok(Gram { output, weight: weights.map_or(1.0, |w| w[i]) })
    };
    indexes.iter().enumerate().map(end).collect()
}

/// The tree of the n-grams whose lengths are asked for. `counts` says where in the pool those of each length begin.
fn grams(pool: &[u32], counts: &[i64], ends: &[Gram], lengths: std::ops::RangeInclusive<usize>) -> Result<Grams> {
    let mut tree = Grams::default();
    let mut next = ends.iter();
    let begin = |i: usize| counts.get(i).map_or(Some(pool.len()), |&c| usize::try_from(c).ok());
    for n in 1..=counts.len() {
        let part = begin(n - 1).zip(begin(n)).and_then(|(from, to)| pool.get(from..to));
        let Some(part) = part else { bail!(InvalidGraph, "ngram_counts {counts:?} does not divide a pool of {} tokens", pool.len()) };
        ensure!(part.len().is_multiple_of(n), InvalidGraph, "{} tokens of the pool do not make n-grams of {n}", part.len());
        for gram in part.chunks_exact(n) {
            let Some(end) = next.next() else { bail!(InvalidGraph, "ngram_indexes has {} elements for more n-grams", ends.len()) };
            if lengths.contains(&n) {
                tree.insert(gram, *end)?;
            }
        }
    }
    ensure!(next.len() == 0, InvalidGraph, "ngram_indexes has {} elements for fewer n-grams", ends.len());
    Ok(tree)
}

impl Op for TfIdfVectorizer {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let strings = cx.dtype(0)? == DType::String;
        let fits = strings == matches!(self.tokens, Tokens::Strings(_));
        ensure!(fits, InvalidGraph, "the input is of type {}, but the pool is not", cx.dtype(0)?);
        let size = Dim::from(self.size);
        let dims: Option<Dims> = match cx.dims(0)? {
            None => None,
            Some([] | [_]) => Some([size].into_iter().collect()),
            Some([batch, _]) => Some([batch.clone(), size].into_iter().collect()),
            Some(dims) => bail!(InvalidGraph, "the input must have one or two axes, not shape {dims:?}"),
        };
        cx.tensor(0, DType::F32, dims);
        Ok(())
    }
}

impl TfIdfVectorizer {
    /// The numbers of the tokens of the input; `None` for those that no n-gram holds.
    fn numbers(&self, x: TensorRef<'_>) -> Result<Vec<Option<u32>>> {
        Ok(match (&self.tokens, x.dtype()) {
            (Tokens::Strings(known), DType::String) => paced(x.strings()?.iter(), 32).map(|s| known.get(s).copied()).collect(),
            (Tokens::Ints(known), DType::I32) => paced(x.slice::<i32>()?.iter(), 16).map(|&v| known.get(&v.into()).copied()).collect(),
            (Tokens::Ints(known), DType::I64) => paced(x.slice::<i64>()?.iter(), 16).map(|v| known.get(v).copied()).collect(),
            (_, other) => bail!(InvalidArgument, "the input is of type {other}, but the pool is not"),
        })
    }

    /// Counts the n-grams of `row` in `out`.
    fn count(&self, row: &[Option<u32>], out: &mut [f32]) {
        let mut shortest = self.shortest;
        for distance in 1..=self.skips.saturating_add(1) {
            // How far the last token of the shortest n-gram is from its first.
            let reach = distance.saturating_mul(shortest - 1);
            if reach >= row.len() {
                break;
            }
            for start in paced(0..row.len() - reach, 32) {
                self.follow(&row[start..], distance, shortest, out);
            }
            // Single tokens are the same at any distance, and count once.
            if shortest == 1 {
                shortest = 2;
                if self.longest < 2 {
                    break;
                }
            }
        }
    }

    /// Counts the n-grams that begin with `row` and take every token at `distance`.
    fn follow(&self, row: &[Option<u32>], distance: usize, shortest: usize, out: &mut [f32]) {
        let mut node = 0;
        for (n, token) in (1..=self.longest).zip(row.iter().step_by(distance)) {
            let next = token.and_then(|token| self.grams.edges.get(&(node, token)));
            let Some(&next) = next else { return };
            node = next;
            if let (true, Some(gram)) = (n >= shortest, self.grams.ends[node as usize]) {
                let place = &mut out[gram.output];
                match self.mode {
                    Mode::Tf => *place += 1.0,
                    Mode::Idf => *place = gram.weight,
                    Mode::TfIdf => *place += gram.weight,
                }
            }
        }
    }
}

impl Stateless for TfIdfVectorizer {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let x = cx.input(0)?;
        let numbers = self.numbers(x)?;
        let (shape, rows): (Shape, usize) = match *x.shape() {
            [] | [_] => ([self.size].into(), 1),
            [batch, _] => ([batch, self.size].into(), batch),
            ref other => bail!(InvalidArgument, "the input must have one or two axes, not shape {other:?}"),
        };
        cx.allocate(0, DType::F32, shape)?;
        let out = cx.output(0)?.slice::<f32>()?;
        out.fill(0.0);
        if rows == 0 || numbers.is_empty() {
            return Ok(());
        }
        for (out, row) in out.chunks_exact_mut(self.size).zip(numbers.chunks_exact(numbers.len() / rows)) {
            self.count(row, out);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ir::Attribute;
    use testkit::{Single, assert_close, single};

    use super::*;

    /// The vectorizer of the standard's examples: unigrams 2 3 5 4 and bigrams 5 6, 7 8, 6 7.
    fn vectorizer(mode: &str, lengths: (i64, i64), skips: i64) -> Single {
        let s = single(&TF_IDF_VECTORIZER, 9).attr("mode", mode).attr("max_skip_count", skips);
        let s = s.attr("min_gram_length", lengths.0).attr("max_gram_length", lengths.1).attr("ngram_counts", vec![0, 4]);
        s.attr("ngram_indexes", vec![0, 1, 2, 3, 4, 5, 6]).attr("pool_int64s", vec![2, 3, 5, 4, 5, 6, 7, 8, 6, 7])
    }

    const ROW: [i32; 12] = [1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8];

    #[test]
    fn follows_the_examples_of_the_standard() {
        let t = vectorizer("TF", (2, 2), 0).input([12], &ROW).tensor().unwrap();
        assert_close(&t, &[0., 0., 0., 0., 1., 1., 1.], 0.0, 0.0);
        let t = vectorizer("TF", (2, 2), 5).input([12], &ROW).tensor().unwrap();
        assert_close(&t, &[0., 0., 0., 0., 1., 3., 1.], 0.0, 0.0);
        let t = vectorizer("TF", (1, 2), 5).input([2, 6], &ROW).tensor().unwrap();
        assert_close(&t, &[0., 3., 0., 0., 0., 0., 0., 0., 0., 1., 0., 1., 1., 1.], 0.0, 0.0);
        assert_eq!(&**t.shape(), [2, 7]);
    }

    #[test]
    fn weights_belong_to_n_grams() {
        let s = |mode: &str| {
            let s = single(&TF_IDF_VECTORIZER, 9).attr("mode", mode).attr("max_skip_count", i64::MAX).attr("min_gram_length", 1);
            let s = s.attr("max_gram_length", 1).attr("ngram_counts", vec![0]).attr("ngram_indexes", vec![3, 0]);
            let s = s.attr("weights", Attribute::Floats(vec![10., 20.]));
            let words = vec![b"a".as_slice().into(), b"b".as_slice().into()];
            s.attr("pool_strings", Attribute::Strings(words)).strings([4], &["a", "b", "a", "c"]).tensor().unwrap()
        };
        assert_close(&s("TF"), &[1., 0., 0., 2.], 0.0, 0.0);
        assert_close(&s("IDF"), &[20., 0., 0., 10.], 0.0, 0.0);
        assert_close(&s("TFIDF"), &[20., 0., 0., 20.], 0.0, 0.0);
    }

    #[test]
    fn nothing_to_count() {
        let t = vectorizer("TF", (1, 2), 0).input([0], &[0i64; 0]).tensor().unwrap();
        assert_close(&t, &[0.; 7], 0.0, 0.0);
        assert_eq!(&**vectorizer("TF", (1, 2), 0).input([3, 0], &[0i64; 0]).tensor().unwrap().shape(), [3, 7]);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let fails = |s: Single| s.input([1], &[1i64]).run(1).unwrap_err().detail().to_owned();
        assert!(fails(vectorizer("TF", (2, 1), 0)).contains("min_gram_length is 2"));
        assert!(fails(vectorizer("TF", (1, 3), 0)).contains("max_gram_length is 3"));
        assert!(fails(vectorizer("XX", (1, 2), 0)).contains("not one of"));
        assert!(fails(vectorizer("TF", (1, 2), 0).attr("ngram_counts", vec![0, 3])).contains("do not make n-grams of 2"));
        assert!(fails(vectorizer("TF", (1, 2), 0).attr("ngram_counts", vec![0, 99])).contains("does not divide"));
        assert!(fails(vectorizer("TF", (1, 2), 0).attr("ngram_indexes", vec![0; 6])).contains("for more n-grams"));
        assert!(vectorizer("TF", (1, 2), 0).strings([1], &["a"]).run(1).is_err());
    }
}
