//! What can be fed to a model.

use base::{Element, Result, Shape, Tensor, Value};

/// What can be fed to a model: a [`Value`], a [`Tensor`], or a shape with the elements to fill it.
///
/// Elements given as a slice or an array are copied; those of a `Vec` are taken over as they lie.
///
/// ```
/// use ort_rs::{Feed, Tensor};
///
/// let copied = ([2, 2], &[1f32, 2.0, 3.0, 4.0]).into_value()?;
/// let moved = ([2, 2], vec![1f32, 2.0, 3.0, 4.0]).into_value()?;
/// assert_eq!(copied.elements::<f32>()?, moved.elements::<f32>()?);
/// let words = Tensor::from_strings([2], ["a", "b"].into_iter().collect())?.into_value()?;
/// assert_eq!(words.ty().to_string(), "tensor(string)");
/// assert!(([3], &[1i64, 2]).into_value().is_err());
/// # Ok::<(), ort_rs::Error>(())
/// ```
pub trait Feed {
    /// The value to feed.
    ///
    /// # Errors
    /// `InvalidArgument` when the elements do not fill the shape.
    fn into_value(self) -> Result<Value>;
}

impl Feed for Value {
    fn into_value(self) -> Result<Value> {
        Ok(self)
    }
}

impl Feed for &Value {
    fn into_value(self) -> Result<Value> {
        Ok(self.clone())
    }
}

impl Feed for Tensor {
    fn into_value(self) -> Result<Value> {
        Ok(self.into())
    }
}

impl Feed for &Tensor {
    fn into_value(self) -> Result<Value> {
        Ok(self.clone().into())
    }
}

impl<S: Into<Shape>, T: Element> Feed for (S, &[T]) {
    fn into_value(self) -> Result<Value> {
        Tensor::from_slice(self.0, self.1).map(Value::from)
    }
}

impl<S: Into<Shape>, T: Element, const N: usize> Feed for (S, &[T; N]) {
    fn into_value(self) -> Result<Value> {
        Tensor::from_slice(self.0, self.1).map(Value::from)
    }
}

impl<S: Into<Shape>, T: Element, const N: usize> Feed for (S, [T; N]) {
    fn into_value(self) -> Result<Value> {
        Tensor::from_slice(self.0, &self.1).map(Value::from)
    }
}

impl<S: Into<Shape>, T: Element> Feed for (S, &Vec<T>) {
    fn into_value(self) -> Result<Value> {
        Tensor::from_slice(self.0, self.1).map(Value::from)
    }
}

impl<S: Into<Shape>, T: Element> Feed for (S, Vec<T>) {
    fn into_value(self) -> Result<Value> {
        Tensor::from_vec(self.0, self.1).map(Value::from)
    }
}
