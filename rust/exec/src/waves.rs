//! Runs of several nodes at once: those that wait for nothing but what is there already make up a wave.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use base::threads::{self, Cancel};
use base::{Buffer, Result};
use ir::NodeId;
use op::{Run, RunState, Slot, Wires};

use crate::bind::Bound;
use crate::plan::{Action, Step};
use crate::run::Walk;
use crate::{Observer, Program};

/// Nodes that read and write fewer bytes than this are over before a helper has come.
const LARGE: usize = 1 << 15;

/// The nodes of `order` wave by wave, and the wave of each.
pub(crate) fn in_waves(program: &Program, order: &[NodeId]) -> (Vec<NodeId>, Vec<usize>) {
    let graph = program.graph();
    let mut wave_of = vec![0; graph.node_count()];
    for id in order {
        let before = graph.node(*id).reads().filter_map(|v| graph.producer(v)).map(|(producer, _)| wave_of[producer.index()] + 1);
        wave_of[id.index()] = before.max().unwrap_or(0);
    }
    let mut sorted = order.to_vec();
    sorted.sort_by_key(|id| wave_of[id.index()]);
    let waves = sorted.iter().map(|id| wave_of[id.index()]).collect();
    (sorted, waves)
}

/// One node of a wave with its values, apart from those of others.
struct Task<'a> {
    step: &'a Step,
    slots: Vec<Slot>,
    wires: Wires,
    scratch: Buffer,
    bytes: usize,
}

impl Task<'_> {
    fn run(&mut self, program: &Program, cancel: &Cancel, states: &[Arc<dyn RunState>], observer: Option<&Observer>) -> Result<()> {
        let node = program.graph().node(self.step.node);
        let start = observer.map(|_| Instant::now());
        let scratch = (self.scratch.address().cast_mut(), self.bytes);
        // SAFETY: inputs are shared and only read, and kept by their slots here; each output has memory of its own, and so has scratch.
        let run = unsafe { Run::new(&mut self.slots, &self.wires, scratch, cancel) };
        let mut run = run.with_states(states);
        let kernel = &program.unit(self.step.node)?.kernel;
        threads::interruptible(|| kernel.run(&mut run)).map_err(|e| e.while_running(&node.key.name, &node.name))?;
        if let (Some(observer), Some(start)) = (observer, start) {
            observer.tell(program.graph(), self.step.node, start, &self.slots, &self.wires);
        }
        Ok(())
    }

    /// The bytes that the node reads and writes.
    fn size(&self) -> usize {
        let tensors = self.slots.iter().filter_map(|s| s.tensor().ok());
        tensors.map(|t| t.dtype().bytes_of(t.len()).unwrap_or(0)).sum()
    }
}

impl Walk<'_> {
    /// Runs `steps`, which do not wait for each other: large ones at the same time, on the threads of the run.
    pub(crate) fn wave(&mut self, steps: &[(&Step, Option<usize>)], bound: &Bound) -> Result<()> {
        let (kernels, others): (Vec<_>, Vec<_>) =
            steps.iter().partition(|(step, _)| step.action == Action::Kernel && !self.is_spared(step));
        for (step, scratch) in others {
            self.step_alone(step, bound, scratch)?;
        }
        if kernels.len() < 2 {
            for (step, scratch) in kernels {
                self.step_alone(step, bound, scratch)?;
            }
        } else {
            self.kernels_at_once(&kernels, bound)?;
        }
        for (step, _) in steps {
            self.finish(step)?;
        }
        Ok(())
    }

    fn kernels_at_once(&mut self, kernels: &[(&Step, Option<usize>)], bound: &Bound) -> Result<()> {
        let mut tasks = Vec::with_capacity(kernels.len());
        for (step, scratch) in kernels {
            tasks.push(Mutex::new(self.task(step, bound, *scratch).map_err(|e| self.at(step, e))?));
        }
        let (program, cancel, observer) = (&*self.runner.program, self.cancel, self.observer);
        let states = self.frame.states.clone();
        let run = |task: &Mutex<Task<'_>>| task.lock().unwrap_or_else(PoisonError::into_inner).run(program, cancel, &states, observer);
        let (large, small): (Vec<_>, Vec<_>) = tasks.iter().partition(|t| t.lock().unwrap_or_else(PoisonError::into_inner).size() >= LARGE);
        small.into_iter().try_for_each(run)?;
        match large.len() {
            // A node that runs alone has all threads to itself.
            0 | 1 => large.into_iter().try_for_each(run)?,
            n => threads::try_parallel_for(n, &|i| run(large[i]))?,
        }
        for task in tasks {
            self.put_back(task.into_inner().unwrap_or_else(PoisonError::into_inner))?;
        }
        Ok(())
    }

    /// Takes the values of `step` out of the frame: shares of its inputs, and its outputs.
    fn task<'s>(&mut self, step: &'s Step, bound: &Bound, scratch: Option<usize>) -> Result<Task<'s>> {
        let bytes = self.prepare_outputs(step, bound, scratch)?;
        let mut wires = Wires { given: step.wires.given, ..Wires::default() };
        let mut slots = Vec::new();
        for slot in &step.wires.inputs {
            wires.inputs.push(slot.map(|s| {
                slots.push(self.frame.slots[s as usize].clone());
                slots.len() as u32 - 1
            }));
        }
        for slot in &step.wires.outputs {
            wires.outputs.push(slot.map(|s| {
                slots.push(std::mem::take(&mut self.frame.slots[s as usize]));
                slots.len() as u32 - 1
            }));
        }
        Ok(Task { step, slots, wires, scratch: self.frame.spare(bytes)?, bytes })
    }

    fn put_back(&mut self, mut task: Task<'_>) -> Result<()> {
        for (slot, local) in task.step.wires.outputs.iter().zip(&task.wires.outputs) {
            if let (Some(slot), Some(local)) = (slot, local) {
                self.frame.slots[*slot as usize] = std::mem::take(&mut task.slots[*local as usize]);
            }
        }
        self.frame.keep_spare(task.scratch);
        self.check_outputs(task.step).map_err(|e| self.at(task.step, e))
    }
}
