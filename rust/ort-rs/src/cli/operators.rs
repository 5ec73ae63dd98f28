//! `ort-rs operators`: the table of all operators, as `docs/operators.md` holds it.

use std::fmt::Write;

use base::{DType, Result, Type};
use op::{OpDef, Since, TypeSet};

use super::Outcome;
use crate::runtime;

pub(crate) fn operators(out: &mut String) -> Result<Outcome> {
    out.push_str(&markdown()?);
    Ok(Outcome::Good)
}

/// The page of all operators: a table for each domain, then the sets of types that the tables name.
pub(crate) fn markdown() -> Result<String> {
    let registry = runtime::shared()?.registry();
    let mut defs: Vec<&OpDef> = registry.iter().map(|d| &**d).collect();
    defs.retain(|d| d.domain != PRIVATE);
    let mut page = String::from(HEAD);
    let mut domains: Vec<&str> = defs.iter().map(|d| d.domain).collect();
    domains.dedup();
    for domain in domains {
        let here: Vec<&OpDef> = defs.iter().copied().filter(|d| d.domain == domain).collect();
        let shown = if domain.is_empty() { "ai.onnx" } else { domain };
        // Writing to a string cannot fail.
        let _ = write!(page, "\n## {shown}\n\n{} operators.\n\n| operator | versions | types | runs on |\n|---|---|---|---|\n", here.len());
        for def in here {
            let _ = writeln!(page, "| {} | {} | {} | {} |", def.name, versions(def), types(def), providers(def));
        }
    }
    Ok(page)
}

/// The domain of the operators that the runtime makes for itself.
const PRIVATE: &str = "ai.ort_rs";

const HEAD: &str = "# Operators

Written by `ort-rs operators`; a test holds it to what the runtime knows. *Versions* are those of the operator set that changed the
operator; each opset has the last one not above it. *Types* are those of the newest version, for each type variable of its signature.
*Runs on* names the providers that have kernels, those of CUDA for the types that `docs/cuda.md` says; an operator that runs *by its
body* is taken apart into others.
";

fn versions(def: &OpDef) -> String {
    let text = |s: &Since| if s.deprecated { format!("until {}", s.version - 1) } else { s.version.to_string() };
    def.versions.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn types(def: &OpDef) -> String {
    let Some(newest) = def.versions.iter().rev().find(|s| !s.deprecated) else { return String::new() };
    let used = |variable: &str| newest.inputs().chain(newest.outputs()).any(|p| p.ty == variable);
    let texts = newest.types.iter().filter(|(variable, _)| used(variable)).map(|(variable, set)| format!("{variable}: {}", members(set)));
    texts.collect::<Vec<_>>().join("; ")
}

/// The types in `set`; families of tensors by a short name.
fn members(set: &TypeSet) -> String {
    use DType::{F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
    let has = |d: &DType| set.contains(&Type::Tensor(*d));
    let mut tensors: Vec<DType> = DType::all().filter(has).collect();
    let mut names: Vec<String> = Vec::new();
    if tensors.len() == DType::all().count() {
        tensors.clear();
        names.push("every tensor".to_owned());
    }
    let families: [(&str, &[DType]); 3] =
        [("int8–int64", &[I8, I16, I32, I64]), ("uint8–uint64", &[U8, U16, U32, U64]), ("float16–double", &[F16, F32, F64])];
    for (name, members) in families {
        if members.iter().all(|m| tensors.contains(m)) {
            tensors.retain(|t| !members.contains(t));
            names.push(name.to_owned());
        }
    }
    names.extend(tensors.iter().map(ToString::to_string));
    names.extend(set.names().into_iter().filter(|n| !n.starts_with("tensor(")).map(|n| format!("`{n}`")));
    names.join(", ")
}

fn providers(def: &OpDef) -> &'static str {
    match (def.kernels.cpu.is_some(), def.kernels.cuda.is_some(), def.body.is_some()) {
        (true, true, _) => "CPU, CUDA",
        (true, false, _) => "CPU",
        (false, true, _) => "CUDA",
        (false, false, true) => "by its body",
        (false, false, false) => "nothing yet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_is_what_the_registry_says() {
        let page = include_str!("../../../../docs/operators.md");
        assert!(page == markdown().unwrap(), "docs/operators.md is out of date: write it again by `make operators`");
    }

    #[test]
    fn parameters_have_types() {
        for def in runtime::operators() {
            for since in def.versions.iter().filter(|s| !s.deprecated) {
                let all: Vec<_> = since.inputs().chain(since.outputs()).collect();
                assert!(all.iter().all(|p| !p.ty.is_empty()), "{} {}", def.name, since.version);
                assert!(all.iter().filter(|p| p.arity == op::Arity::Variadic).count() <= 2, "{}", def.name);
            }
        }
    }
}
