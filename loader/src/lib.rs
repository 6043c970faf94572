//! Maps WebAssembly that was compiled ahead of time and runs it in sandboxes.
//!
//! ```no_run
//! use precast::{Caller, Linker, Module, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // SAFETY: made by `precast compile` on this machine, and not written to since.
//! let module = unsafe { Module::open("app.so")? };
//! let mut linker = Linker::new();
//! linker.func("host", "log", |caller: Caller<'_, u32>, value: i32| {
//!     println!("guest {} says {value}", caller.data());
//! });
//! let mut store = Store::new(7);
//! let instance = linker.instantiate(&mut store, &module)?;
//! let add = instance.func::<(i32, i32), i32>(&store, "add")?;
//! println!("{}", add.call(&mut store, (1, 2))?);
//! # Ok(())
//! # }
//! ```
//!
//! Inside: [`object`] reads and maps objects, `instantiate` and `slot` make instances of them,
//! `activation` and `arch` go in and out of guest code, `signals` and `interrupt` stop it, `host`
//! makes functions that it can call, and `runtime` is what generated code itself calls. The types
//! at the front stand for things in a store and do little more than check that they are used with
//! the right one.

#![deny(unsafe_code)]

mod activation;
mod arch;
#[cfg(feature = "async")]
mod asynchronous;
mod backtrace;
mod caller;
mod calls;
mod entry;
mod error;
mod exception;
mod externs;
mod fuel;
mod func;
mod global;
mod guest_memory;
mod heap;
mod host;
mod instance;
mod instantiate;
mod interner;
mod interrupt;
mod limits;
mod linker;
mod memory;
mod module;
pub mod object;
pub mod pool;
mod profile;
mod racy;
mod raw_handles;
mod registry;
mod runtime;
mod shared;
mod signals;
#[cfg(feature = "signatures")]
mod signature;
mod slot;
mod static_module;
mod store;
mod stubs;
mod suspend;
mod sys;
mod table;
mod thread;
mod throw;
mod trap;
mod types;
mod value;
mod wait;
mod wasm_ty;
mod watchdog;
mod window;

pub use caller::Caller;
pub use error::{
    AddressSpaceError, Error, LimitError, LinkError, PoolError, SystemError, UnfitImport, UseError,
};
pub use exception::{Exception, ExnRef, Tag};
pub use externs::Extern;
pub use func::{Func, TypedFunc};
pub use global::Global;
pub use guest_memory::GuestMemory;
pub use heap::{AnyKind, AnyRef};
pub use host::raw::{IntoRawFunc, RawCaller, RawNumber, RawResult};
pub use host::typed::{HostResult, IntoHostFunc};
pub use instance::Instance;
pub use interrupt::InterruptHandle;
pub use limits::Usage;
pub use linker::Linker;
pub use memory::Memory;
pub use module::Module;
pub use object::{ObjectView, OpenError};
pub use pool::{Pool, Sandbox, Template, TemplateFunc, Tenant};
pub use precast_abi::profile::{Profile, ProfileError};
pub use precast_abi::trap::TrapCode;
pub use shared::SharedMemory;
#[cfg(feature = "signatures")]
pub use signature::{KeyError, SignatureError, Signed, Trust};
pub use store::{AsStore, AsStoreMut, Limits, Store, StoreMut, StoreOptions, StoreRef};
pub use suspend::{Progress, Suspend, Suspended, Why};
pub use table::Table;
pub use trap::{Backtrace, Frame, Interruption, Trap};
pub use types::{
    ExportType, ExternType, FuncType, GlobalType, HeapType, ImportType, MemoryType, RefType,
    TableType, TypeId, ValType,
};
pub use value::{ExternRef, Val};
pub use wasm_ty::{WasmParams, WasmResults, WasmTy};
