//! What a session says of its work while it is made, and while it runs.

use std::collections::BTreeMap;
use std::time::Instant;

use base::threads::{Affinities, Settings};
use base::{Result, Value};
use exec::Observer;
use ir::{Graph, ValueId};

use crate::Severity::{Info, Verbose, Warning};
use crate::place::Placement;
use crate::{Log, Options};

/// Says which provider runs how many nodes, and warns of one that was asked for and runs none.
pub(crate) fn log_placements(placements: &[Placement], options: &Options) {
    let log = &options.log;
    for p in placements {
        log.say(Verbose, "place", || format!("{} '{}' is placed on {}{}", p.op, p.node, p.provider, reasons(p)));
    }
    let mut providers: BTreeMap<&str, usize> = BTreeMap::new();
    placements.iter().for_each(|p| *providers.entry(&p.provider).or_default() += 1);
    for (provider, count) in &providers {
        log.say(Info, "place", || format!("Nodes placed on [{provider}]: {count}"));
    }
    for name in options.providers.iter().filter(|name| !providers.contains_key(name.as_str())) {
        let refusal = placements.iter().find(|p| p.refused.iter().any(|(provider, _)| provider == name));
        if let Some(p) = refusal {
            log.say(Warning, "place", || format!("{name} was asked for, but runs none of the nodes: {} '{}'{}", p.op, p.node, reasons(p)));
        }
    }
}

/// Why others do not run the node of `placement`.
fn reasons(placement: &Placement) -> String {
    placement.refused.iter().map(|(name, reason)| format!("; {name}: {reason}")).collect()
}

/// Warns of initializers that nothing reads.
pub(crate) fn warn_of_unused(graph: &Graph, log: &Log) {
    if !log.takes(Warning) {
        return;
    }
    let unread = |v: ValueId| graph.uses(v).is_empty() && !graph.is_output(v) && !graph.inputs.contains(&v);
    for (_, info) in graph.values().filter(|(v, info)| info.constant.is_some() && info.producer.is_none() && unread(*v)) {
        let name = &info.name;
        log.say(Warning, "import", || format!("Initializer '{name}' is not used by any node and should be removed from the model."));
    }
}

/// Warns of processors that helpers are to be kept on, and cannot.
pub(crate) fn warn_of_affinities(settings: &Settings, options: &Options) {
    if let Some(i) = settings.affinities.as_ref().and_then(Affinities::refused) {
        let processors = &options.affinities[i];
        options.log.say(Warning, "threads", || format!("Thread {} of a run cannot be kept on processors {processors:?}.", i + 1));
    }
}

/// A run that is written to `log`, and so are its nodes if the log takes them.
pub(crate) fn logged(
    log: &Log,
    observer: Option<&Observer>,
    run: impl FnOnce(Option<&Observer>) -> Result<Vec<Value>>,
) -> Result<Vec<Value>> {
    log.say(Info, "run", || format!("Running with tag: {}", log.id));
    let begun = Instant::now();
    let nodes = log.takes_nodes().then(|| watched(log, observer.cloned()));
    let values = run(nodes.as_ref().or(observer));
    log.say(Info, "run", || match &values {
        Ok(_) => format!("The run took {:?}.", begun.elapsed()),
        Err(e) => format!("The run failed after {:?}: {}", begun.elapsed(), e.message()),
    });
    values
}

/// An observer that says of each node how long it took, and tells `also`.
fn watched(log: &Log, also: Option<Observer>) -> Observer {
    let log = log.clone();
    Observer::of_values(move |ran| {
        log.say(Verbose, "run", || format!("{} '{}' took {:?}", ran.node.key, ran.node.name, ran.end - ran.start));
        also.iter().for_each(|observer| observer.pass(ran));
    })
}
