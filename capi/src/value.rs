//! Values and the handles in them, as C has them.

use loader::{Extern, Val, ValType};

use crate::error::{Result, misuse};

/// The handles that are records of two numbers; all zero stands for none.
macro_rules! handles {
    ($($(#[$doc:meta])* $handle:ident $loader:ident $words:literal $what:literal;)*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct $handle {
            words: [u64; $words],
        }

        impl $handle {
            /// The loader's handle, where there is one.
            pub(crate) fn find(self) -> Option<loader::$loader> {
                // SAFETY: C has its handles from this library, as the header asks, or they are zero,
                // which is looked at.
                unsafe { loader::$loader::from_raw(self.words) }
            }

            /// The loader's handle.
            #[allow(dead_code, reason = "references may be null")]
            pub(crate) fn get(self) -> Result<loader::$loader> {
                self.find().ok_or_else(|| misuse(concat!($what, " is zero: it was never set")))
            }
        }

        impl From<loader::$loader> for $handle {
            fn from(handle: loader::$loader) -> $handle {
                $handle { words: handle.to_raw() }
            }
        }
    )*};
}

handles! {
    /// `precast_func`
    CFunc Func 2 "the function";
    /// `precast_memory`
    CMemory Memory 2 "the memory";
    /// `precast_table`
    CTable Table 2 "the table";
    /// `precast_global`
    CGlobal Global 3 "the global";
    /// `precast_instance`
    CInstance Instance 2 "the instance";
    /// `precast_externref`
    CExternRef ExternRef 2 "the reference";
    /// `precast_exnref`
    CExnRef ExnRef 2 "the reference";
    /// `precast_anyref`
    CAnyRef AnyRef 2 "the reference";
    /// `precast_tag`
    CTag Tag 2 "the tag";
}

/// `precast_kind`
pub(crate) const I32: u32 = 1;
pub(crate) const I64: u32 = 2;
pub(crate) const F32: u32 = 3;
pub(crate) const F64: u32 = 4;
pub(crate) const V128: u32 = 5;
pub(crate) const FUNCREF: u32 = 6;
pub(crate) const EXTERNREF: u32 = 7;
pub(crate) const EXNREF: u32 = 8;
pub(crate) const ANYREF: u32 = 9;

/// `precast_val`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CVal {
    pub(crate) kind: u32,
    of: Payload,
}

/// The union in it. What is beside a smaller member may be anything: it is only ever read as what
/// `kind` says, and made with all of it zero.
#[repr(C)]
#[derive(Clone, Copy)]
union Payload {
    i32: i32,
    i64: i64,
    f32: u32,
    f64: u64,
    v128: [u8; 16],
    func: CFunc,
    externref: CExternRef,
    exnref: CExnRef,
    anyref: CAnyRef,
}

const _: () = {
    assert!(size_of::<CVal>() == 24 && align_of::<CVal>() == 8);
    assert!(size_of::<CFunc>() == 16 && size_of::<CGlobal>() == 24);
    assert!(size_of::<CExtern>() == 32);
};

impl CVal {
    /// The value as the loader has it.
    pub(crate) fn get(&self) -> Result<Val> {
        // SAFETY: C sets the member that `kind` names, as the header asks; all of them are plain
        // numbers, for which any bits will do.
        unsafe {
            Ok(match self.kind {
                I32 => Val::I32(self.of.i32),
                I64 => Val::I64(self.of.i64),
                F32 => Val::F32(self.of.f32),
                F64 => Val::F64(self.of.f64),
                V128 => Val::V128(u128::from_le_bytes(self.of.v128)),
                FUNCREF => Val::FuncRef(self.of.func.find()),
                EXTERNREF => Val::ExternRef(self.of.externref.find()),
                EXNREF => Val::ExnRef(self.of.exnref.find()),
                ANYREF => Val::AnyRef(self.of.anyref.find()),
                kind => return Err(misuse(format!("{kind} is not the kind of any value"))),
            })
        }
    }
}

impl From<Val> for CVal {
    fn from(val: Val) -> CVal {
        let mut of = Payload { v128: [0; 16] };
        let kind = match val {
            Val::I32(value) => {
                of.i32 = value;
                I32
            }
            Val::I64(value) => {
                of.i64 = value;
                I64
            }
            Val::F32(bits) => {
                of.f32 = bits;
                F32
            }
            Val::F64(bits) => {
                of.f64 = bits;
                F64
            }
            Val::V128(value) => {
                of.v128 = value.to_le_bytes();
                V128
            }
            Val::FuncRef(func) => {
                of.func = func.map(CFunc::from).unwrap_or_default();
                FUNCREF
            }
            Val::ExternRef(value) => {
                of.externref = value.map(CExternRef::from).unwrap_or_default();
                EXTERNREF
            }
            Val::ExnRef(value) => {
                of.exnref = value.map(CExnRef::from).unwrap_or_default();
                EXNREF
            }
            Val::AnyRef(value) => {
                of.anyref = value.map(CAnyRef::from).unwrap_or_default();
                ANYREF
            }
        };
        CVal { kind, of }
    }
}

/// Zero or null of a type.
pub(crate) fn zero_of(ty: ValType) -> Val {
    Val::default_of(ty).unwrap_or(match ty {
        ValType::Ref(r) if r.is_extern() => Val::ExternRef(None),
        ValType::Ref(r) if r.is_exn() => Val::ExnRef(None),
        ValType::Ref(r) if r.is_any() => Val::AnyRef(None),
        _ => Val::FuncRef(None),
    })
}

/// `precast_extern`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CExtern {
    kind: u32,
    of: Item,
}

#[repr(C)]
#[derive(Clone, Copy)]
union Item {
    func: CFunc,
    table: CTable,
    memory: CMemory,
    global: CGlobal,
    tag: CTag,
}

/// `precast_extern_kind`
pub(crate) const FUNC: u32 = 1;
pub(crate) const TABLE: u32 = 2;
pub(crate) const MEMORY: u32 = 3;
pub(crate) const GLOBAL: u32 = 4;
pub(crate) const TAG: u32 = 5;

impl Default for CExtern {
    fn default() -> CExtern {
        let of = Item {
            global: CGlobal::default(),
        };
        CExtern { kind: 0, of }
    }
}

impl CExtern {
    /// The item as the loader has it.
    pub(crate) fn get(&self) -> Result<Extern> {
        // SAFETY: as in `CVal::get`.
        unsafe {
            Ok(match self.kind {
                FUNC => Extern::Func(self.of.func.get()?),
                TABLE => Extern::Table(self.of.table.get()?),
                MEMORY => Extern::Memory(self.of.memory.get()?),
                GLOBAL => Extern::Global(self.of.global.get()?),
                TAG => Extern::Tag(self.of.tag.get()?),
                kind => return Err(misuse(format!("{kind} is not the kind of any item"))),
            })
        }
    }
}

impl From<Extern> for CExtern {
    fn from(item: Extern) -> CExtern {
        let mut of = Item {
            global: CGlobal::default(),
        };
        let kind = match item {
            Extern::Func(func) => {
                of.func = func.into();
                FUNC
            }
            Extern::Table(table) => {
                of.table = table.into();
                TABLE
            }
            Extern::Memory(memory) => {
                of.memory = memory.into();
                MEMORY
            }
            Extern::Global(global) => {
                of.global = global.into();
                GLOBAL
            }
            Extern::Tag(tag) => {
                of.tag = tag.into();
                TAG
            }
        };
        CExtern { kind, of }
    }
}
