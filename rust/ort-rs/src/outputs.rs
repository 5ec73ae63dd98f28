//! What a run gives.

use std::ops::Index;

use base::Value;

/// What a run gives: values by name or by number.
///
/// ```
/// use ort_rs::{Session, inputs};
///
/// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
/// let outputs = session.run(inputs![([1, 1, 8, 8], &[0f32; 64])])?;
/// for (name, value) in outputs.iter() {
///     println!("{name}: {}", value.ty());
/// }
/// let (shape, elements) = outputs["probabilities"].elements::<f32>()?;
/// assert_eq!(shape.iter().product::<usize>(), elements.len());
/// # Ok::<(), ort_rs::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Outputs {
    names: Vec<String>,
    values: Vec<Value>,
}

impl Outputs {
    pub(crate) fn new(names: Vec<String>, values: Vec<Value>) -> Self {
        Self { names, values }
    }

    /// How many values there are.
    ///
    /// ```
    /// # use ort_rs::{Session, inputs};
    /// # let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// let outputs = session.run(inputs![([1, 1, 8, 8], &[0f32; 64])])?;
    /// assert_eq!(outputs.len(), session.outputs().len());
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    ///
    /// ```
    /// # use ort_rs::{Session, inputs};
    /// # let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// assert!(!session.run(inputs![([1, 1, 8, 8], &[0f32; 64])])?.is_empty());
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value called `name`, if there is one.
    ///
    /// ```
    /// # use ort_rs::{Session, inputs};
    /// # let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// let outputs = session.run(inputs![([1, 1, 8, 8], &[0f32; 64])])?;
    /// assert!(outputs.get("probabilities").is_some() && outputs.get("anything else").is_none());
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// Names and values, in the order that was asked for.
    ///
    /// ```
    /// # use ort_rs::{Session, inputs};
    /// # let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// let outputs = session.run(inputs![([1, 1, 8, 8], &[0f32; 64])])?;
    /// assert_eq!(outputs.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["probabilities"]);
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.names.iter().map(String::as_str).zip(&self.values)
    }

    /// The values, to keep.
    ///
    /// ```
    /// # use ort_rs::{Session, inputs};
    /// # let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// let values = session.run(inputs![([1, 1, 8, 8], &[0f32; 64])])?.into_values();
    /// assert_eq!(values.len(), 1);
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn into_values(self) -> Vec<Value> {
        self.values
    }
}

impl Index<usize> for Outputs {
    type Output = Value;

    /// Value `i`.
    ///
    /// # Panics
    /// When there are fewer.
    fn index(&self, i: usize) -> &Value {
        &self.values[i]
    }
}

impl Index<&str> for Outputs {
    type Output = Value;

    /// The value called `name`.
    ///
    /// # Panics
    /// When there is none; [`get`](Outputs::get) does not panic.
    fn index(&self, name: &str) -> &Value {
        self.get(name).unwrap_or_else(|| panic!("there is no output '{name}', only {}", self.names.join(", ")))
    }
}
