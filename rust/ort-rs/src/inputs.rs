//! What a run is fed.

use base::{Result, Value, ensure, error};

use crate::{Feed, Port};

/// What a run is fed: values in the model's order, or by name. [`inputs!`](crate::inputs) writes them down.
///
/// ```
/// use ort_rs::Inputs;
///
/// let names = vec![String::from("x"), String::from("y")];
/// let mut inputs = Inputs::new();
/// for name in &names {
///     inputs = inputs.with(name, ([2], [1f32, 2.0]));
/// }
/// assert_eq!(inputs.len(), 2);
/// ```
#[derive(Default)]
pub struct Inputs<'n> {
    /// Names and values; what could not be made is an error when the run begins.
    feeds: Vec<(Option<&'n str>, Result<Value>)>,
}

impl<'n> Inputs<'n> {
    /// Nothing yet.
    ///
    /// ```
    /// assert!(ort_rs::Inputs::new().is_empty());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// With a value for the input called `name`.
    ///
    /// ```
    /// # use ort_rs::{Inputs, Session};
    /// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// let outputs = session.run(Inputs::new().with("images", ([1, 1, 8, 8], &[0f32; 64])))?;
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    #[must_use]
    pub fn with(mut self, name: &'n str, value: impl Feed) -> Self {
        self.feeds.push((Some(name), value.into_value()));
        self
    }

    /// With a value for the next input in the model's order.
    ///
    /// ```
    /// # use ort_rs::{Inputs, Session};
    /// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// let outputs = session.run(Inputs::new().next(([1, 1, 8, 8], &[0f32; 64])))?;
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    #[must_use]
    pub fn next(mut self, value: impl Feed) -> Self {
        self.feeds.push((None, value.into_value()));
        self
    }

    /// How many values there are.
    ///
    /// ```
    /// assert_eq!(ort_rs::inputs![([1], [1f32]), ([1], [2f32])].len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.feeds.len()
    }

    /// Whether there are none.
    ///
    /// ```
    /// assert!(ort_rs::inputs![].is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.feeds.is_empty()
    }

    /// The values with the names of the inputs that they are for.
    pub(crate) fn named<'a>(self, ports: &'a [Port]) -> Result<Vec<(&'a str, Value)>>
    where
        'n: 'a,
    {
        let count = self.len();
        let feeds = self.feeds.into_iter().enumerate();
        let feeds = feeds.map(|(i, (name, value))| {
            let name = match name {
                Some(name) => name,
                None => {
                    ensure!(i < ports.len(), InvalidArgument, "{count} values are fed, but the model has {} inputs", ports.len());
                    &ports[i].name
                }
            };
            let value = value.map_err(|e| error!(InvalidArgument, "input '{name}': {}", e.detail()))?;
            Ok((name, value))
        });
        feeds.collect()
    }
}

impl<'n, F: Feed> From<Vec<(&'n str, F)>> for Inputs<'n> {
    fn from(feeds: Vec<(&'n str, F)>) -> Self {
        feeds.into_iter().fold(Self::new(), |inputs, (name, value)| inputs.with(name, value))
    }
}

impl<'n, F: Feed, const N: usize> From<[(&'n str, F); N]> for Inputs<'n> {
    fn from(feeds: [(&'n str, F); N]) -> Self {
        feeds.into_iter().fold(Self::new(), |inputs, (name, value)| inputs.with(name, value))
    }
}

/// [`Inputs`] in the model's order, or by name: whatever is a [`Feed`].
///
/// ```
/// use ort_rs::{Session, inputs};
///
/// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
/// let image = [0f32; 64];
/// let by_name = session.run(inputs!["images" => ([1, 1, 8, 8], &image)])?;
/// let in_order = session.run(inputs![([1, 1, 8, 8], &image)])?;
/// assert_eq!(by_name[0].elements::<f32>()?, in_order[0].elements::<f32>()?);
/// # Ok::<(), ort_rs::Error>(())
/// ```
#[macro_export]
macro_rules! inputs {
    () => { $crate::Inputs::new() };
    ($($name:expr => $value:expr),+ $(,)?) => { $crate::Inputs::new()$(.with($name, $value))+ };
    ($($value:expr),+ $(,)?) => { $crate::Inputs::new()$(.next($value))+ };
}
