//! A model, ready to run.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use base::threads::{Settings, Threads, scope_with};
use base::{Error, Result, Value, bail, ensure, error};
use exec::{Destination, Observer, Operators, Order, Program, Runner, Target};
use ir::{Facts, Graph, ValueId};
use passes::Report;
use proto::{GraphProto, Message, ModelFolder, ModelProto};

use crate::Severity::{Info, Verbose, Warning};
use crate::check::{check_destination, check_feed, warn_of_shapes};
use crate::export::Export;
use crate::external::Places;
use crate::format::Format;
use crate::import::{Imported, Opsets, import};
use crate::metadata::metadata;
use crate::narrate::{log_placements, logged, warn_of_affinities, warn_of_unused};
use crate::place::{Placement, place};
use crate::ports::{Axis, fixed, input_facts, namesakes, output_ports};
use crate::profile::Profile;
use crate::weights::Weights;
use crate::{Environment, Metadata, Options, Port, RunOptions, Source, functions, strict};

/// A model, ready to run; from any number of threads at once.
pub struct Session {
    model: Model,
    options: Options,
    threads: Threads,
    /// How the threads of runs work, if not as others do.
    settings: Option<Arc<Settings>>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    overridable: Vec<Port>,
    placements: Vec<Placement>,
    /// What passes did to the graph.
    report: Report,
    profile: Option<Profile>,
    /// What runs when all outputs are asked for.
    all: Arc<Runner>,
    /// What runs for other fetch sets, and for feeds that give one named dimension several sizes.
    others: Mutex<Vec<(Variant, Arc<Runner>)>>,
    /// The number of each port, by name.
    places: HashMap<String, usize>,
    /// The place of each output among them, by its name.
    output_places: HashMap<String, usize>,
    /// For each input of the graph, in its order, the number of its port.
    order: Vec<usize>,
    /// Axes of inputs that the model gives the name of an earlier axis.
    namesakes: Vec<[Axis; 2]>,
}

/// How many plans of other fetch sets a session remembers.
const REMEMBERED: usize = 16;

/// What a plan is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Variant {
    fetches: Vec<String>,
    /// Which of them are taken where a device left them; none if no one is.
    resident: Vec<bool>,
    /// Whether dimensions of one name have one size.
    named: bool,
}

/// The model as it came, for plans of values that optimization may remove.
struct Model {
    target: Arc<Target>,
    graph: Graph,
    opsets: Opsets,
    metadata: Metadata,
    /// Where initializers lay that had their data in files of their own.
    places: Places,
}

impl Session {
    /// Loads the model at `source` and makes it ready to run.
    ///
    /// # Errors
    /// `NoSuchFile`, `InvalidProtobuf`, `InvalidGraph`, `NotImplemented` and others; each names the node or value at fault.
    pub fn load(environment: &Environment, source: Source<'_>, options: Options) -> Result<Self> {
        let profile = options.profile.as_deref().map(Profile::begin);
        let begun = Instant::now();
        let loading = |name: &str| profile.iter().for_each(|p| p.session(name, begun));
        match source {
            Source::File(path) => {
                let map = base::knobs::MMAP.get().0;
                let file = base::file::open(path, map)?;
                let folder = ModelFolder::of_model(path)?;
                let bytes = file.bytes().unwrap_or_default();
                let proto = decode(bytes, Format::to_load(Some(path), bytes, &options.config)).map_err(|e| at_file(&e, path))?;
                let mut weights = Weights::new(Some(file.clone()), Some(folder), map).with_given(options.given.clone());
                loading("model_loading_uri");
                Self::of(environment, &proto, &mut weights, options, profile).map_err(|e| at_file(&e, path))
            }
            Source::Bytes(_) | Source::Buffer(_) => {
                let (bytes, file) = match source {
                    Source::Buffer(buffer) => (buffer.bytes().unwrap_or_default(), Some(buffer.clone())),
                    Source::Bytes(bytes) => (bytes, None),
                    Source::File(_) => (&[][..], None),
                };
                let folder = options.external_folder()?;
                let mut weights = Weights::new(file, folder, base::knobs::MMAP.get().0).with_given(options.given.clone());
                let proto = decode(bytes, Format::to_load(None, bytes, &options.config))?;
                loading("model_loading_array");
                Self::of(environment, &proto, &mut weights, options, profile)
            }
        }
    }

    fn of(
        environment: &Environment,
        proto: &ModelProto<'_>,
        weights: &mut Weights,
        options: Options,
        profile: Option<Profile>,
    ) -> Result<Self> {
        let (begun, log) = (Instant::now(), options.log.clone());
        options.cancel.check()?;
        log.say(Info, "initialize", || format!("Initializing session. {}", options.summary()));
        let target = environment.target(&options)?;
        let Imported { mut graph, inputs, outputs, overridable, opsets } = import(proto, environment.registry(), weights)?;
        functions::inline_calls(&mut graph, options.function_nodes()?)?;
        ir::verify(&graph)?;
        log.say(Info, "import", || format!("The model has {} nodes.", graph.nodes().count()));
        warn_of_unused(&graph, &log);
        let infos = proto.graph.as_ref().map(|g| g.input.as_slice()).unwrap_or_default();
        let inputs = fixed(inputs, infos, &options);
        let model = Model { target, graph, opsets, metadata: metadata(proto), places: weights.take_places() };
        let ports: Vec<&Port> = inputs.iter().chain(&overridable).collect();
        options.cancel.check()?;
        if let (true, Some(proto)) = (options.is_strict(), &proto.graph) {
            model.check_strictly(proto, &ports)?;
        }
        let Planned { runner, placements, report } = model.plan(&ports, true, &[], &options)?;
        check_fallback(environment, &placements, &options)?;
        log_placements(&placements, &options);
        let namesakes = namesakes(&ports);
        let places: HashMap<String, usize> = ports.iter().enumerate().map(|(i, p)| (p.name.clone(), i)).collect();
        let order = model.graph.inputs.iter().filter_map(|v| places.get(&*model.graph.value(*v).name).copied()).collect();
        let settings = options.threads();
        settings.iter().for_each(|s| warn_of_affinities(s, &options));
        let outputs = output_ports(&runner, outputs, &model.graph)?;
        let output_places = outputs.iter().enumerate().map(|(i, p)| (p.name.clone(), i)).collect();
        options.cancel.check()?;
        profile.iter().for_each(|p| p.session("session_initialization", begun));
        log.say(Info, "initialize", || format!("Session successfully initialized in {:?}.", begun.elapsed()));
        Ok(Self {
            threads: Threads::new(options.intra_op_threads),
            settings,
            model,
            options,
            inputs,
            outputs,
            overridable,
            placements,
            report,
            profile,
            all: Arc::new(runner),
            others: Mutex::default(),
            places,
            output_places,
            order,
            namesakes,
        })
    }

    /// What must be fed, in the model's order.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What the model gives, in its order.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// What may be fed in place of a default.
    pub fn overridable_initializers(&self) -> &[Port] {
        &self.overridable
    }

    /// What the model says of itself.
    pub fn metadata(&self) -> &Metadata {
        &self.model.metadata
    }

    /// The names of the providers, in order of preference.
    pub fn providers(&self) -> Vec<String> {
        self.model.target.providers().iter().map(|p| p.name().to_owned()).collect()
    }

    /// The options that provider `name` was made with, as they were given.
    pub fn provider_options(&self, name: &str) -> &[(String, String)] {
        self.options.provider_options.get(name).map_or(&[], Vec::as_slice)
    }

    /// Which provider runs each node of the optimized graph, and why.
    pub fn placements(&self) -> &[Placement] {
        &self.placements
    }

    /// What the providers say of how they run nodes, each after its name.
    pub fn notes(&self) -> Vec<String> {
        let of = |p: &Arc<dyn op::Provider>| p.notes().into_iter().map(|note| format!("{}: {note}", p.name())).collect::<Vec<_>>();
        self.model.target.providers().iter().flat_map(of).collect()
    }

    /// Ends the profile that the session keeps and gives the path of its file; `None` when there is none, or when it has ended before.
    ///
    /// # Errors
    /// `Fail` when the file cannot be written.
    pub fn end_profiling(&self) -> Result<Option<PathBuf>> {
        self.profile.as_ref().map_or(Ok(None), Profile::end)
    }

    /// When the profile that the session keeps began, in nanoseconds since the epoch; 0 when there is none.
    pub fn profiling_start_time_ns(&self) -> u64 {
        self.profile.as_ref().map_or(0, Profile::start_time_ns)
    }

    /// The optimized graph as text, one line a node.
    pub fn graph_text(&self) -> String {
        ir::print(self.all.program().graph(), Some(self.all.program().facts()))
    }

    /// The versions of the operator sets that the model imports, by domain.
    pub fn opsets(&self) -> &BTreeMap<String, u32> {
        &self.model.opsets
    }

    /// Waits until all work on the devices of its providers is done, that of others too.
    ///
    /// # Errors
    /// What a device says.
    pub fn synchronize(&self) -> Result<()> {
        self.model.target.providers().iter().try_for_each(|p| p.synchronize())
    }

    /// Lets go of the memory that is kept for later runs.
    pub fn shrink(&self) {
        self.all.shrink();
        self.others.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|(_, runner)| runner.shrink());
    }

    /// Runs the model on `feeds`, by name, and gives the values `fetches`, which may be any of the graph; none asks for all outputs.
    ///
    /// # Errors
    /// `InvalidArgument` for unknown names, missing feeds, and types or shapes that are not the model's; what nodes say, each naming
    /// the node; `Fail` when the run is cancelled.
    pub fn run(&self, feeds: &[(&str, Value)], fetches: &[&str], options: &RunOptions) -> Result<Vec<Value>> {
        let mut ordered: smallvec::SmallVec<[Option<&Value>; 8]> = smallvec::smallvec![None; self.inputs.len() + self.overridable.len()];
        for (name, value) in feeds {
            let Some(place) = self.place(name) else { bail!(InvalidArgument, "Invalid input name: {name}") };
            ordered[place] = Some(value);
        }
        self.start(fetches, &ordered, options)
    }

    /// Runs the model on `feeds`, in the order of [`inputs`](Self::inputs), and gives all outputs.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_in_order(&self, feeds: &[Value], options: &RunOptions) -> Result<Vec<Value>> {
        let feeds = feeds.iter().map(Some).chain(self.overridable.iter().map(|_| None));
        let ordered: smallvec::SmallVec<[Option<&Value>; 8]> = feeds.collect();
        self.start(&[], &ordered, options)
    }

    /// What runs when all outputs are asked for.
    pub(crate) fn runner(&self) -> &Runner {
        &self.all
    }

    /// What passes did to the graph.
    pub(crate) fn report(&self) -> &Report {
        &self.report
    }

    /// What the session runs on.
    pub(crate) fn target(&self) -> &Target {
        &self.model.target
    }

    /// The graph as it came with the model.
    pub(crate) fn model_graph(&self) -> &Graph {
        &self.model.graph
    }

    /// For each input of the graph, in its order, the number of its port.
    pub(crate) fn order(&self) -> &[usize] {
        &self.order
    }

    pub(crate) fn ports(&self) -> impl Iterator<Item = &Port> {
        self.inputs.iter().chain(&self.overridable)
    }

    /// The number of the input called `name`: those of [`inputs`](Self::inputs) come first, then those of
    /// [`overridable_initializers`](Self::overridable_initializers).
    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Runs the model on `feeds`, one for each of [`inputs`](Self::inputs) and then of
    /// [`overridable_initializers`](Self::overridable_initializers), and gives the values `fetches`, each written to the destination at
    /// its place where there is one.
    ///
    /// # Errors
    /// As [`run`](Self::run); `InvalidArgument` when a value is not of the type and shape of its destination.
    pub fn run_into(
        &self,
        feeds: &[Option<&Value>],
        fetches: &[&str],
        destinations: &[Option<&Destination>],
        options: &RunOptions,
    ) -> Result<Vec<Value>> {
        for (name, destination) in fetches.iter().zip(destinations).filter_map(|(name, d)| Some((name, (*d)?))) {
            let reached = self.model.target.owner_of(destination.memory());
            reached.map_err(|e| error!(InvalidArgument, "output '{name}' is bound to another memory: {}", e.detail()))?;
            if let (Some(port), Some(tensor)) = (self.output_places.get(*name).map(|i| &self.outputs[*i]), destination.bound()) {
                check_destination(port, tensor)?;
            }
        }
        self.go(fetches, feeds, destinations, options)
    }

    fn start(&self, fetches: &[&str], feeds: &[Option<&Value>], options: &RunOptions) -> Result<Vec<Value>> {
        self.go(fetches, feeds, &[], options)
    }

    fn go(
        &self,
        fetches: &[&str],
        feeds: &[Option<&Value>],
        destinations: &[Option<&Destination>],
        options: &RunOptions,
    ) -> Result<Vec<Value>> {
        if !options.adapters.is_empty() {
            return self.go_adapted(fetches, feeds, destinations, options);
        }
        let given = self.inputs.len() + self.overridable.len();
        ensure!(feeds.len() == given, InvalidArgument, "{} values are fed, but the model has {given} inputs", feeds.len());
        for (port, value) in self.ports().zip(feeds) {
            if let Some(value) = value {
                check_feed(port, value)?;
            }
        }
        let runner = self.runner_for(fetches, feeds, destinations)?;
        let graph = runner.program().graph();
        let mut ordered: smallvec::SmallVec<[&Value; 8]> = smallvec::SmallVec::new();
        ensure!(graph.inputs.len() == self.order.len(), Fail, "optimization changed the inputs of the graph");
        for (v, place) in graph.inputs.iter().zip(&self.order) {
            let info = graph.value(*v);
            let fed = feeds[*place].or(info.constant.as_ref());
            ordered.push(fed.ok_or_else(|| error!(InvalidArgument, "Missing Input: {}", info.name))?);
        }
        let cancel = &options.cancel;
        let walk = |observer: Option<&Observer>| {
            scope_with(self.threads, self.settings.as_ref(), cancel, || {
                runner.run_into(ordered.iter().map(|v| (*v).clone()), destinations, cancel, observer)
            })
        };
        let run = |observer: Option<&Observer>| match &self.profile {
            None => walk(observer),
            Some(profile) => self.profiled(profile, observer.cloned(), walk),
        };
        let log = options.log.as_ref().unwrap_or(&self.options.log);
        let values = if log.takes(Info) { logged(log, options.observer.as_ref(), run) } else { run(options.observer.as_ref()) };
        if let (true, Ok(values)) = (log.takes(Warning) && Arc::ptr_eq(&runner, &self.all), &values) {
            warn_of_shapes(&self.outputs, values, log);
        }
        if options.shrink {
            self.shrink();
        }
        values
    }

    /// A run that is recorded.
    fn profiled(
        &self,
        profile: &Profile,
        also: Option<Observer>,
        run: impl FnOnce(Option<&Observer>) -> Result<Vec<Value>>,
    ) -> Result<Vec<Value>> {
        let begun = Instant::now();
        let values = run(Some(&profile.observer(also)));
        let parallel = self.options.order() == Order::Waves;
        profile.session(if parallel { "ParallelExecutor::Execute" } else { "SequentialExecutor::Execute" }, begun);
        profile.session("model_run", begun);
        values
    }

    /// [`go`](Self::go) with the parameters of adapters fed as well.
    fn go_adapted(
        &self,
        fetches: &[&str],
        feeds: &[Option<&Value>],
        destinations: &[Option<&Destination>],
        options: &RunOptions,
    ) -> Result<Vec<Value>> {
        let parameters = options.adapters.iter().flat_map(|a| &a.parameters);
        let mut added: Vec<(usize, Value)> = Vec::new();
        for (name, tensor) in parameters {
            let place =
                self.place(name).ok_or_else(|| error!(InvalidArgument, "Invalid input name: {name}, which an active adapter feeds"))?;
            added.push((place, tensor.clone().into()));
        }
        let mut all = feeds.to_vec();
        for (place, value) in &added {
            let feed = all.get_mut(*place).filter(|f| f.is_none());
            *feed.ok_or_else(|| error!(InvalidArgument, "input {place} is fed by the caller or twice by adapters"))? = Some(value);
        }
        let options = RunOptions { adapters: Vec::new(), ..options.clone() };
        self.go(fetches, &all, destinations, &options)
    }

    /// What runs for `fetches` on `feeds`; those with a destination on a device are taken there.
    fn runner_for(&self, fetches: &[&str], feeds: &[Option<&Value>], destinations: &[Option<&Destination>]) -> Result<Arc<Runner>> {
        let size = |(port, axis): Axis| feeds[port].and_then(|v| v.tensor().ok()?.shape().get(axis).copied());
        let named = self.namesakes.iter().all(|[a, b]| size(*a) == size(*b) || size(*a).is_none() || size(*b).is_none());
        let all = fetches.is_empty() || fetches.iter().copied().eq(self.outputs.iter().map(|p| &*p.name));
        let on_device = |d: &Option<&Destination>| d.is_some_and(|d| !d.memory().is_host());
        let resident = if destinations.iter().any(on_device) { destinations.iter().map(on_device).collect() } else { Vec::new() };
        if all && named && resident.is_empty() {
            return Ok(self.all.clone());
        }
        let variant = Variant { fetches: fetches.iter().map(ToString::to_string).collect(), resident, named };
        if let Some(runner) = self.recent(&variant) {
            return Ok(runner);
        }
        let runner = Arc::new(self.plan_for(fetches, &variant.resident, named)?);
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if others.len() == REMEMBERED {
            others.remove(0);
        }
        others.push((variant, runner.clone()));
        Ok(runner)
    }

    /// What was planned for `variant` a while ago; it becomes the most recent one.
    fn recent(&self, variant: &Variant) -> Option<Arc<Runner>> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let place = others.iter().position(|(v, _)| v == variant)?;
        others[place..].rotate_left(1);
        others.last().map(|(_, runner)| runner.clone())
    }

    /// A plan of the program at hand for outputs; of the model as it came for any other value, or for sizes that go against its names.
    fn plan_for(&self, fetches: &[&str], resident: &[bool], named: bool) -> Result<Runner> {
        let output = |name: &str| self.output_places.get(name).copied();
        let outputs: Option<Vec<usize>> = fetches.iter().map(|name| output(name)).collect();
        if let (Some(places), true) = (outputs, named) {
            let program = self.all.program();
            let values: Vec<ValueId> = places.into_iter().map(|i| program.graph().outputs[i]).collect();
            return Runner::new(program.clone(), &taken(program, values, resident), self.options.order());
        }
        let graph = &self.model.graph;
        let value = |name: &&str| match output(name).map(|i| graph.outputs[i]).or_else(|| graph.value_named(name)) {
            Some(v) if !name.is_empty() => Ok(v),
            _ => Err(error!(InvalidArgument, "Invalid output name:{name}")),
        };
        let values = fetches.iter().map(value).collect::<Result<Vec<ValueId>>>()?;
        let ports: Vec<&Port> = self.ports().collect();
        let runner = self.model.plan(&ports, named, &values, &self.options)?.runner;
        if resident.is_empty() {
            return Ok(runner);
        }
        let program = runner.program();
        let values = taken(program, program.graph().outputs.to_vec(), resident);
        Runner::new(program.clone(), &values, self.options.order())
    }
}

/// `values` that a program gives; those that are `resident` without the copy to the host that it ends with.
fn taken(program: &Program, values: Vec<ValueId>, resident: &[bool]) -> Vec<ValueId> {
    let stays = |i: usize| resident.get(i).copied().unwrap_or(false);
    values.into_iter().enumerate().map(|(i, v)| if stays(i) { program.before_copy(v) } else { v }).collect()
}

/// The model, planned for a fetch set.
struct Planned {
    runner: Runner,
    placements: Vec<Placement>,
    report: Report,
}

impl Model {
    /// Checks what the model states of shapes against what is inferred.
    fn check_strictly(&self, proto: &GraphProto<'_>, ports: &[&Port]) -> Result<()> {
        let mut graph = self.graph.clone();
        let mut facts = input_facts(&graph, ports, true)?;
        functions::infer(&mut graph, &mut facts, &self.target)?;
        strict::check(proto, &graph, &facts)
    }

    /// Optimizes, places and plans the model for `fetches`, or for its outputs when there are none.
    fn plan(&self, ports: &[&Port], named: bool, fetches: &[ValueId], options: &Options) -> Result<Planned> {
        let mut graph = self.graph.clone();
        if !fetches.is_empty() {
            graph.outputs = fetches.to_vec().into();
        }
        let mut facts = input_facts(&graph, ports, named)?;
        functions::infer(&mut graph, &mut facts, &self.target)?;
        let constants = graph.values().filter_map(|(_, v)| v.constant.as_ref()?.tensor().ok()).filter_map(|t| t.dtype().bytes_of(t.len()));
        let constants = constants.fold(0, usize::saturating_add);
        let oracle = Operators::new(self.target.clone()).with_opsets(self.opsets.clone()).with_constants(constants);
        let report = optimize(&mut graph, &mut facts, &oracle, options, &self.target)?;
        if let (Some(path), true) = (&options.optimized_model_path, fetches.is_empty() && named) {
            let apart = options.external_file(path)?;
            let (registry, opsets, metadata) = (&self.target.registry, &self.opsets, &self.metadata);
            let located = options.initializer_locator.as_ref().map(|locator| (locator, &self.places));
            let export = Export { graph: &graph, facts: &facts, registry, oracle: &oracle, opsets, metadata, apart, located };
            export.save(path, Format::to_save(path, &options.config))?;
        }
        let placements = place(&mut graph, &mut facts, &self.target)?;
        let outputs = graph.outputs.clone();
        let program = Arc::new(Program::new(self.target.clone(), graph, facts)?);
        Ok(Planned { runner: Runner::new(program, &outputs, options.order())?, placements, report })
    }
}

/// Rewrites `graph` by the passes that the options ask for.
fn optimize(graph: &mut Graph, facts: &mut Facts, oracle: &Operators, options: &Options, target: &Target) -> Result<Report> {
    let (begun, log) = (Instant::now(), &options.log);
    let unwanted = target.providers().iter().flat_map(|p| p.unwanted_passes()).map(|name| name.to_string());
    let disabled = options.disabled().chain(unwanted).collect();
    let options = passes::Options { level: options.level, disabled, fold_limit: options.fold_limit(), stop_after: None };
    let report = passes::optimize(graph, facts, oracle, &options, &mut |line| log.say(Verbose, "optimize", || line.to_owned()))?;
    for (pass, rewrites) in report.applied() {
        log.say(Info, "optimize", || format!("GraphTransformer {pass} modified: {rewrites}"));
    }
    report.refused.iter().for_each(|why| log.say(Verbose, "optimize", || why.clone()));
    log.say(Info, "optimize", || format!("{} nodes are left after {:?}.", graph.nodes().count(), begun.elapsed()));
    Ok(report)
}

pub(crate) fn decode(bytes: &[u8], format: Format) -> Result<ModelProto<'_>> {
    ensure!(!bytes.is_empty(), InvalidArgument, "No graph was found in the protobuf.");
    match format {
        Format::Onnx => ModelProto::decode(bytes),
        Format::Ort => proto::decode_ort(bytes),
    }
}

/// The error of loading the model at `path`, named as ONNX Runtime names it.
pub(crate) fn at_file(e: &Error, path: &Path) -> Error {
    let message = format!("Load model from {} failed:{}", path.display(), e.message());
    Error::new(e.kind(), message).caused_by(e.cause().cloned())
}

/// Fails when the caller wants no node on the CPU and there is one; tells why the providers that were asked for do not run it.
fn check_fallback(environment: &Environment, placements: &[Placement], options: &Options) -> Result<()> {
    if !options.forbids_fallback() {
        return Ok(());
    }
    let explicit = options.providers.iter().any(|name| name == exec::CPU);
    ensure!(
        !explicit,
        InvalidArgument,
        "Conflicting session configuration: explicitly added the CPU EP to the session, but also disabled fallback to the CPU EP via \
         session configuration options."
    );
    let Some(p) = placements.iter().find(|p| p.provider == exec::CPU) else { return Ok(()) };
    let absent = options.providers.iter().filter_map(|name| Some(format!("; {name}: {}", environment.absent(name)?)));
    let refused = p.refused.iter().map(|(name, reason)| format!("; {name}: {reason}"));
    bail!(
        Fail,
        "This session contains graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled \
         by the user: {} '{}'{}",
        p.op,
        p.node,
        absent.chain(refused).collect::<String>()
    )
}
