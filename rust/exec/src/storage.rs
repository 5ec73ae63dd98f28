//! Which values share memory: views, results written over dead inputs, pieces written straight into a whole, and blocks that values
//! take turns in.

use std::collections::HashSet;

use base::{DType, Result, Value};
use op::Alias;

use crate::Program;
use crate::plan::{Action, Block, Plan};
use crate::stand_in::{StandIns, stand_in_bytes};

/// Where a value lives.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    /// What the caller gives.
    Feed,
    /// What the model fixes.
    Constant(Value),
    /// A buffer of its own, made when its step comes: values that escape or are kept.
    Own,
    /// Whatever its kernel makes of it: strings, sequences, sizes that are known late.
    Free,
    /// In a block that others use before and after.
    Block(u32),
    /// Over the slot, an input that nobody needs any more and that has a buffer of its own.
    Over(u32),
    /// In the memory of another slot: the whole of it, or the part that the step's operator says.
    Shared,
    /// In the memory of slot `whole`, one of its parts; written there by its own step.
    PartOf { whole: u32 },
}

/// Values that share one piece of memory.
struct Group {
    /// The step after which nobody needs it.
    last: usize,
    /// Whether every member covers all of it, so that a result may be written over it.
    uniform: bool,
    kind: Kind,
    /// How many values share it.
    members: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The caller's or the model's: never written.
    Fixed,
    /// A buffer of its own.
    Own,
    /// Not yet decided; ends in a block.
    Planned,
}

/// Decides where every value of `plan` lives, and when it ends.
pub(crate) fn assign(program: &Program, plan: &mut Plan) -> Result<()> {
    let last = last_uses(plan);
    let mut groups = Groups::new(program, plan, &last)?;
    for step in 0..plan.steps.len() {
        groups.outputs(program, plan, step)?;
    }
    let group_of = groups.finish(program, plan)?;
    releases(plan, &group_of, &groups.groups);
    endings(plan, &last);
    Ok(())
}

/// For each slot, the last step that reads it; `usize::MAX` for what is fetched.
fn last_uses(plan: &Plan) -> Vec<usize> {
    let mut last = vec![0; plan.slots.len()];
    for (i, step) in plan.steps.iter().enumerate() {
        for slot in step.wires.inputs.iter().chain(&step.wires.outputs).flatten() {
            last[*slot as usize] = i;
        }
    }
    plan.fetches.iter().for_each(|s| last[*s as usize] = usize::MAX);
    last
}

struct Groups<'a> {
    groups: Vec<Group>,
    of: Vec<Option<usize>>,
    last: &'a [usize],
    kept: Vec<bool>,
    readers: Vec<Vec<Reader>>,
}

impl<'a> Groups<'a> {
    fn new(program: &Program, plan: &Plan, last: &'a [usize]) -> Result<Self> {
        let mut kept: Vec<bool> = last.iter().map(|l| *l == usize::MAX).collect();
        for step in &plan.steps {
            if program.unit(step.node)?.def.keeps_inputs {
                step.wires.inputs.iter().flatten().for_each(|s| kept[*s as usize] = true);
            }
        }
        let mut this = Self { groups: Vec::new(), of: vec![None; plan.slots.len()], last, kept, readers: readers(plan) };
        for (slot, s) in plan.slots.iter().enumerate() {
            if matches!(s.storage, Storage::Feed | Storage::Constant(_)) {
                this.open(slot, Kind::Fixed);
            }
        }
        Ok(this)
    }

    fn open(&mut self, slot: usize, kind: Kind) {
        self.of[slot] = Some(self.groups.len());
        self.groups.push(Group { last: self.last[slot], uniform: true, kind, members: 1 });
    }

    fn join(&mut self, slot: usize, group: usize) {
        self.of[slot] = Some(group);
        self.groups[group].members += 1;
        self.groups[group].last = self.groups[group].last.max(self.last[slot]);
        if self.kept[slot] && self.groups[group].kind == Kind::Planned {
            self.groups[group].kind = Kind::Own;
        }
    }

    /// Finds memory for what a step writes: shared with an input, over a dead input, or its own.
    fn outputs(&mut self, program: &Program, plan: &mut Plan, step: usize) -> Result<()> {
        if self.share(program, plan, step)? {
            return Ok(());
        }
        let outputs = plan.steps[step].wires.outputs.clone();
        for (i, slot) in outputs.iter().enumerate().filter_map(|(i, s)| s.map(|s| (i, s as usize))) {
            // Nodes of a wave run at the same time: what the one writes must not be what another still reads.
            if !matches!(plan.slots[slot].storage, Storage::Own) || !plan.waves.is_empty() {
                self.open(slot, Kind::Own);
            } else if let Some((input, group)) = self.dead_input(program, plan, step, i)? {
                plan.slots[slot].storage = Storage::Over(input as u32);
                self.join(slot, group);
            } else {
                self.open(slot, if self.kept[slot] { Kind::Own } else { Kind::Planned });
            }
        }
        Ok(())
    }

    /// Lets the outputs of `step` be views of its input 0, if its operator and their readers allow it.
    fn share(&mut self, program: &Program, plan: &mut Plan, step: usize) -> Result<bool> {
        let s = &plan.steps[step];
        let alias = s.alias(program)?;
        if !matches!(alias, Alias::Same | Alias::Parts) || s.sized_late {
            return Ok(false);
        }
        let Some(source) = s.wires.inputs.first().copied().flatten() else { return Ok(false) };
        let Some(group) = self.of[source as usize] else { return Ok(false) };
        let outputs: Vec<u32> = s.wires.outputs.iter().flatten().copied().collect();
        let fixed = self.groups[group].kind == Kind::Fixed;
        let same_memory = outputs.iter().all(|o| plan.slots[*o as usize].memory == plan.slots[source as usize].memory);
        let plain = plan.slots[source as usize].layout == base::Layout::Dense && plan.slots[source as usize].dtype.is_some();
        // A caller may write to what it gave, and must not find that in a result.
        if !same_memory || !plain || (fixed && outputs.iter().any(|o| self.kept[*o as usize])) {
            return Ok(false);
        }
        let packed = plan.slots[source as usize].dtype.is_none_or(DType::is_packed);
        // A result that escapes must not drag a larger buffer along; parts of packed types do not begin at a byte.
        if alias == Alias::Parts
            && (packed || outputs.iter().any(|o| self.kept[*o as usize]) || !parts_fit(program, plan, &self.readers, step)?)
        {
            return Ok(false);
        }
        for o in outputs {
            plan.slots[o as usize].storage = Storage::Shared;
            self.join(o as usize, group);
        }
        self.groups[group].uniform &= alias == Alias::Same;
        plan.steps[step].action = Action::Share;
        Ok(true)
    }

    /// An input of `step` that ends there and whose memory output `output` can take over.
    fn dead_input(&self, program: &Program, plan: &Plan, step: usize, output: usize) -> Result<Option<(usize, usize)>> {
        let s = &plan.steps[step];
        let Some(slot) = s.wires.outputs[output] else { return Ok(None) };
        for (input, _) in program.unit(s.node)?.def.in_place.iter().filter(|(_, o)| *o == output) {
            let Some(source) = s.wires.inputs.get(*input).copied().flatten() else { continue };
            let Some(group) = self.of[source as usize] else { continue };
            let g = &self.groups[group];
            let reads = s.wires.inputs.iter().filter(|i| i.is_some_and(|i| self.of[i as usize] == Some(group))).count();
            let own = matches!(plan.slots[source as usize].storage, Storage::Own | Storage::Over(_));
            let here = plan.slots[source as usize].segment == plan.slots[slot as usize].segment;
            let fits = own && here && same_size(plan, source, slot);
            let taken = s.wires.outputs[..output].iter().flatten().any(|o| self.of[*o as usize] == Some(group));
            if g.kind != Kind::Fixed && g.last == step && g.uniform && reads == 1 && fits && !taken {
                return Ok(Some((source as usize, group)));
            }
        }
        Ok(None)
    }

    /// Puts what is left into blocks, after letting the inputs of Concat be written where they are wanted.
    fn finish(&mut self, program: &Program, plan: &mut Plan) -> Result<Vec<Option<usize>>> {
        if plan.waves.is_empty() {
            for step in 0..plan.steps.len() {
                self.assemble(program, plan, step)?;
            }
            self.blocks(plan);
        }
        Ok(self.of.clone())
    }

    /// Lets the inputs of a Concat be written straight into its output.
    fn assemble(&mut self, program: &Program, plan: &mut Plan, step: usize) -> Result<()> {
        let s = &plan.steps[step];
        if s.alias(program)? != Alias::Whole || s.sized_late || s.wires.outputs.len() != 1 {
            return Ok(());
        }
        let Some(whole) = s.wires.outputs[0] else { return Ok(()) };
        let inputs: Vec<u32> = s.wires.inputs.iter().flatten().copied().collect();
        let Some(target) = self.of[whole as usize] else { return Ok(()) };
        let packed = plan.slots[whole as usize].dtype.is_none_or(DType::is_packed);
        if packed || self.groups[target].kind != Kind::Planned || !self.pieces_fit(program, plan, step, whole, &inputs)? {
            return Ok(());
        }
        for slot in &inputs {
            plan.slots[*slot as usize].storage = Storage::PartOf { whole };
            // Each was the only member of its group, which stays behind empty.
            let left = self.of[*slot as usize].replace(target);
            let ended = left.map_or(0, |g| self.groups[g].last);
            self.groups[target].last = self.groups[target].last.max(ended);
            self.groups[target].members += 1;
        }
        self.groups[target].uniform = false;
        plan.steps[step].action = Action::Nothing;
        Ok(())
    }

    /// Whether each input of a Concat is the sole member of a planned group of the same segment, used once, and lies dense in the whole.
    fn pieces_fit(&self, program: &Program, plan: &Plan, step: usize, whole: u32, inputs: &[u32]) -> Result<bool> {
        let target = &plan.slots[whole as usize];
        let mut seen = HashSet::new();
        for slot in inputs {
            let s = &plan.slots[*slot as usize];
            let group = self.of[*slot as usize].map(|g| &self.groups[g]);
            let alone = group.is_some_and(|g| g.members == 1 && g.kind == Kind::Planned);
            if !alone || !seen.insert(*slot) || s.segment != target.segment || s.memory != target.memory || s.layout != target.layout {
                return Ok(false);
            }
        }
        let operator = program.target.registry.load(program.graph().node(plan.steps[step].node))?;
        Ok(StandIns::each(plan, step)
            .iter()
            .all(|sizes| sizes.with(|s| (0..inputs.len()).all(|i| operator.part(s, i).is_ok_and(|p| sizes.input_is_dense(i, &p))))))
    }

    /// Gives every planned group a block, taking a free one of a like size where there is one.
    fn blocks(&self, plan: &mut Plan) {
        let mut block_of: Vec<Option<u32>> = vec![None; self.groups.len()];
        let mut free: Vec<u32> = Vec::new();
        let mut size: Vec<usize> = Vec::new();
        let members = members(&self.of, self.groups.len());
        let mut ended: Vec<Vec<usize>> = vec![Vec::new(); plan.steps.len()];
        for (g, group) in self.groups.iter().enumerate().filter(|(_, g)| g.last < plan.steps.len()) {
            ended[group.last].push(g);
        }
        for (step, ended) in ended.iter().enumerate() {
            for slot in written_at(plan, step) {
                let Some(group) = self.of[slot].filter(|g| self.groups[*g].kind == Kind::Planned) else { continue };
                if block_of[group].is_some() {
                    continue;
                }
                let bytes = members[group].iter().map(|m| stand_in_bytes(plan, *m)).max().unwrap_or(0);
                let (segment, memory) = (plan.slots[slot].segment, plan.slots[slot].memory);
                let fit = free.iter().position_best(|b| {
                    let block = &plan.blocks[*b as usize];
                    (block.segment == segment && block.memory == memory).then(|| size[*b as usize].abs_diff(bytes))
                });
                let block = fit.map(|i| free.swap_remove(i)).unwrap_or_else(|| {
                    plan.blocks.push(Block { memory, segment });
                    size.push(0);
                    plan.blocks.len() as u32 - 1
                });
                size[block as usize] = size[block as usize].max(bytes);
                block_of[group] = Some(block);
            }
            free.extend(ended.iter().filter_map(|g| block_of[*g]));
        }
        for (segment, start) in plan.segments.iter_mut().enumerate() {
            start.block = plan.blocks.partition_point(|b| b.segment < segment);
        }
        for (slot, s) in plan.slots.iter_mut().enumerate() {
            let block = self.of[slot].and_then(|g| block_of[g]);
            if let (Storage::Own | Storage::Over(_), Some(block)) = (&s.storage, block) {
                s.storage = Storage::Block(block);
            }
        }
    }
}

fn written_at(plan: &Plan, step: usize) -> Vec<usize> {
    plan.steps[step].wires.outputs.iter().flatten().map(|s| *s as usize).collect()
}

trait PositionBest: Iterator + Sized {
    /// The place of the item with the least cost, among those that have one.
    fn position_best(self, cost: impl Fn(Self::Item) -> Option<usize>) -> Option<usize> {
        self.enumerate().filter_map(|(i, x)| Some((cost(x)?, i))).min().map(|(_, i)| i)
    }
}

impl<I: Iterator> PositionBest for I {}

fn members(of: &[Option<usize>], groups: usize) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); groups];
    of.iter().enumerate().for_each(|(slot, g)| members[g.unwrap_or(0)].extend(g.map(|_| slot)));
    members
}

fn releases(plan: &mut Plan, group_of: &[Option<usize>], groups: &[Group]) {
    for (slot, group) in group_of.iter().enumerate() {
        let (Some(group), true) = (group, is_transient(&plan.slots[slot].storage)) else { continue };
        if let Some(step) = plan.steps.get_mut(groups[*group].last) {
            step.releases.push(slot as u32);
        }
    }
}

/// Marks the inputs that nobody reads after a step: its kernel may take them out of the run.
fn endings(plan: &mut Plan, last: &[usize]) {
    for (i, step) in plan.steps.iter_mut().enumerate() {
        let inputs = &step.wires.inputs;
        for (input, slot) in inputs.iter().take(step.wires.given.min(64)).enumerate().filter_map(|(i, s)| Some((i, (*s)?))) {
            let once = inputs.iter().filter(|s| **s == Some(slot)).count() == 1;
            let fixed = matches!(plan.slots[slot as usize].storage, Storage::Constant(_));
            step.wires.ending |= u64::from(last[slot as usize] == i && once && !fixed) << input;
        }
    }
}

/// Whether a value of this storage holds a buffer that must be let go before the run ends.
fn is_transient(storage: &Storage) -> bool {
    matches!(storage, Storage::Own | Storage::Over(_) | Storage::Free | Storage::Shared)
}

fn same_size(plan: &Plan, a: u32, b: u32) -> bool {
    let (a, b) = (&plan.slots[a as usize], &plan.slots[b as usize]);
    a.dims == b.dims && a.layout == b.layout && a.memory == b.memory && a.dtype.map(DType::bits) == b.dtype.map(DType::bits)
}

/// Whether each output of `step` is a part of input 0 that all its readers take as it lies: dense, or strided where they allow it.
fn parts_fit(program: &Program, plan: &Plan, readers: &[Vec<Reader>], step: usize) -> Result<bool> {
    let s = &plan.steps[step];
    let operator = program.target.registry.load(program.graph().node(s.node))?;
    for sizes in StandIns::each(plan, step) {
        let parts: Vec<Result<op::Part>> = sizes.with(|sizes| (0..s.wires.outputs.len()).map(|i| operator.part(sizes, i)).collect());
        for (i, slot) in s.wires.outputs.iter().enumerate().filter_map(|(i, s)| Some((i, (*s)?))) {
            let Ok(part) = &parts[i] else { return Ok(false) };
            if !sizes.output_is_dense(i, part) && !readers_take_strides(program, plan, &readers[slot as usize])? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn readers_take_strides(program: &Program, plan: &Plan, readers: &[Reader]) -> Result<bool> {
    for reader in readers {
        let def = &program.unit(plan.steps[reader.step].node)?.def;
        // A view of a view is judged by its own readers, who see only dense parts; it is not worth the trouble here.
        if !def.strided.input(reader.input) || def.alias != Alias::None {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A step that reads a slot, and as which of its inputs.
struct Reader {
    step: usize,
    input: usize,
}

/// Who reads each slot.
fn readers(plan: &Plan) -> Vec<Vec<Reader>> {
    let mut readers: Vec<Vec<Reader>> = Vec::new();
    readers.resize_with(plan.slots.len(), Vec::new);
    for (step, s) in plan.steps.iter().enumerate() {
        for (input, slot) in s.wires.inputs.iter().enumerate().filter_map(|(i, s)| Some((i, (*s)?))) {
            readers[slot as usize].push(Reader { step, input });
        }
    }
    readers
}
