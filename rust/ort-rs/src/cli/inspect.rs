//! `ort-rs inspect`: what a model consists of, and everything of it that cannot run here.

use std::fmt::Write;

use base::Result;
use session::{Operator, Survey};

use super::Outcome;
use super::arguments::Inspect;
use crate::runtime::{self, Source};
use session::text::{bytes, table};

pub(crate) fn inspect(arguments: &Inspect, out: &mut String) -> Result<Outcome> {
    let survey = Survey::of(runtime::shared()?, Source::File(&arguments.model))?;
    describe(&survey, out);
    let session = match super::run::load(&arguments.model, &arguments.session) {
        Ok(session) => session,
        Err(e) if survey.problems.is_empty() => return Err(e),
        Err(_) => {
            line(out, &format!("\nThe model does not run here, for {} reasons:", survey.problems.len()));
            problems(&survey, out);
            return Ok(Outcome::Bad);
        }
    };
    line(out, &format!("\nThe model runs on {}.", session.providers().join(", ")));
    session.notes().iter().for_each(|note| line(out, note));
    if !survey.problems.is_empty() {
        line(out, "Optimization removes nodes that could not run:");
        problems(&survey, out);
    }
    if arguments.graph {
        line(out, "\nAfter optimization:");
        out.push_str(&session.graph_text());
    }
    Ok(Outcome::Good)
}

/// Appends a line. Writing to a string cannot fail.
fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{text}");
}

fn describe(survey: &Survey, out: &mut String) {
    let meta = &survey.metadata;
    let stated = [
        ("producer", format!("{} {}", meta.producer_name, meta.producer_version)),
        ("domain", meta.domain.clone()),
        ("version", if meta.version == i64::MAX { String::new() } else { meta.version.to_string() }),
        ("graph", meta.graph_name.clone()),
        ("about", format!("{} {}", meta.description, meta.graph_description)),
        ("IR", survey.ir_version.to_string()),
        ("opsets", survey.opsets.iter().map(|(d, v)| format!("{} {v}", shown(d))).collect::<Vec<_>>().join(", ")),
    ];
    for (what, text) in stated.iter().filter(|(_, text)| !text.trim().is_empty()) {
        line(out, &format!("{what:<9}{}", text.trim().replace('\n', " ")));
    }
    for (key, value) in &meta.custom {
        line(out, &format!("{:<9}{key} = {}", "metadata", shortened(value)));
    }
    ports(survey, out);
    operators(survey, out);
    initializers(survey, out);
}

fn shown(domain: &str) -> &str {
    if domain.is_empty() { "ai.onnx" } else { domain }
}

/// The first line of a text, if that is not too long.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 100;
    let first: String = text.lines().next().unwrap_or_default().chars().take(LONGEST).collect();
    if first.len() < text.len() { format!("{first} … ({} characters)", text.chars().count()) } else { first }
}

fn ports(survey: &Survey, out: &mut String) {
    let outputs: Vec<String> = survey.outputs.iter().map(|(name, port)| port.as_ref().map_or(name.clone(), |p| p.to_string())).collect();
    let texts = |ports: &[crate::Port]| ports.iter().map(ToString::to_string).collect::<Vec<String>>();
    for (title, texts) in [("Inputs", texts(&survey.inputs)), ("Defaults", texts(&survey.overridable)), ("Outputs", outputs)] {
        if !texts.is_empty() {
            line(out, &format!("\n{title}:"));
            texts.iter().for_each(|text| line(out, &format!("  {text}")));
        }
    }
}

fn operators(survey: &Survey, out: &mut String) {
    line(out, &format!("\n{} nodes:", survey.operators.values().sum::<usize>()));
    let function = |op: &Operator| survey.functions.iter().any(|f| f.domain == op.domain && f.name == op.name);
    let row = |(op, count): (&Operator, &usize)| {
        let since = match op.since {
            Some(since) => since.to_string(),
            None if function(op) => "function".to_owned(),
            None => "unknown".to_owned(),
        };
        vec![op.name.clone(), shown(&op.domain).to_owned(), since, count.to_string()]
    };
    let rows: Vec<Vec<String>> = survey.operators.iter().map(row).collect();
    table(out, &["operator", "domain", "since", "nodes"], &rows);
    if !survey.functions.is_empty() {
        line(out, "\nFunctions of the model:");
        let rows = survey.functions.iter().map(|f| vec![f.name.clone(), shown(&f.domain).to_owned(), f.nodes.to_string()]);
        table(out, &["function", "domain", "nodes"], &rows.collect::<Vec<_>>());
    }
}

fn initializers(survey: &Survey, out: &mut String) {
    if survey.initializers.is_empty() {
        return;
    }
    line(out, "\nInitializers:");
    let rows = survey.initializers.iter().map(|(dtype, a)| {
        let size = if dtype.bits() == 0 { "?".to_owned() } else { bytes(a.bytes) };
        vec![dtype.to_string(), a.tensors.to_string(), a.elements.to_string(), size]
    });
    table(out, &["type", "tensors", "elements", "size"], &rows.collect::<Vec<_>>());
}

fn problems(survey: &Survey, out: &mut String) {
    for problem in &survey.problems {
        let op = problem.op.as_ref().map_or(String::new(), |op| format!("{op}: "));
        line(out, &format!("  {op}{}", problem.reason.trim_end().replace('\n', " ")));
        let named: Vec<&str> = problem.nodes.iter().map(String::as_str).filter(|n| !n.is_empty()).collect();
        if !problem.nodes.is_empty() {
            line(out, &format!("    {} nodes: {}", problem.nodes.len(), named.join(", ")));
        }
    }
}
