//! Runs one script, directive by directive.

use std::collections::HashMap;

use precast::{Error, Extern, Instance, LinkError, StoreOptions, TrapCode, Val};
use precast_compiler::{CompileError, Options};
use wasmparser::{Validator, WasmFeatures};
use wast::parser::ParseBuffer;
use wast::{QuoteWat, Wast, WastDirective, WastExecute, WastInvoke, Wat};

use super::engine::Engine;
use super::skip::Proposal;
use super::suite::Script;
use super::values;

/// How a script went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Assertions that hold.
    pub passed: usize,
    /// Assertions that need a proposal which the script may lack.
    pub skipped: usize,
    /// Directives of any kind that do.
    pub lacking: usize,
    /// Everything else, with its line.
    pub failures: Vec<Failure>,
}

/// A directive that did not go as the script says.
#[derive(Debug)]
pub struct Failure {
    /// Line of the script, from 1.
    pub line: usize,
    /// What happened instead.
    pub message: String,
}

/// Why a directive did not go as the script says.
enum Fault {
    /// It needs what the script may lack.
    Lacking,
    /// It was true of an older version of the specification.
    Superseded,
    /// It is wrong.
    Wrong(String),
}

impl From<String> for Fault {
    fn from(message: String) -> Fault {
        Fault::Wrong(message)
    }
}

impl From<&str> for Fault {
    fn from(message: &str) -> Fault {
        Fault::Wrong(message.to_owned())
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Wrong(format!("{error} ({})", kind(&error)))
    }
}

/// What kind of error it is, for messages.
fn kind(error: &Error) -> &'static str {
    match error {
        Error::Trap(_) => "trap",
        Error::Exception(_) => "exception",
        Error::Link(_) => "link error",
        Error::Host(_) => "host error",
        _ => "error",
    }
}

/// Runs `script`. Its modules may use `may_lack` and be refused for it.
pub fn run_file(script: &Script, options: &Options, may_lack: &[Proposal]) -> Outcome {
    run_file_in(script, options, StoreOptions::default(), may_lack)
}

/// The same in a store made to measure.
pub fn run_file_in(
    script: &Script,
    options: &Options,
    store: StoreOptions,
    may_lack: &[Proposal],
) -> Outcome {
    let mut outcome = Outcome::default();
    if let Err(message) = run_text(script, (options, store), may_lack, &mut outcome) {
        outcome.failures.push(Failure { line: 0, message });
    }
    outcome
}

fn run_text(
    script: &Script,
    (options, store): (&Options, StoreOptions),
    may_lack: &[Proposal],
    outcome: &mut Outcome,
) -> Result<(), String> {
    let text = script.text;
    let mut lexer = wast::lexer::Lexer::new(text);
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).map_err(|error| error.to_string())?;
    let parsed: Wast<'_> = wast::parser::parse(&buffer).map_err(|error| error.to_string())?;
    let engine = Engine::new(options, store).map_err(|error| error.to_string())?;
    let mut runner = Runner {
        engine,
        may_lack,
        old_features: script.old_features(),
        names: Names::default(),
    };
    for directive in parsed.directives {
        let span = directive.span();
        let asserts = is_assertion(&directive);
        // Counting lines takes time in proportion to the script.
        let line = || span.linecol_in(text).0 + 1;
        if !script.taken_back().is_empty() && script.taken_back().contains(&line()) {
            continue;
        }
        match runner.run(directive) {
            Ok(()) => outcome.passed += usize::from(asserts),
            Err(Fault::Lacking) => {
                outcome.skipped += usize::from(asserts);
                outcome.lacking += 1;
            }
            Err(Fault::Superseded) => {}
            Err(Fault::Wrong(message)) => {
                outcome.failures.push(Failure {
                    line: line(),
                    message,
                });
            }
        }
    }
    Ok(())
}

fn is_assertion(directive: &WastDirective<'_>) -> bool {
    !matches!(
        directive,
        WastDirective::Module(_)
            | WastDirective::ModuleDefinition(_)
            | WastDirective::ModuleInstance { .. }
            | WastDirective::Register { .. }
            | WastDirective::Invoke(_)
    )
}

/// An instance, or the knowledge that it could not be made for want of a proposal.
type Slot = Option<Instance>;

#[derive(Default)]
struct Names {
    instances: HashMap<String, Slot>,
    /// The last instance that was made.
    current: Option<Slot>,
    /// Objects of `module definition`s.
    definitions: HashMap<String, Option<Vec<u8>>>,
    last_definition: Option<Option<Vec<u8>>>,
    /// Names registered for instances that could not be made.
    lacking: Vec<String>,
}

struct Runner<'a> {
    engine: Engine,
    may_lack: &'a [Proposal],
    old_features: Option<WasmFeatures>,
    names: Names,
}

impl Runner<'_> {
    fn run(&mut self, directive: WastDirective<'_>) -> Result<(), Fault> {
        match directive {
            WastDirective::Module(module) => self.module(module),
            WastDirective::ModuleDefinition(module) => self.definition(module),
            WastDirective::ModuleInstance {
                instance, module, ..
            } => self.instance_of(instance.map(|id| id.name()), module.map(|id| id.name())),
            WastDirective::Register { name, module, .. } => {
                self.register(name, module.map(|id| id.name()))
            }
            WastDirective::Invoke(invoke) => self.invoke(&invoke).map(drop),
            WastDirective::AssertReturn { exec, results, .. } => {
                let values = self.execute(exec)?;
                Ok(values::check_results(&self.engine, &results, &values)?)
            }
            WastDirective::AssertTrap { exec, message, .. } => {
                let result = self.execute(exec);
                expect_trap(result, message)
            }
            WastDirective::AssertExhaustion { call, message, .. } => {
                let result = self.invoke(&call);
                expect_trap(result, message)
            }
            WastDirective::AssertInvalid { module, .. }
            | WastDirective::AssertMalformed { module, .. } => self.expect_refusal(module),
            WastDirective::AssertUnlinkable {
                module, message, ..
            } => self.expect_unlinkable(module, message),
            WastDirective::AssertException { exec, .. } => match self.execute(exec) {
                Err(Fault::Wrong(found)) if found == "uncaught exception (exception)" => Ok(()),
                Err(fault) => Err(fault),
                Ok(_) => Err("there was no exception".into()),
            },
            // What custom sections say is nobody's business but that of who reads them.
            WastDirective::AssertInvalidCustom { .. }
            | WastDirective::AssertMalformedCustom { .. } => Ok(()),
            WastDirective::Thread(_)
            | WastDirective::Wait { .. }
            | WastDirective::AssertSuspension { .. } => Err("no script has had it yet".into()),
        }
    }

    /// The object of a module.
    fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, Fault> {
        self.engine.compile(wasm).map_err(|error| match &error {
            CompileError::Unsupported { feature, .. } if self.lacks(feature) => Fault::Lacking,
            _ => Fault::Wrong(error.to_string()),
        })
    }

    fn lacks(&self, feature: &str) -> bool {
        Proposal::from_feature(feature).is_some_and(|proposal| self.may_lack.contains(&proposal))
    }

    fn encode(module: &mut QuoteWat<'_>) -> Result<Vec<u8>, Fault> {
        module
            .encode()
            .map_err(|error| Fault::Wrong(format!("cannot be encoded: {error}")))
    }

    fn instantiate(&mut self, object: &[u8]) -> Result<Instance, Fault> {
        self.engine
            .instantiate(object)
            .map_err(|error| match &error {
                Error::Link(link) if self.needs_lacking(link) => Fault::Lacking,
                _ => Fault::from(error),
            })
    }

    /// Whether an import that does not fit is of an instance that could not be made.
    fn needs_lacking(&self, error: &LinkError) -> bool {
        let mut imports = error.imports.iter();
        imports.any(|import| self.names.lacking.contains(&import.module))
    }

    fn module(&mut self, mut module: QuoteWat<'_>) -> Result<(), Fault> {
        let name = module.name().map(|id| id.name().to_owned());
        let made = Self::encode(&mut module)
            .and_then(|wasm| self.compile(&wasm))
            .and_then(|object| self.instantiate(&object));
        self.made(name, made)
    }

    /// Remembers an instance, or that there is none.
    fn made(&mut self, name: Option<String>, made: Result<Instance, Fault>) -> Result<(), Fault> {
        let slot = match &made {
            Ok(instance) => Some(Some(*instance)),
            Err(Fault::Lacking) => Some(None),
            Err(_) => None,
        };
        self.names.current = slot;
        if let Some(name) = name {
            match slot {
                Some(slot) => self.names.instances.insert(name, slot),
                None => self.names.instances.remove(&name),
            };
        }
        made.map(drop)
    }

    fn definition(&mut self, mut module: QuoteWat<'_>) -> Result<(), Fault> {
        let name = module.name().map(|id| id.name().to_owned());
        let made = Self::encode(&mut module).and_then(|wasm| self.compile(&wasm));
        let slot = match &made {
            Ok(object) => Some(Some(object.clone())),
            Err(Fault::Lacking) => Some(None),
            Err(_) => None,
        };
        if let (Some(name), Some(slot)) = (name, &slot) {
            self.names.definitions.insert(name, slot.clone());
        }
        self.names.last_definition = slot;
        made.map(drop)
    }

    fn instance_of(&mut self, instance: Option<&str>, module: Option<&str>) -> Result<(), Fault> {
        let definition = match module {
            Some(name) => self.names.definitions.get(name).cloned(),
            None => self.names.last_definition.clone(),
        };
        let made = match definition {
            Some(Some(object)) => self.instantiate(&object),
            Some(None) => Err(Fault::Lacking),
            None => Err("there is no such module definition".into()),
        };
        self.made(instance.map(str::to_owned), made)
    }

    fn instance(&self, name: Option<&str>) -> Result<Instance, Fault> {
        let slot = match name {
            Some(name) => self.names.instances.get(name).copied(),
            None => self.names.current,
        };
        match slot {
            Some(Some(instance)) => Ok(instance),
            Some(None) => Err(Fault::Lacking),
            None => Err("its module could not be instantiated".into()),
        }
    }

    fn register(&mut self, name: &str, module: Option<&str>) -> Result<(), Fault> {
        match self.instance(module) {
            Ok(instance) => Ok(self.engine.register(name, instance)?),
            Err(Fault::Lacking) => {
                self.names.lacking.push(name.to_owned());
                Err(Fault::Lacking)
            }
            Err(fault) => Err(fault),
        }
    }

    fn execute(&mut self, exec: WastExecute<'_>) -> Result<Vec<Val>, Fault> {
        match exec {
            WastExecute::Invoke(invoke) => self.invoke(&invoke),
            WastExecute::Wat(module) => {
                let wasm = Self::encode(&mut QuoteWat::Wat(module))?;
                let object = self.compile(&wasm)?;
                self.instantiate(&object).map(|_| Vec::new())
            }
            WastExecute::Get { module, global, .. } => {
                let instance = self.instance(module.map(|id| id.name()))?;
                match instance.export(&self.engine.store, global) {
                    Some(Extern::Global(global)) => Ok(vec![global.get(&self.engine.store)?]),
                    _ => Err(Fault::Wrong(format!("there is no global `{global}`"))),
                }
            }
        }
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Result<Vec<Val>, Fault> {
        let instance = self.instance(invoke.module.map(|id| id.name()))?;
        let Some(Extern::Func(func)) = instance.export(&self.engine.store, invoke.name) else {
            return Err(Fault::Wrong(format!(
                "there is no function `{}`",
                invoke.name
            )));
        };
        let args = invoke
            .args
            .iter()
            .map(|arg| values::argument(&mut self.engine, arg))
            .collect::<Result<Vec<_>, _>>()?;
        let ty = func.ty(&self.engine.store)?;
        let mut results = vec![Val::I32(0); ty.results().len()];
        func.call(&mut self.engine.store, &args, &mut results)?;
        Ok(results)
    }

    fn expect_refusal(&self, mut module: QuoteWat<'_>) -> Result<(), Fault> {
        let Ok(wasm) = Self::encode(&mut module) else {
            return Ok(());
        };
        match self.compile(&wasm) {
            Ok(_) if self.was_wrong_once(&wasm) => Err(Fault::Superseded),
            Ok(_) => Err("the module compiles".into()),
            Err(Fault::Wrong(_)) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Whether the specification of the script's time refused a module that is valid today.
    fn was_wrong_once(&self, wasm: &[u8]) -> bool {
        self.old_features.is_some_and(|features| {
            Validator::new_with_features(features)
                .validate_all(wasm)
                .is_err()
        })
    }

    fn expect_unlinkable(&mut self, module: Wat<'_>, message: &str) -> Result<(), Fault> {
        let wasm = Self::encode(&mut QuoteWat::Wat(module))?;
        let object = self.compile(&wasm)?;
        match self.engine.instantiate(&object) {
            Ok(_) => Err("the module links".into()),
            Err(Error::Link(error)) if self.needs_lacking(&error) => Err(Fault::Lacking),
            Err(Error::Link(error)) => {
                let actual = error.to_string();
                if actual.starts_with(message) {
                    return Ok(());
                }
                Err(Fault::Wrong(format!(
                    "expected `{message}`, found `{actual}`"
                )))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a call ended with the trap that the script expects.
fn expect_trap(result: Result<Vec<Val>, Fault>, message: &str) -> Result<(), Fault> {
    let found = match result {
        Ok(values) => format!("found {} results", values.len()),
        Err(Fault::Wrong(found)) => {
            let expected_by =
                |code: TrapCode| found == format!("{code} (trap)") && is_worded(code, message);
            if TrapCode::ALL.into_iter().any(expected_by) {
                return Ok(());
            }
            found
        }
        Err(fault) => return Err(fault),
    };
    Err(Fault::Wrong(format!(
        "expected the trap `{message}`: {found}"
    )))
}

/// Whether scripts mean `code` when they write `message`. Some say more than we do, such as the
/// index of the element, others less; references are null in several wordings.
fn is_worded(code: TrapCode, message: &str) -> bool {
    match code {
        TrapCode::NullReference => message.starts_with("null") && message.contains("reference"),
        _ => message.starts_with(code.message()) || code.message().starts_with(message),
    }
}
