//! Operators that are functions of Python.

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use numpy::PyUntypedArray;
use ort_rs::operator::types::{ANY, TypeSet};
use ort_rs::operator::{Arity, Attribute, Attrs, CpuKernel, Dim, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, since};
use ort_rs::runtime::Environment;
use ort_rs::{DType, Error, ErrorKind, Type, Value};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::error::{Failure, Result};
use crate::{dtype, environment, feed, fetch};

type Outcome<T> = ort_rs::Result<T>;

/// An operator whose kernel is a function of Python; `ort_rs.custom_op` makes it.
#[pyclass(module = "ort_rs", frozen)]
pub(crate) struct CustomOp(OpDef);

/// What the kernel of such an operator needs to know, alive as long as the process.
struct Function {
    name: String,
    call: Py<PyAny>,
    /// Gives the shapes of the outputs, if somebody can tell.
    infer: Option<Py<PyAny>>,
    /// The attributes that it takes; `None` for any.
    allowed: Option<Vec<String>>,
    required: Vec<String>,
    /// How many arguments it takes at least: those that are left out at the end of a node are `None`.
    inputs: usize,
    /// What decides on the type of each output; the last stands for all behind it.
    outputs: Vec<Source>,
}

/// What decides on the type of an output.
enum Source {
    Fixed(DType),
    /// The first of these inputs that is given.
    Inputs(Vec<usize>),
}

/// The operators that every session of the process has, and the environment with them.
static REGISTERED: RwLock<Option<(Vec<OpDef>, Environment)>> = RwLock::new(None);

/// What sessions are made of that have the operators `own` beside those of the process.
///
/// # Errors
/// `Fail` when an operator has the name of one that is built in.
pub(crate) fn environment(own: &[OpDef]) -> Result<Cow<'static, Environment>> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    Ok(match (&*registered, own) {
        (None, []) => Cow::Borrowed(environment::environment()?),
        (Some((_, environment)), []) => Cow::Owned(environment.clone()),
        (registered, own) => {
            let all = own.iter().fold(registered.as_ref().map_or_else(Vec::new, |(defs, _)| defs.clone()), with);
            Cow::Owned(environment::environment()?.clone().with_operators(all)?)
        }
    })
}

/// `defs` with `def` in place of one of its name.
fn with(mut defs: Vec<OpDef>, def: &OpDef) -> Vec<OpDef> {
    defs.retain(|d| (d.domain, d.name) != (def.domain, def.name));
    defs.push(def.clone());
    defs
}

#[pymethods]
impl CustomOp {
    /// The operator `domain::name` of the signature `signature`, where each of `types` names the types of a variable.
    #[new]
    #[pyo3(signature = (domain, name, signature, *, types, since_version, call, infer, allowed, required, pure))]
    #[allow(clippy::too_many_arguments)] // They come from one place, by name.
    fn new(
        domain: &str,
        name: &str,
        signature: &str,
        types: HashMap<String, Vec<String>>,
        since_version: u32,
        call: Py<PyAny>,
        infer: Option<Py<PyAny>>,
        allowed: Option<Vec<String>>,
        required: Vec<String>,
        pure: bool,
    ) -> PyResult<Self> {
        let sets = types.iter().map(|(variable, names)| Ok((leaked(variable), set(names)?)));
        let mut sets = sets.collect::<PyResult<Vec<(&'static str, TypeSet)>>>()?;
        let version = since(since_version, leaked(signature), &[]);
        let params: Vec<_> = version.inputs().chain(version.outputs()).collect();
        if !signature.contains("->") || version.outputs().count() == 0 || params.iter().any(|p| p.name.is_empty() || p.ty.is_empty()) {
            let text = format!("'{signature}' is no signature: it should read like 'x:T, y:T -> z:T'");
            return Err(PyValueError::new_err(text));
        }
        for param in params.iter().filter(|p| DType::from_name(p.ty).is_none()) {
            if !sets.iter().any(|(variable, _)| *variable == param.ty) {
                sets.push((param.ty, ANY));
            }
        }
        let source = |ty: &str, name: &str| match DType::from_name(ty) {
            Some(dtype) => Ok(Source::Fixed(dtype)),
            None => {
                let inputs: Vec<usize> = version.inputs().enumerate().filter(|(_, p)| p.ty == ty).map(|(i, _)| i).collect();
                let free = || PyValueError::new_err(format!("no input tells which type {ty} output '{name}' has"));
                if inputs.is_empty() { Err(free()) } else { Ok(Source::Inputs(inputs)) }
            }
        };
        let outputs = version.outputs().map(|p| source(p.ty, p.name)).collect::<PyResult<_>>()?;
        let inputs = version.inputs().filter(|p| matches!(p.arity, Arity::Required | Arity::Optional)).count();
        let function = Function { name: name.to_owned(), call, infer, allowed, required, inputs, outputs };
        let function: &'static Function = Box::leak(Box::new(function));
        let versions = Box::leak(Box::new([since(since_version, version.signature, sets.leak())]));
        let kernels = Kernels::NONE.cpu::<Node>();
        let (domain, name, load) = (leaked(domain), leaked(name), load as fn(&Attrs<'_>) -> _);
        Ok(Self(OpDef { domain, name, versions, load, kernels, keeps_inputs: true, pure, data: Some(function), ..OpDef::ONNX }))
    }

    /// Lets every session that is made from now on run the operator.
    fn register(&self) -> Result<()> {
        let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
        let all = with(registered.as_ref().map_or_else(Vec::new, |(defs, _)| defs.clone()), &self.0);
        let environment = environment::environment()?.clone().with_operators(all.iter().cloned())?;
        *registered = Some((all, environment));
        Ok(())
    }
}

impl CustomOp {
    /// What the runtime knows it by.
    pub(crate) fn def(&self) -> &OpDef {
        &self.0
    }
}

/// `text`, kept as long as the process: operators are made once.
fn leaked(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

/// The set of the types `names`, with or without `tensor(…)` around them.
fn set(names: &[String]) -> PyResult<TypeSet> {
    let dtype = |name: &String| {
        let inner = name.strip_prefix("tensor(").and_then(|n| n.strip_suffix(')')).unwrap_or(name);
        DType::from_name(inner).ok_or_else(|| PyValueError::new_err(format!("'{name}' is no element type of ONNX")))
    };
    Ok(TypeSet::tensors(&names.iter().map(dtype).collect::<PyResult<Vec<DType>>>()?))
}

/// Such an operator with the attributes of one node.
struct Node {
    function: &'static Function,
    /// The attributes as the arguments that they are to the function.
    arguments: Arc<Py<PyDict>>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in Python", self.function.name)
    }
}

fn load(attributes: &Attrs<'_>) -> Outcome<Box<dyn Op>> {
    let function = attributes.data().and_then(|data| (data as &dyn Any).downcast_ref::<Function>());
    let Some(function) = function else { return Err(Error::new(ErrorKind::Fail, "an operator without its function")) };
    if let Some(missing) = function.required.iter().find(|name| !attributes.has(name)) {
        return Err(Error::new(ErrorKind::InvalidGraph, format!("Required attribute '{missing}' is missing")));
    }
    // Those that are not read are refused by name.
    let taken = attributes.names().filter(|name| function.allowed.as_ref().is_none_or(|allowed| allowed.iter().any(|a| a == name)));
    let taken: Vec<(&str, &Attribute)> = taken.filter_map(|name| Some((name, attributes.get(name)?))).collect();
    let arguments = attached(|py| {
        let dict = PyDict::new(py);
        for (name, attribute) in taken {
            dict.set_item(name, argument(py, name, attribute)?)?;
        }
        Ok(Arc::new(dict.unbind()))
    })?;
    Ok(Box::new(Node { function, arguments }))
}

/// What `f` gives, with the interpreter's lock.
fn attached<T>(f: impl FnOnce(Python<'_>) -> Result<T>) -> Outcome<T> {
    let result = Python::try_attach(|py| {
        f(py).map_err(|failure| match failure {
            Failure::Runtime(error) => error,
            Failure::Python(raised) => failed(py, raised),
        })
    });
    result.unwrap_or_else(|| Err(Error::new(ErrorKind::Fail, "the interpreter is going away")))
}

/// The error that an exception of a function is.
fn failed(py: Python<'_>, raised: PyErr) -> Error {
    let text = raised.value(py).str().map(|s| s.to_string()).unwrap_or_default();
    let class = raised.get_type(py).name().map(|s| s.to_string()).unwrap_or_default();
    Error::new(ErrorKind::Fail, format!("{class}: {text}")).caused_by(Some(Arc::new(raised)))
}

/// What an attribute is to a function of Python.
fn argument<'py>(py: Python<'py>, name: &str, attribute: &Attribute) -> Result<Bound<'py, PyAny>> {
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => text.into_pyobject(py).map(|t| t.into_any()).map_err(PyErr::from),
        Err(_) => bytes.into_pyobject(py),
    };
    Ok(match attribute {
        Attribute::Int(i) => i.into_pyobject(py).map_err(PyErr::from)?.into_any(),
        Attribute::Float(x) => f64::from(*x).into_pyobject(py).map_err(PyErr::from)?.into_any(),
        Attribute::String(s) => text(s)?,
        Attribute::Tensor(t) => fetch::array(py, t.clone())?,
        Attribute::Ints(v) => PyList::new(py, v)?.into_any(),
        Attribute::Floats(v) => PyList::new(py, v.iter().map(|x| f64::from(*x)))?.into_any(),
        Attribute::Strings(v) => PyList::new(py, v.iter().map(|s| text(s)).collect::<PyResult<Vec<_>>>()?)?.into_any(),
        Attribute::Tensors(v) => PyList::new(py, v.iter().map(|t| fetch::array(py, t.clone())).collect::<Result<Vec<_>>>()?)?.into_any(),
        other => {
            let text = format!("attribute '{name}' is of kind {}, which no function of Python takes", other.kind());
            return Err(Error::new(ErrorKind::NotImplemented, text).into());
        }
    })
}

impl Function {
    /// The type of output `i`, when those of the inputs are `inputs`.
    fn type_of(&self, i: usize, input: impl Fn(usize) -> Option<DType>) -> Outcome<DType> {
        let source = self.outputs.get(i).or(self.outputs.last());
        let dtype = source.and_then(|source| match source {
            Source::Fixed(dtype) => Some(*dtype),
            Source::Inputs(inputs) => inputs.iter().find_map(|i| input(*i)),
        });
        dtype.ok_or_else(|| Error::new(ErrorKind::InvalidGraph, format!("no input that is given tells the type of output {i}")))
    }
}

impl Op for Node {
    fn infer(&self, cx: &mut Infer<'_>) -> Outcome<()> {
        let count = cx.output_count();
        let shapes = match &self.function.infer {
            Some(infer) => self.shapes(infer, cx)?,
            None => vec![None; count],
        };
        for (i, shape) in shapes.into_iter().enumerate() {
            let dtype = self.function.type_of(i, |input| cx.optional(input)?.dtype())?;
            cx.tensor(i, dtype, shape.map(|dims| dims.into_iter().collect()));
        }
        Ok(())
    }
}

impl Node {
    /// The shapes of the outputs as the function `infer` tells them.
    fn shapes(&self, infer: &Py<PyAny>, cx: &mut Infer<'_>) -> Outcome<Vec<Option<Vec<Dim>>>> {
        let mut known: HashMap<String, Dim> = HashMap::new();
        let mut given: Vec<Option<(DType, Option<Vec<Size>>)>> = Vec::new();
        for i in 0..cx.input_count().max(self.function.inputs) {
            let Some((dtype, dims)) = cx.optional(i).and_then(|fact| Some((fact.dtype()?, fact.shape.clone()))) else {
                given.push(None);
                continue;
            };
            let sizes = dims.map(|dims| dims.iter().map(|dim| size(dim, cx, &mut known)).collect());
            given.push(Some((dtype, sizes)));
        }
        let told: Vec<Option<Vec<Option<Size>>>> = attached(|py| {
            let info = |input: Option<(DType, Option<Vec<Size>>)>| {
                let Some((dtype, sizes)) = input else { return Ok(None) };
                let shape = sizes.map(|sizes| PyTuple::new(py, sizes)).transpose()?;
                Ok::<_, PyErr>(Some((dtype::descr(py, dtype)?, shape)))
            };
            let inputs = given.into_iter().map(info).collect::<PyResult<Vec<_>>>()?;
            Ok(infer.bind(py).call1((inputs, self.arguments.bind(py), cx.output_count()))?.extract()?)
        })?;
        let mut dim = |size: Option<Size>| match size {
            Some(Size::Known(n)) => Dim::Known(n),
            Some(Size::Named(name)) => known.entry(name).or_insert_with(|| cx.fresh()).clone(),
            None => cx.fresh(),
        };
        Ok(told.into_iter().map(|shape| shape.map(|sizes| sizes.into_iter().map(&mut dim).collect())).collect())
    }
}

/// The size of an axis as Python sees it.
#[derive(Clone, FromPyObject, IntoPyObject)]
enum Size {
    Known(i64),
    Named(String),
}

/// What Python sees of `dim`; a size that is not known has a name, by which it comes back.
fn size(dim: &Dim, cx: &mut Infer<'_>, known: &mut HashMap<String, Dim>) -> Size {
    if let Dim::Known(n) = dim {
        return Size::Known(*n);
    }
    let name = dim.as_symbol().and_then(|symbol| cx.symbols().name(symbol).map(ToOwned::to_owned)).unwrap_or_else(|| dim.to_string());
    known.insert(name.clone(), dim.clone());
    Size::Named(name)
}

impl CpuKernel for Node {
    fn prepare(&self, _: &Prepare<'_>) -> Outcome<Box<dyn Prepared>> {
        Ok(Box::new(Call { function: self.function, arguments: self.arguments.clone() }))
    }
}

/// The call of the function for one node.
struct Call {
    function: &'static Function,
    arguments: Arc<Py<PyDict>>,
}

impl Prepared for Call {
    fn name(&self) -> &'static str {
        "python"
    }

    fn run(&self, cx: &mut Run<'_>) -> Outcome<()> {
        attached(|py| self.call(py, cx))
    }
}

impl Call {
    fn call(&self, py: Python<'_>, cx: &mut Run<'_>) -> Result<()> {
        let count = cx.input_count().max(self.function.inputs);
        let mut inputs = Vec::with_capacity(count);
        let mut types = Vec::with_capacity(count);
        for i in 0..count {
            let value = if cx.has_input(i) { Some(cx.value(i)?) } else { None };
            types.push(value.as_ref().and_then(|v| v.tensor().ok()).map(|t| t.dtype()));
            inputs.push(match value {
                // Others may read what a function is lent.
                Some(value) => fetch::view(py, value.tensor()?, false)?,
                None => py.None().into_bound(py),
            });
        }
        let result = self.function.call.bind(py).call(PyTuple::new(py, inputs)?, Some(self.arguments.bind(py)))?;
        let results = self.results(result, cx.output_count())?;
        for (i, object) in results.iter().enumerate() {
            if !cx.has_output(i) {
                continue;
            }
            let dtype = self.function.type_of(i, |input| types.get(input).copied().flatten())?;
            cx.set(i, output(object, dtype, i)?)?;
        }
        Ok(())
    }

    /// What the function gave for each output.
    fn results<'py>(&self, result: Bound<'py, PyAny>, count: usize) -> Result<Vec<Bound<'py, PyAny>>> {
        let listed = result.is_instance_of::<PyTuple>() || (count > 1 && result.is_instance_of::<PyList>());
        let results: Vec<Bound<'py, PyAny>> = if listed { result.try_iter()?.collect::<PyResult<_>>()? } else { vec![result] };
        if results.len() == count {
            return Ok(results);
        }
        let text = format!("the function of {} gave {} values for {count} outputs", self.function.name, results.len());
        Err(Error::new(ErrorKind::Fail, text).into())
    }
}

/// The tensor of `dtype` that a function gave for output `i`.
fn output(object: &Bound<'_, PyAny>, dtype: DType, i: usize) -> Result<Value> {
    let py = object.py();
    let descr = dtype::descr(py, dtype)?;
    let array = match object.cast::<PyUntypedArray>() {
        Ok(array) => array.clone(),
        Err(_) => py.import("numpy")?.call_method1("asarray", (object, descr))?.cast_into().map_err(PyErr::from)?,
    };
    let tensor = feed::tensor(&array)?;
    if tensor.dtype() != dtype {
        let (given, declared) = (Type::Tensor(tensor.dtype()), Type::Tensor(dtype));
        return Err(Error::new(ErrorKind::Fail, format!("the function gave {given} for output {i}, which is {declared}")).into());
    }
    Ok(Value::Tensor(tensor))
}
