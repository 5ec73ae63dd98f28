//! Results that may be made over a feed, where a caller gives the same memory for both: caches that grow in place.

use base::Result;

use crate::Program;
use crate::plan::{Action, Plan, Step};
use crate::storage::Storage;

/// For each fetch, the feed whose memory the kernel that makes it may write over, if there is one.
///
/// # Errors
/// `Fail` when a step names a node that is not there.
pub(crate) fn replaced(program: &Program, plan: &Plan) -> Result<Vec<Option<u32>>> {
    plan.fetches.iter().map(|fetch| replaced_by(program, plan, *fetch)).collect()
}

fn replaced_by(program: &Program, plan: &Plan, fetch: u32) -> Result<Option<u32>> {
    let made = |s: &Step| s.wires.outputs.iter().position(|o| *o == Some(fetch));
    let Some((at, output)) = plan.steps.iter().enumerate().find_map(|(i, s)| Some((i, made(s)?))) else { return Ok(None) };
    let step = &plan.steps[at];
    let own = matches!(plan.slots[fetch as usize].storage, Storage::Own | Storage::Free);
    let pairs = program.unit(step.node)?.def.in_place.iter();
    let mut feeds = pairs.filter(|(_, o)| *o == output).filter_map(|(i, _)| step.wires.inputs.get(*i).copied().flatten());
    Ok(feeds.find(|feed| own && step.action == Action::Kernel && plan.feeds.contains(feed) && ends_at(plan, *feed, at)))
}

/// Whether the step at `at` is the last that reads `feed`, and reads it once.
fn ends_at(plan: &Plan, feed: u32, at: usize) -> bool {
    let reads = |s: &Step| s.wires.inputs.iter().filter(|i| **i == Some(feed)).count();
    // Steps of a wave run at the same time, and what is shared is read for longer.
    let before = |i: usize, s: &Step| i < at && plan.waves.is_empty() && s.action == Action::Kernel;
    let fits = |(i, s): (usize, &Step)| if i == at { reads(s) == 1 } else { reads(s) == 0 || before(i, s) };
    !plan.fetches.contains(&feed) && plan.steps.iter().enumerate().all(fits)
}
