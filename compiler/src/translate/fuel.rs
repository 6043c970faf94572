//! Fuel: counting what is executed, and stopping when that is used up.
//!
//! Operators fall into runs, by their text alone: a run ends after each operator that control
//! may leave or reach (branches, `if`, `else`, `end`, `loop`), and after each call. What a run
//! costs is charged when it is entered, one unit per operator but for those that only give
//! structure. So every loop and every call costs something, what a host function sees is what
//! was executed before it, and the count is the same on every target at every level of
//! optimisation.

use super::func::FuncTranslator;
use super::instance::Region;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use precast_abi::instance::InstanceHeader;
use precast_abi::runtime::RuntimeFn;
use precast_abi::trap::TrapCode;
use wasmparser::{FunctionBody, Operator};

/// Bytes that a bulk operation on memory moves for one unit: 64.
const BULK_BYTES_LOG2: i64 = 6;

/// The most that an operation on elements costs.
const MAX_ELEMENTS: i64 = u32::MAX as i64;

/// What the runs of a function cost, in their order.
#[derive(Default)]
pub(crate) struct Runs {
    costs: Vec<u32>,
    next: usize,
}

impl Runs {
    /// Reads a body that was validated.
    pub(super) fn of(body: &FunctionBody<'_>) -> wasmparser::Result<Runs> {
        let mut costs = Vec::new();
        let mut cost = 0;
        for op in body.get_operators_reader()? {
            let op = op?;
            cost += self::cost(&op);
            if ends_run(&op) {
                costs.push(cost);
                cost = 0;
            }
        }
        Ok(Runs { costs, next: 0 })
    }

    fn take(&mut self) -> u32 {
        let cost = self.costs.get(self.next).copied();
        self.next += 1;
        // There is none behind the last operator.
        cost.unwrap_or(0)
    }
}

fn cost(op: &Operator<'_>) -> u32 {
    match op {
        Operator::Nop
        | Operator::Block { .. }
        | Operator::Loop { .. }
        | Operator::TryTable { .. }
        | Operator::Try { .. }
        | Operator::Catch { .. }
        | Operator::CatchAll
        | Operator::Delegate { .. }
        | Operator::Else
        | Operator::End => 0,
        _ => 1,
    }
}

/// Whether a new run begins after an operator.
pub(super) fn ends_run(op: &Operator<'_>) -> bool {
    matches!(
        op,
        Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Else
            | Operator::End
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::BrTable { .. }
            | Operator::BrOnNull { .. }
            | Operator::BrOnCast { .. }
            | Operator::BrOnCastFail { .. }
            | Operator::BrOnNonNull { .. }
            | Operator::Return
            | Operator::Unreachable
            | Operator::Throw { .. }
            | Operator::ThrowRef
            | Operator::Catch { .. }
            | Operator::CatchAll
            | Operator::Delegate { .. }
            | Operator::Rethrow { .. }
            | Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::CallRef { .. }
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. }
    )
}

impl FuncTranslator<'_> {
    /// Charges what the run costs that begins here, if it can be reached.
    pub(super) fn charge_next_run(&mut self) {
        let cost = self.runs.take();
        if self.reachable && cost > 0 {
            let cost = self.builder.ins().iconst(types::I64, i64::from(cost));
            self.emit_charge(cost);
        }
    }

    /// Charges for the length of a bulk operation.
    pub(super) fn charge_bulk(&mut self, function: RuntimeFn, len: Value) {
        // What instantiation does costs nothing.
        if !self.env.fuel || self.index.is_none() {
            return;
        }
        let cost = match function {
            RuntimeFn::MemoryCopy | RuntimeFn::MemoryFill | RuntimeFn::MemoryInit => {
                self.builder.ins().ushr_imm_u(len, BULK_BYTES_LOG2)
            }
            // One that is longer than any table traps for that.
            _ => {
                let most = self.builder.ins().iconst(types::I64, MAX_ELEMENTS);
                let within = self.builder.ins().icmp(IntCC::UnsignedLessThan, len, most);
                self.builder.ins().select(within, len, most)
            }
        };
        self.emit_charge(cost);
    }

    /// Takes `cost` off the fuel, or traps where there is less.
    fn emit_charge(&mut self, cost: Value) {
        let flags = self.instance_flags(Region::Fuel);
        let offset = -(InstanceHeader::FUEL as i32);
        let base = self.base;
        let fuel = self.builder.ins().load(types::I64, flags, base, offset);
        let short = self.builder.ins().icmp(IntCC::UnsignedLessThan, fuel, cost);
        self.emit_trap_if(short, TrapCode::OutOfFuel);
        let left = self.builder.ins().isub(fuel, cost);
        self.builder.ins().store(flags, left, base, offset);
    }
}
