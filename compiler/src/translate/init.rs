//! The function that finishes instantiation.
//!
//! `fn(base)` with the C calling convention. It does what cannot be done when compiling, in the
//! specification's order: values of globals and tables, active element segments, active data
//! segments, the start function.

use super::call::CallKind;
use super::dispatch;
use super::env::{Env, Namespace};
use super::func::{FuncTranslator, damaged};
use super::signature::c_signature;
use crate::error::CompileError;
use crate::module::{
    ConstValue, DataMode, DataSegment, ElementItems, ElementMode, ElementSegment, FuncType, Global,
    Init, Table, TypeIndex,
};
use cranelift_codegen::ir::{self, InstBuilder, UserFuncName, Value, types};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use precast_abi::runtime::RuntimeFn;
use wasmparser::Operator;

/// Whether a module needs the function at all.
pub(crate) fn needs_init(env: &Env<'_>) -> bool {
    let module = env.module;
    module.start.is_some()
        || module.globals.values().any(needs_store)
        || module.tables.values().any(needs_fill)
        || module.elements.values().any(has_values)
        || module
            .elements
            .values()
            .any(|segment| is_copied(segment) || is_dropped(segment))
        || module
            .data
            .values()
            .any(|segment| data_is_copied(segment) || data_is_dropped(segment))
}

/// Whether the value of a global is not in the initial bytes of the instance.
fn needs_store(global: &Global<'_>) -> bool {
    match &global.init {
        Some(Init::Value(value)) => value.bytes().is_none(),
        Some(Init::Expr(_)) => true,
        None => false,
    }
}

/// Whether a table starts as something else than null.
fn needs_fill(table: &Table<'_>) -> bool {
    let null = matches!(table.init, Init::Value(ConstValue::Null));
    !table.imported && table.immutable.is_none() && !null && table.min > 0
}

fn has_values(segment: &ElementSegment<'_>) -> bool {
    segment.needed_at_run_time() && matches!(segment.items, ElementItems::Values(_))
}

fn is_copied(segment: &ElementSegment<'_>) -> bool {
    matches!(segment.mode, ElementMode::Active { .. }) && !segment.folded
}

/// Whether instantiation drops the segment in a way that someone can see.
fn is_dropped(segment: &ElementSegment<'_>) -> bool {
    segment.used && !matches!(segment.mode, ElementMode::Passive)
}

fn data_is_copied(segment: &DataSegment<'_>) -> bool {
    matches!(segment.mode, DataMode::Active { .. }) && !segment.folded
}

fn data_is_dropped(segment: &DataSegment<'_>) -> bool {
    segment.used && !matches!(segment.mode, DataMode::Passive)
}

/// Makes the function that finishes instantiation in `out`, which must be empty.
pub(crate) fn translate_init(
    env: &Env<'_>,
    fctx: &mut FunctionBuilderContext,
    out: &mut ir::Function,
) -> Result<(), CompileError> {
    let convention = CallConv::triple_default(env.isa.triple());
    out.name = UserFuncName::User(Namespace::Init.name(0));
    out.signature = c_signature(convention, &[types::I64], &[]);
    let ty = FuncType::plain(Box::default(), Box::default(), TypeIndex::from_u32(0));
    let mut t = FuncTranslator::new(env, None, &ty, FunctionBuilder::new(out, fctx));
    t.initialising = true;
    t.emit_globals()?;
    t.emit_tables()?;
    t.emit_element_values()?;
    t.emit_element_segments()?;
    t.emit_data_segments()?;
    if let Some(start) = env.module.start {
        t.translate_call(start.as_u32(), CallKind::Normal)?;
    }
    t.translate_return();
    t.finish();
    Ok(())
}

impl FuncTranslator<'_> {
    fn emit_globals(&mut self) -> Result<(), CompileError> {
        for (index, global) in self.env.module.globals.iter() {
            if let (true, Some(init)) = (needs_store(global), &global.init) {
                let value = self.emit_init(init)?;
                self.emit_global_store(index, value);
                self.check_size()?;
            }
        }
        Ok(())
    }

    fn emit_tables(&mut self) -> Result<(), CompileError> {
        for (index, table) in self.env.module.tables.iter() {
            if needs_fill(table) {
                let value = self.emit_init(&table.init)?;
                let number = self.emit_number(index.as_u32());
                let zero = self.emit_number(0);
                let len = self.builder.ins().iconst(types::I64, table.min as i64);
                self.emit_runtime_call(RuntimeFn::TableFill, &[number, zero, value, len]);
            }
        }
        Ok(())
    }

    /// Stores the elements that are not known now where `table.init` finds them.
    fn emit_element_values(&mut self) -> Result<(), CompileError> {
        for (index, segment) in self.env.module.elements.iter() {
            let ElementItems::Values(values) = &segment.items else {
                continue;
            };
            if !segment.needed_at_run_time() {
                continue;
            }
            let start = self.env.layout.element_values.offset(index);
            for (i, value) in values.iter().enumerate() {
                let value = self.emit_init(value)?;
                let offset = start + i as i32 * 8;
                let flags = ir::MemFlagsData::trusted();
                self.builder.ins().store(flags, value, self.base, offset);
                self.check_size()?;
            }
        }
        Ok(())
    }

    fn emit_element_segments(&mut self) -> Result<(), CompileError> {
        for (index, segment) in self.env.module.elements.iter() {
            let segment_number = index.as_u32();
            if let (true, ElementMode::Active { table, offset }) =
                (is_copied(segment), &segment.mode)
            {
                let pair = self.emit_pair(table.as_u32(), segment_number);
                let len = u64::from(segment.items.len());
                self.emit_segment(RuntimeFn::TableInit, pair, offset, len, segment.offset)?;
            }
            if is_dropped(segment) {
                self.translate_elem_drop(segment_number);
            }
        }
        Ok(())
    }

    fn emit_data_segments(&mut self) -> Result<(), CompileError> {
        for (index, segment) in self.env.module.data.iter() {
            let segment_number = index.as_u32();
            if let (true, DataMode::Active { memory, offset }) =
                (data_is_copied(segment), &segment.mode)
            {
                let pair = self.emit_pair(memory.as_u32(), segment_number);
                let len = segment.bytes.len() as u64;
                self.emit_segment(RuntimeFn::MemoryInit, pair, offset, len, segment.offset)?;
            }
            if data_is_dropped(segment) {
                self.translate_data_drop(segment_number);
            }
        }
        Ok(())
    }

    /// Copies all of a segment to `offset`.
    fn emit_segment(
        &mut self,
        function: RuntimeFn,
        pair: Value,
        offset: &Init<'_>,
        len: u64,
        location: u64,
    ) -> Result<(), CompileError> {
        self.builder.set_srcloc(ir::SourceLoc::new(location as u32));
        let dst = self.emit_init(offset)?;
        let dst = self.emit_index(dst);
        let src = self.emit_number(0);
        let len = self.builder.ins().iconst(types::I64, len as i64);
        self.emit_runtime_call(function, &[pair, dst, src, len]);
        self.check_size()
    }

    /// The value of an initialiser.
    fn emit_init(&mut self, init: &Init<'_>) -> Result<Value, CompileError> {
        let expr = match init {
            Init::Value(value) => return Ok(self.emit_const(*value)),
            Init::Expr(expr) => expr,
        };
        let mut reader = expr.get_operators_reader();
        loop {
            self.offset = reader.original_position();
            match reader.read().map_err(damaged)? {
                Operator::End => return Ok(self.pop1()),
                op => dispatch::translate_operator(self, &op)?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{CompileError, Options, compile};

    /// That is a limit of ours, and no fault of the module's or of the code generator's.
    #[test]
    fn more_elements_than_can_be_computed_are_refused_in_words() {
        let items = "(global.get 0)".repeat(600_000);
        let wasm = wat::parse_str(format!(
            r#"(module (import "" "g" (global funcref)) (table (export "t") 600000 funcref)
                (elem (i32.const 0) funcref {items}))"#
        ))
        .expect("the test's own module");
        let error = compile(&wasm, &Options::default()).expect_err("it is too large");
        assert!(matches!(error, CompileError::TooLarge { .. }), "{error}");
    }
}
