//! Following a function's control flow, instruction by instruction, until nothing new is learnt.

use super::facts::{Facts, Signature};
use super::permitted;
use super::report::{CodeReport, Finding, Problem};
use super::state::{RBP, RSP, State, negate};
use super::step::Step;
use super::value::{Thing, Value};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpKind};
use precast_abi::object::FunctionRecord;
use std::collections::{BTreeSet, HashMap, HashSet};

/// After this many visits of the same place, ranges are widened.
const PATIENCE: u32 = 4;

/// Bytes of an exception before its values.
const EXCEPTION_RECORD: i64 = size_of::<precast_abi::instance::ExceptionRecord>() as i64;

/// Where control goes after an instruction.
enum Next {
    /// On.
    On,
    /// Nowhere.
    End,
    /// To these places, with what is known there.
    To(Vec<(u32, State)>),
}

pub(super) struct Function<'a, 'b> {
    facts: &'b Facts<'a>,
    step: Step<'a, 'b>,
    start: u32,
    end: u32,
    known: HashMap<u32, (State, u32)>,
    /// Places to look at (again). The first in the text comes first: mostly, what leads to a place
    /// stands before it.
    waiting: BTreeSet<u32>,
    seen: HashSet<u32>,
}

impl<'a, 'b> Function<'a, 'b> {
    pub(super) fn new(facts: &'b Facts<'a>, record: &FunctionRecord, signature: Signature) -> Self {
        let entry = State::at_entry(signature.return_area.is_some());
        let start = record.text_offset;
        Function {
            facts,
            step: Step {
                facts,
                signature,
                infos: InstructionInfoFactory::new(),
            },
            start,
            end: start + record.text_size,
            known: HashMap::from([(start, (entry, 0))]),
            waiting: BTreeSet::from([start]),
            seen: HashSet::new(),
        }
    }

    /// Looks at every instruction that can be reached. The last round counts: accesses are judged
    /// on each visit, and what is known only becomes less.
    pub(super) fn check(&mut self, index: u32) -> (CodeReport, Option<Finding>) {
        let mut report = CodeReport::default();
        while let Some(place) = self.waiting.pop_first() {
            if let Err((site, problem)) = self.run(place, &mut report) {
                let finding = Finding {
                    function: index,
                    text_offset: site,
                    problem,
                };
                return (report, Some(finding));
            }
        }
        report.functions = 1;
        (report, None)
    }

    /// Follows straight code from a place.
    fn run(&mut self, place: u32, report: &mut CodeReport) -> Result<(), (u32, Problem)> {
        let Some((state, _)) = self.known.get(&place) else {
            return Ok(());
        };
        let mut state = state.clone();
        let mut at = place;
        loop {
            let instruction = self.decode(at).map_err(|problem| (at, problem))?;
            // Each instruction counts once, however often it is looked at.
            let mut again = CodeReport::default();
            let counted = if self.seen.insert(at) {
                &mut *report
            } else {
                &mut again
            };
            let next = self
                .visit(&mut state, &instruction, counted)
                .map_err(|problem| (at, problem))?;
            at = instruction.next_ip32();
            match next {
                Next::On if self.known.contains_key(&at) => {
                    self.arrive(at, state);
                    return Ok(());
                }
                Next::On => {}
                Next::End => return Ok(()),
                Next::To(places) => {
                    for (place, state) in places {
                        self.arrive(place, state);
                    }
                    return Ok(());
                }
            }
        }
    }

    fn decode(&self, at: u32) -> Result<Instruction, Problem> {
        let bytes = self
            .facts
            .text
            .get(at as usize..self.end as usize)
            .unwrap_or(&[]);
        if at < self.start || bytes.is_empty() {
            return Err(Problem::NotCode);
        }
        let instruction = Decoder::with_ip(64, bytes, at.into(), DecoderOptions::NONE).decode();
        if instruction.is_invalid() {
            return Err(Problem::NotCode);
        }
        permitted::check(&instruction, self.facts.header.cpu_features)?;
        Ok(instruction)
    }

    /// Takes in what is known on one way to a place.
    fn arrive(&mut self, place: u32, state: State) {
        let changed = match self.known.get_mut(&place) {
            Some((known, visits)) => {
                *visits += 1;
                known.merge(&state, *visits > PATIENCE)
            }
            None => {
                self.known.insert(place, (state, 0));
                true
            }
        };
        if changed {
            self.waiting.insert(place);
        }
    }

    fn visit(
        &mut self,
        state: &mut State,
        instruction: &Instruction,
        report: &mut CodeReport,
    ) -> Result<Next, Problem> {
        report.instructions += 1;
        if instruction.flow_control() == FlowControl::Next {
            self.step.apply(state, instruction, report)?;
            return Ok(Next::On);
        }
        let before = state.clone();
        if instruction.flow_control() != FlowControl::Exception {
            self.step.apply(state, instruction, report)?;
        }
        match instruction.flow_control() {
            FlowControl::Next => Ok(Next::On),
            FlowControl::Exception => Ok(Next::End),
            FlowControl::ConditionalBranch => self.branch(state, instruction),
            FlowControl::UnconditionalBranch => {
                let target = instruction.near_branch_target() as u32;
                if self.holds(target) {
                    return Ok(Next::To(vec![(target, state.clone())]));
                }
                self.tail_call(&before, target, report)?;
                Ok(Next::End)
            }
            FlowControl::IndirectBranch => self.indirect_jump(&before, instruction, report),
            FlowControl::Return => {
                self.leave(&before, instruction)?;
                Ok(Next::End)
            }
            FlowControl::Call => {
                let next = self.call(state, instruction, report)?;
                if matches!(next, Next::On) {
                    self.catch(&before, state, instruction.next_ip32())?;
                }
                Ok(next)
            }
            FlowControl::IndirectCall => {
                let callee = self.callee(&before, instruction);
                self.indirect_callee(&before, callee, report)?;
                self.after_call(state, instruction.next_ip32(), None);
                self.catch(&before, state, instruction.next_ip32())?;
                Ok(Next::On)
            }
            FlowControl::Interrupt | FlowControl::XbeginXabortXend => {
                Err(Problem::ForbiddenInstruction)
            }
        }
    }

    fn holds(&self, place: u32) -> bool {
        (self.start..self.end).contains(&place)
    }

    fn branch(&self, state: &State, instruction: &Instruction) -> Result<Next, Problem> {
        let target = instruction.near_branch_target() as u32;
        if !self.holds(target) {
            return Err(Problem::BadTarget);
        }
        let condition = instruction.condition_code();
        let (mut taken, mut passed) = (state.clone(), state.clone());
        taken.assume(condition);
        passed.assume(negate(condition));
        Ok(Next::To(vec![
            (target, taken),
            (instruction.next_ip32(), passed),
        ]))
    }

    fn call(
        &self,
        state: &mut State,
        instruction: &Instruction,
        report: &mut CodeReport,
    ) -> Result<Next, Problem> {
        let target = instruction.near_branch_target() as u32;
        report.calls += 1;
        if self.facts.is_trap_stub(target) {
            require(state.context()[0].is_base(), Problem::BadContext)?;
            return Ok(Next::End);
        }
        let signature = self.entry(target, state)?;
        self.after_call(state, instruction.next_ip32(), signature);
        Ok(Next::On)
    }

    /// The signature of a function that may be entered here with this context; `None` for a
    /// helper, which has no record and takes no context.
    fn entry(&self, target: u32, state: &State) -> Result<Option<Signature>, Problem> {
        match self.facts.function_at(target) {
            Some(Some(index)) => {
                let signature = self.signature_of(index)?;
                let context = state.context()[usize::from(signature.return_area.is_some())];
                require(context.is_base(), Problem::BadContext)?;
                Ok(Some(signature))
            }
            _ => {
                let inside = self.facts.metadata.function_at(target).is_some();
                let is_code = (target as usize) < self.facts.text.len();
                require(is_code && !inside, Problem::BadTarget)?;
                Ok(None)
            }
        }
    }

    fn signature_of(&self, function: u32) -> Result<Signature, Problem> {
        let function = self
            .facts
            .metadata
            .function(function)
            .map_err(|_| Problem::BadTarget)?;
        self.facts
            .signature(function.type_index)
            .map_err(|_| Problem::BadTarget)
    }

    /// A callee takes its parameters off the stack. Where its type is not known, the caller's
    /// next instruction tells how many: it takes the room back.
    fn after_call(&self, state: &mut State, next: u32, signature: Option<Signature>) {
        let area = state.context()[0];
        if let (Value::Stack(offset), Some(size)) = (area, signature.and_then(|s| s.return_area)) {
            state.forget(offset, offset + size);
        } else if let Value::Stack(offset) = area {
            // The room for results of a function that is not known ends where registers are
            // saved: those it leaves alone.
            state.slots.retain(|slot, value| {
                *slot < offset || matches!(value, Value::Entry(_) | Value::ReturnAddress)
            });
        }
        let popped = match signature {
            Some(signature) => signature.stack_bytes,
            None => self.taken_back(next),
        };
        let stack_pointer = state.registers[RSP].add(Value::exact(popped));
        state.after_call();
        state.set(RSP, stack_pointer);
    }

    /// Where a call is an exception site, control may come to its handlers, too: with the frame as
    /// it is, and nothing in registers but the exception.
    fn catch(&mut self, before: &State, after: &State, returns: u32) -> Result<(), Problem> {
        let metadata = self.facts.metadata;
        let Some(site) = metadata.exception_site(returns) else {
            return Ok(());
        };
        let frame = metadata.exception_frame(site);
        let frame = frame.map_err(|_| Problem::BadHandler)?;
        let (Value::Stack(fp), Some(sp), Some(popped)) = (
            before.registers[RBP],
            before.stack_pointer(),
            after.stack_pointer(),
        ) else {
            return Err(Problem::BadHandler);
        };
        let mut state = after.clone();
        state.forget(sp, popped);
        let base = state.slots.get(&(sp + i64::from(frame.base)));
        let sound = fp - sp == i64::from(frame.size) && base.is_some_and(|base| base.is_base());
        require(sound, Problem::BadHandler)?;
        for index in frame.first..frame.first + frame.count {
            let handler = metadata.exception_handler(index);
            let handler = handler.map_err(|_| Problem::BadHandler)?;
            require(self.holds(handler.text_offset), Problem::BadHandler)?;
            let values = self.facts.tag_values(handler.tag());
            let size = values.map_err(|_| Problem::BadHandler)? + EXCEPTION_RECORD;
            let mut state = state.clone();
            state.enter_handler((sp, fp), Value::Loaded(Thing::Exception(size), 0));
            self.arrive(handler.text_offset, state);
        }
        Ok(())
    }

    fn taken_back(&self, next: u32) -> i64 {
        let Ok(instruction) = self.decode(next) else {
            return 0;
        };
        let is_room = instruction.mnemonic() == iced_x86::Mnemonic::Sub
            && State::number(instruction.op0_register()) == Some(RSP);
        match instruction.try_immediate(1) {
            Ok(bytes) if is_room => bytes as i64,
            _ => 0,
        }
    }

    /// The address that an indirect call or jump goes to.
    fn callee(&self, state: &State, instruction: &Instruction) -> Value {
        match instruction.op0_kind() {
            OpKind::Register => state.get(instruction.op0_register()),
            _ => self.step.loaded_code(state, instruction),
        }
    }

    /// Whether code at such an address may be entered with the context that is being passed.
    fn indirect_callee(
        &self,
        state: &State,
        callee: Value,
        report: &mut CodeReport,
    ) -> Result<(), Problem> {
        let contexts = state.context();
        let passes = |holds: &dyn Fn(Value) -> bool| contexts.iter().any(|value| holds(*value));
        let (holds, count) = match callee {
            Value::ImportCode(slot) => (
                passes(&|value| value == Value::ImportContext(slot)),
                &mut report.calls,
            ),
            Value::Target { array, count } => {
                let table = self.facts.code_table(array).ok_or(Problem::BadTarget)?;
                require(count <= table.entries, Problem::BadTarget)?;
                // That the type was compared is not followed.
                let counted = match table.shared {
                    true => &mut report.reference_calls,
                    false => &mut report.calls,
                };
                (passes(&Value::is_base), counted)
            }
            Value::RuntimeCode => (contexts[0].is_base(), &mut report.calls),
            Value::Reference if self.facts.has_references => {
                let context = |value: Value| value.is_base() || value == Value::Reference;
                (passes(&context), &mut report.reference_calls)
            }
            _ => return Err(Problem::WildCall),
        };
        require(holds, Problem::BadContext)?;
        *count += 1;
        Ok(())
    }

    fn indirect_jump(
        &self,
        state: &State,
        instruction: &Instruction,
        report: &mut CodeReport,
    ) -> Result<Next, Problem> {
        let callee = self.callee(state, instruction);
        if let Value::Target { array, count } = callee
            && let Some(table) = self.facts.text_offset(array)
        {
            let places = self.jump_table(table, count)?;
            return Ok(Next::To(
                places
                    .into_iter()
                    .map(|place| (place, state.clone()))
                    .collect(),
            ));
        }
        require(state.is_restored(), Problem::NotRestored)?;
        self.indirect_callee(state, callee, report)?;
        Ok(Next::End)
    }

    /// The places that the first `count` entries of a table of distances lead to, all of them in
    /// this function, as the table is.
    fn jump_table(&self, table: u32, count: i64) -> Result<Vec<u32>, Problem> {
        let len = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(4));
        let bytes = self
            .facts
            .text
            .get(table as usize..self.end as usize)
            .filter(|_| self.holds(table))
            .zip(len)
            .and_then(|(bytes, len)| bytes.get(..len))
            .ok_or(Problem::PastCode)?;
        let (entries, _) = bytes.as_chunks::<4>();
        let mut places = Vec::new();
        for entry in entries {
            let place = table.wrapping_add_signed(i32::from_le_bytes(*entry));
            require(self.holds(place), Problem::BadTarget)?;
            if !places.contains(&place) {
                places.push(place);
            }
        }
        Ok(places)
    }

    fn tail_call(
        &self,
        state: &State,
        target: u32,
        report: &mut CodeReport,
    ) -> Result<(), Problem> {
        require(state.is_restored(), Problem::NotRestored)?;
        let signature = self.entry(target, state)?.ok_or(Problem::BadTarget)?;
        // The callee takes its parameters off, and the caller expects ours to be gone.
        let expected = self.step.signature.stack_bytes - signature.stack_bytes;
        require(
            state.stack_pointer() == Some(expected),
            Problem::NotRestored,
        )?;
        report.calls += 1;
        Ok(())
    }

    fn leave(&self, state: &State, instruction: &Instruction) -> Result<(), Problem> {
        let popped = match instruction.op_count() {
            0 => 0,
            _ => i64::from(instruction.immediate16()),
        };
        let holds = state.is_restored()
            && state.stack_pointer() == Some(0)
            && popped == self.step.signature.stack_bytes;
        require(holds, Problem::NotRestored)
    }
}

fn require(holds: bool, problem: Problem) -> Result<(), Problem> {
    if holds { Ok(()) } else { Err(problem) }
}
