//! Validation of function bodies, in parallel, and what is learned from them on the way.

use super::features;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use wasmparser::{
    FuncToValidate, FuncValidatorAllocations, FunctionBody, Operator, OperatorsReader,
    ValidatorResources,
};

/// A body that waits for validation.
pub(super) struct Body<'a> {
    pub(super) func: FuncToValidate<ValidatorResources>,
    pub(super) body: FunctionBody<'a>,
}

/// What a function calls, as far as its code tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A function.
    Function(u32),
    /// An element of a table, at an index that may be a constant.
    Element {
        table: u32,
        ty: u32,
        index: Option<u32>,
    },
}

impl Call {
    /// The call that an operator is, after another one.
    fn of(op: &Operator<'_>, before: &Option<u32>) -> Option<Call> {
        match *op {
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                Some(Call::Function(function_index))
            }
            Operator::CallIndirect {
                type_index,
                table_index,
            }
            | Operator::ReturnCallIndirect {
                type_index,
                table_index,
            } => Some(Call::Element {
                table: table_index,
                ty: type_index,
                index: *before,
            }),
            _ => None,
        }
    }
}

/// What the bodies of a module do, as far as it matters to other functions.
#[derive(Default)]
pub(super) struct Facts {
    /// Tables that are read or written by anything but indirect calls and `table.size`.
    pub(super) touched_tables: BTreeSet<u32>,
    /// Tables and types of indirect calls, and how many places each is called from.
    pub(super) indirect_calls: BTreeMap<(u32, u32), u32>,
    /// Globals that are set.
    pub(super) written_globals: BTreeSet<u32>,
    /// Memories that are grown.
    pub(super) grown_memories: BTreeSet<u32>,
    /// Tables that are grown.
    pub(super) grown_tables: BTreeSet<u32>,
    /// Functions that references are made to.
    pub(super) referred_functions: BTreeSet<u32>,
    /// The calls of each function that has any, in the order of its code.
    pub(super) calls: BTreeMap<u32, Vec<Call>>,
    /// Functions that have a `try` of the first form of exceptions.
    pub(super) legacy_tries: BTreeSet<u32>,
    /// Data segments that are copied from.
    pub(super) used_data: BTreeSet<u32>,
    /// Element segments that are copied from.
    pub(super) used_elements: BTreeSet<u32>,
    /// Whether there are operators on garbage-collected objects.
    pub(super) has_objects: bool,
}

impl Facts {
    fn note(&mut self, op: &Operator<'_>) {
        self.has_objects |= features::is_of_objects(op);
        match *op {
            Operator::GlobalSet { global_index } => {
                self.written_globals.insert(global_index);
            }
            Operator::CallIndirect {
                type_index,
                table_index,
            }
            | Operator::ReturnCallIndirect {
                type_index,
                table_index,
            } => {
                *self
                    .indirect_calls
                    .entry((table_index, type_index))
                    .or_default() += 1;
            }
            Operator::RefFunc { function_index } => {
                self.referred_functions.insert(function_index);
            }
            Operator::MemoryGrow { mem } => {
                self.grown_memories.insert(mem);
            }
            Operator::MemoryInit { data_index, .. }
            | Operator::ArrayNewData {
                array_data_index: data_index,
                ..
            }
            | Operator::ArrayInitData {
                array_data_index: data_index,
                ..
            } => {
                self.used_data.insert(data_index);
            }
            Operator::ArrayNewElem {
                array_elem_index, ..
            }
            | Operator::ArrayInitElem {
                array_elem_index, ..
            } => {
                self.used_elements.insert(array_elem_index);
            }
            Operator::TableInit { elem_index, table } => {
                self.used_elements.insert(elem_index);
                self.touched_tables.insert(table);
            }
            Operator::TableGet { table }
            | Operator::TableSet { table }
            | Operator::TableFill { table } => {
                self.touched_tables.insert(table);
            }
            Operator::TableGrow { table } => {
                self.grown_tables.insert(table);
                self.touched_tables.insert(table);
            }
            Operator::TableCopy {
                dst_table,
                src_table,
            } => {
                self.touched_tables.extend([dst_table, src_table]);
            }
            _ => {}
        }
    }

    fn merge(mut self, mut other: Facts) -> Facts {
        self.touched_tables.append(&mut other.touched_tables);
        for (call, count) in other.indirect_calls {
            *self.indirect_calls.entry(call).or_default() += count;
        }
        self.calls.append(&mut other.calls);
        self.written_globals.append(&mut other.written_globals);
        self.grown_memories.append(&mut other.grown_memories);
        self.grown_tables.append(&mut other.grown_tables);
        self.referred_functions
            .append(&mut other.referred_functions);
        self.legacy_tries.append(&mut other.legacy_tries);
        self.used_data.append(&mut other.used_data);
        self.used_elements.append(&mut other.used_elements);
        self.has_objects |= other.has_objects;
        self
    }
}

/// One worker's share of the work.
#[derive(Default)]
struct Worker {
    facts: Facts,
    allocations: FuncValidatorAllocations,
    /// The first function that is invalid, and why.
    error: Option<(u32, wasmparser::Error)>,
}

impl Worker {
    fn take(mut self, body: Body<'_>) -> Worker {
        let index = body.func.index;
        if let Err(error) = self.validate(body) {
            let error = Some((index, error));
            self.error = first_error(self.error, error);
        }
        self
    }

    fn validate(&mut self, body: Body<'_>) -> wasmparser::Result<()> {
        let allocations = std::mem::take(&mut self.allocations);
        let index = body.func.index;
        let (mut calls, mut constant) = (Vec::new(), None);
        let mut validator = body.func.into_validator(allocations);
        let mut reader = body.body.get_binary_reader();
        validator.read_locals(&mut reader)?;
        let mut operators = OperatorsReader::new(reader);
        while !operators.eof() {
            let offset = operators.original_position();
            let op = operators.read()?;
            validator.op(offset, &op)?;
            self.facts.note(&op);
            if matches!(op, Operator::Try { .. }) {
                self.facts.legacy_tries.insert(index);
            }
            calls.extend(Call::of(&op, &constant));
            constant = match op {
                Operator::I32Const { value } => Some(value as u32),
                _ => None,
            };
        }
        operators.finish()?;
        if !calls.is_empty() {
            self.facts.calls.insert(index, calls);
        }
        self.allocations = validator.into_allocations();
        Ok(())
    }

    fn merge(self, other: Worker) -> Worker {
        Worker {
            facts: self.facts.merge(other.facts),
            allocations: self.allocations,
            error: first_error(self.error, other.error),
        }
    }
}

type Error = Option<(u32, wasmparser::Error)>;

/// The error of the earlier function, so that a module fails in the same way every time.
fn first_error(a: Error, b: Error) -> Error {
    match (&a, &b) {
        (Some((first, _)), Some((second, _))) if second < first => b,
        (Some(_), _) => a,
        (None, _) => b,
    }
}

/// Validates all bodies.
pub(super) fn validate_bodies(bodies: Vec<Body<'_>>) -> wasmparser::Result<Facts> {
    let worker = bodies
        .into_par_iter()
        .fold(Worker::default, Worker::take)
        .reduce(Worker::default, Worker::merge);
    match worker.error {
        Some((_, error)) => Err(error),
        None => Ok(worker.facts),
    }
}
