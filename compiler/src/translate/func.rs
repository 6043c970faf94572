//! The translation of one function: its state, and the loop over its operators.

use super::control::Frame;
use super::count::Points;
use super::dispatch;
use super::env::Env;
use super::exception::Exceptions;
use super::fuel::{Runs, ends_run};
use super::legacy::Tries;
use super::signature::{clif_type, wasm_signature};
use super::trap::TrapSites;
use crate::error::CompileError;
use crate::module::{FuncIndex, FuncType, features};
use crate::profile::FunctionProfile;
use cranelift_codegen::ir::{self, InstBuilder, UserFuncName, Value, types};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use std::collections::HashMap;
use wasmparser::{FunctionBody, Operator, ValType};

/// Translates the body of a validated function into `out`, which must be empty.
pub(crate) fn translate_function(
    env: &Env<'_>,
    index: FuncIndex,
    fctx: &mut FunctionBuilderContext,
    out: &mut ir::Function,
) -> Result<(), CompileError> {
    let body = env.module.functions[index].body.as_ref();
    let body = body.ok_or_else(|| CompileError::Internal {
        message: format!("function {} has no body", index.as_u32()),
    })?;
    let ty = env.module.func_type(index);
    out.name = UserFuncName::User(super::Namespace::Function.name(index.as_u32()));
    out.signature = wasm_signature(ty);
    let mut t = FuncTranslator::new(env, Some(index), ty, FunctionBuilder::new(out, fctx));
    t.profile = env.profile.map(|profile| profile.function(index, body));
    t.read_body(body).map_err(damaged)??;
    t.finish();
    Ok(())
}

/// A function that grows beyond this many values is refused. (Blocks with a thousand parameters
/// make a few bytes of wasm that large.)
const MAX_VALUES: usize = if cfg!(test) { 1 << 20 } else { 1 << 23 };

/// The error for a body that cannot be read again, though it was validated before.
pub(super) fn damaged(error: wasmparser::Error) -> CompileError {
    CompileError::invalid(&error)
}

/// The translation of one function.
pub(crate) struct FuncTranslator<'a> {
    /// What is known besides the function.
    pub(super) env: &'a Env<'a>,
    /// Which function of the module it is, if it is one.
    pub(super) index: Option<FuncIndex>,
    /// Builds the function.
    pub(super) builder: FunctionBuilder<'a>,
    /// The instance base: the hidden parameter.
    pub(super) base: Value,
    /// The operand stack.
    pub(super) stack: Vec<Value>,
    /// The control stack; the outermost frame is the function itself.
    pub(super) control: Vec<Frame>,
    /// Whether the current operator can be reached. Decided before the dispatch.
    pub(super) reachable: bool,
    /// How many blocks have been entered since it could not.
    pub(super) skipped: u32,
    /// Variables of the locals, by their index.
    pub(super) locals: Vec<Variable>,
    /// Whether this is `init`: what is constant later is being written.
    pub(super) initialising: bool,
    /// Offset of the current operator in the module.
    pub(super) offset: u64,
    /// The cold blocks that trap.
    pub(super) traps: TrapSites,
    /// Entities of the function that were made before.
    pub(super) cache: Cache,
    /// What its runs of operators cost.
    pub(super) runs: Runs,
    /// The counters of the current operator.
    pub(super) points: Points,
    /// Its handlers of exceptions.
    pub(super) exceptions: Exceptions,
    /// What was counted before.
    pub(super) profile: Option<FunctionProfile>,
}

/// Entities of a Cranelift function that are made at first use and shared after.
#[derive(Default)]
pub(crate) struct Cache {
    /// Functions, by namespace and index.
    pub(super) functions: HashMap<(u32, u32), ir::FuncRef>,
    /// Signatures of wasm types, by canonical index.
    pub(super) signatures: HashMap<u32, ir::SigRef>,
    /// Signatures of runtime functions, by how many arguments they have.
    pub(super) runtime: HashMap<usize, ir::SigRef>,
    /// Alias regions, by their user id.
    pub(super) regions: HashMap<u32, ir::AliasRegion>,
}

impl<'a> FuncTranslator<'a> {
    /// Starts a function of type `ty`: entry block, parameters, outermost frame.
    pub(super) fn new(
        env: &'a Env<'a>,
        index: Option<FuncIndex>,
        ty: &FuncType,
        mut builder: FunctionBuilder<'a>,
    ) -> Self {
        let entry = builder.create_block();
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        builder.seal_block(entry);
        let params = builder.block_params(entry).to_vec();
        let mut t = FuncTranslator {
            env,
            index,
            builder,
            base: params[0],
            stack: Vec::new(),
            control: Vec::new(),
            reachable: true,
            skipped: 0,
            locals: Vec::new(),
            initialising: false,
            offset: 0,
            traps: TrapSites::default(),
            cache: Cache::default(),
            runs: Runs::default(),
            points: Points::default(),
            exceptions: Exceptions::default(),
            profile: None,
        };
        for (ty, value) in ty.params.iter().zip(&params[1..]) {
            let variable = t.declare_local(*ty);
            t.keep_on_stack(*value, *ty);
            t.builder.def_var(variable, *value);
            t.locals.push(variable);
        }
        t.push_function_frame(&ty.results);
        t
    }

    /// Refuses functions that would take up too much memory.
    pub(super) fn check_size(&self) -> Result<(), CompileError> {
        let dfg = &self.builder.func.dfg;
        if dfg.num_values() <= MAX_VALUES && dfg.value_lists.capacity() <= 4 * MAX_VALUES {
            return Ok(());
        }
        Err(self.too_large(&format!("it has more than {MAX_VALUES} values")))
    }

    /// The error for a function that would take up too much memory.
    pub(super) fn too_large(&self, message: &str) -> CompileError {
        let Some(index) = self.index else {
            return CompileError::init_too_large();
        };
        CompileError::Function {
            index: index.as_u32(),
            name: self.env.module.function_name(index).map(str::to_owned),
            message: message.to_owned(),
        }
    }

    /// Reads locals and operators. The outer error is of reading, the inner one of translating.
    fn read_body(
        &mut self,
        body: &FunctionBody<'_>,
    ) -> wasmparser::Result<Result<(), CompileError>> {
        self.declare_locals(body)?;
        if self.env.fuel {
            self.runs = Runs::of(body)?;
            self.charge_next_run();
        }
        self.count_entry();
        let has_try = |index| self.env.module.functions[index].has_legacy_try;
        if self.index.is_some_and(has_try) {
            self.exceptions.legacy = Tries::of(body)?;
        }
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            self.offset = reader.original_position();
            let op = reader.read()?;
            let location = ir::SourceLoc::new(self.offset as u32);
            self.builder.set_srcloc(location);
            self.next_points(&op);
            let result = if self.reachable {
                dispatch::translate_operator(self, &op)
            } else {
                dispatch::skip_operator(self, &op);
                Ok(())
            };
            let result = result.and_then(|()| self.check_size());
            if result.is_err() {
                return Ok(result);
            }
            if self.env.fuel && ends_run(&op) {
                self.charge_next_run();
            }
        }
        Ok(Ok(()))
    }

    fn declare_locals(&mut self, body: &FunctionBody<'_>) -> wasmparser::Result<()> {
        self.builder
            .set_srcloc(ir::SourceLoc::new(body.range().start as u32));
        for group in body.get_locals_reader()? {
            let (count, ty) = group?;
            let zero = self.emit_zero(ty);
            for _ in 0..count {
                let variable = self.declare_local(ty);
                self.builder.def_var(variable, zero);
                self.locals.push(variable);
            }
        }
        Ok(())
    }

    fn declare_local(&mut self, ty: ValType) -> Variable {
        let variable = self.builder.declare_var(clif_type(ty));
        if self.is_kept_on_stack(ty) {
            self.builder.declare_var_needs_stack_map(variable);
        }
        variable
    }

    /// The value that a local starts with. (One of a type without such a value is never read
    /// before it is written: validation sees to it.)
    pub(super) fn emit_zero(&mut self, ty: ValType) -> Value {
        match ty {
            ValType::F32 => self.builder.ins().f32const(0.0),
            ValType::F64 => self.builder.ins().f64const(0.0),
            ValType::V128 => self.emit_v128_const(&[0; 16]),
            _ => self.builder.ins().iconst(clif_type(ty), 0),
        }
    }

    /// A vector constant, as `i8x16`.
    pub(super) fn emit_v128_const(&mut self, bytes: &[u8]) -> Value {
        let constant = self.builder.func.dfg.constants.insert(bytes.into());
        self.builder.ins().vconst(types::I8X16, constant)
    }

    /// Ends the function: cold blocks are filled, every block is sealed.
    pub(super) fn finish(mut self) {
        self.emit_trap_blocks();
        self.builder.seal_all_blocks();
        let frontend = self.env.isa.frontend_config();
        self.builder.finalize(frontend);
    }

    // The operand stack. Validation has made sure that what is popped is there.

    /// Pushes a value.
    pub(super) fn push1(&mut self, value: Value) {
        self.stack.push(value);
    }

    /// Pops the top value.
    pub(super) fn pop1(&mut self) -> Value {
        self.stack.pop().expect("validated")
    }

    /// Pops two values; the second one was on top.
    pub(super) fn pop2(&mut self) -> (Value, Value) {
        let second = self.pop1();
        (self.pop1(), second)
    }

    /// Pops three values; the last one was on top.
    pub(super) fn pop3(&mut self) -> (Value, Value, Value) {
        let third = self.pop1();
        let (first, second) = self.pop2();
        (first, second, third)
    }

    /// The upper `n` values, the top last. They stay.
    pub(super) fn peek_n(&self, n: usize) -> &[Value] {
        &self.stack[self.stack.len() - n..]
    }

    /// Drops the upper `n` values.
    pub(super) fn pop_n(&mut self, n: usize) {
        self.stack.truncate(self.stack.len() - n);
    }

    /// The CLIF type of a value.
    pub(super) fn type_of(&self, value: Value) -> ir::Type {
        self.builder.func.dfg.value_type(value)
    }

    /// The error for an operator of a proposal that is not supported.
    pub(super) fn refuse(&self, op: &Operator<'_>) -> CompileError {
        CompileError::Unsupported {
            feature: features::of_operator(op),
            offset: self.offset,
        }
    }

    /// Ends the current block for good: what follows cannot be reached.
    pub(super) fn set_unreachable(&mut self) {
        self.reachable = false;
    }
}
