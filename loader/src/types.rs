//! Types as an embedder sees them.

use std::fmt;

use precast_abi::object::{FieldRecord, TypeKind};

use crate::interner;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 128-bit vector.
    V128,
    /// A reference.
    Ref(RefType),
}

impl ValType {
    /// `funcref`.
    pub const FUNCREF: ValType = ValType::Ref(RefType::FUNCREF);
    /// `externref`.
    pub const EXTERNREF: ValType = ValType::Ref(RefType::EXTERNREF);

    /// Whether every value of this type is a value of `other` too.
    pub fn matches(self, other: ValType) -> bool {
        match (self, other) {
            (ValType::Ref(a), ValType::Ref(b)) => a.matches(b),
            _ => self == other,
        }
    }

    /// The same type as objects write it down, with what concrete types are subtypes of in their place.
    pub(crate) fn to_abi(self) -> precast_abi::types::ValType {
        use precast_abi::types::{HeapType as AbiHeap, ValType as Abi};
        match self {
            ValType::I32 => Abi::I32,
            ValType::I64 => Abi::I64,
            ValType::F32 => Abi::F32,
            ValType::F64 => Abi::F64,
            ValType::V128 => Abi::V128,
            ValType::Ref(r) => {
                let heap = match r.heap {
                    HeapType::Func | HeapType::Concrete(_) => AbiHeap::Func,
                    HeapType::Any => AbiHeap::Any,
                    HeapType::Eq => AbiHeap::Eq,
                    HeapType::I31 => AbiHeap::I31,
                    HeapType::Struct => AbiHeap::Struct,
                    HeapType::Array => AbiHeap::Array,
                    HeapType::None => AbiHeap::None,
                    HeapType::Object(_) => AbiHeap::Any,
                    HeapType::Extern => AbiHeap::Extern,
                    HeapType::NoFunc => AbiHeap::NoFunc,
                    HeapType::NoExtern => AbiHeap::NoExtern,
                    HeapType::Exn => AbiHeap::Exn,
                    HeapType::NoExn => AbiHeap::NoExn,
                };
                Abi::reference(r.nullable, heap)
            }
        }
    }
}

/// The type of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RefType {
    /// Whether it may be null.
    pub nullable: bool,
    /// What it refers to.
    pub heap: HeapType,
}

impl RefType {
    /// `funcref`.
    pub const FUNCREF: RefType = RefType {
        nullable: true,
        heap: HeapType::Func,
    };
    /// `externref`.
    pub const EXTERNREF: RefType = RefType {
        nullable: true,
        heap: HeapType::Extern,
    };
    /// `exnref`.
    pub const EXNREF: RefType = RefType {
        nullable: true,
        heap: HeapType::Exn,
    };

    /// `anyref`.
    pub const ANYREF: RefType = RefType {
        nullable: true,
        heap: HeapType::Any,
    };

    /// Whether every reference of this type is one of `other` too.
    pub fn matches(self, other: RefType) -> bool {
        (other.nullable || !self.nullable) && self.heap.matches(other.heap)
    }

    /// Whether it refers to functions.
    pub fn is_func(self) -> bool {
        matches!(
            self.heap,
            HeapType::Func | HeapType::NoFunc | HeapType::Concrete(_)
        )
    }

    /// Whether it refers to something of the host's.
    pub fn is_extern(self) -> bool {
        matches!(self.heap, HeapType::Extern | HeapType::NoExtern)
    }

    /// Whether it refers to garbage-collected objects, and what may stand in their place.
    pub fn is_any(self) -> bool {
        matches!(
            self.heap,
            HeapType::Any
                | HeapType::Eq
                | HeapType::I31
                | HeapType::Struct
                | HeapType::Array
                | HeapType::None
                | HeapType::Object(_)
        )
    }

    /// Whether it refers to exceptions.
    pub fn is_exn(self) -> bool {
        matches!(self.heap, HeapType::Exn | HeapType::NoExn)
    }
}

/// What a reference refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeapType {
    /// Any function.
    Func,
    /// Anything of the host's.
    Extern,
    /// No function: only null.
    NoFunc,
    /// Nothing of the host's: only null.
    NoExtern,
    /// An exception.
    Exn,
    /// No exception: only null.
    NoExn,
    /// Whatever [`crate::AnyRef`] can be.
    Any,
    /// What can be compared: a struct, an array, or a 31-bit integer.
    Eq,
    /// A 31-bit integer.
    I31,
    /// Any struct.
    Struct,
    /// Any array.
    Array,
    /// None of these: only null.
    None,
    /// A function of this type.
    Concrete(TypeId),
    /// A struct or an array of this type.
    Object(TypeId),
}

impl HeapType {
    fn matches(self, other: HeapType) -> bool {
        match (self, other) {
            (HeapType::NoFunc, HeapType::Func | HeapType::Concrete(_)) => true,
            (HeapType::Concrete(_), HeapType::Func) => true,
            (HeapType::Concrete(a), HeapType::Concrete(b))
            | (HeapType::Object(a), HeapType::Object(b)) => interner::is_subtype(a, b),
            (
                HeapType::None,
                HeapType::Any
                | HeapType::Eq
                | HeapType::I31
                | HeapType::Struct
                | HeapType::Array
                | HeapType::Object(_),
            ) => true,
            (
                HeapType::I31 | HeapType::Struct | HeapType::Array | HeapType::Object(_),
                HeapType::Eq | HeapType::Any,
            ) => true,
            (HeapType::Eq, HeapType::Any) => true,
            (HeapType::Object(id), HeapType::Struct) => id.kind() == TypeKind::Struct,
            (HeapType::Object(id), HeapType::Array) => id.kind() == TypeKind::Array,
            (HeapType::NoExtern, HeapType::Extern) => true,
            (HeapType::NoExn, HeapType::Exn) => true,
            _ => self == other,
        }
    }
}

/// The process-wide identity of a type: equal types have equal ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub(crate) u32);

impl TypeId {
    /// The type itself; of a struct or an array, one without parameters and results.
    pub fn func_type(self) -> FuncType {
        interner::lookup(self)
    }

    /// What it is a type of.
    pub(crate) fn kind(self) -> TypeKind {
        self.func_type().0.kind
    }

    /// The types of the fields of a struct, or of the elements of an array, in their order: what values
    /// they hold, and whether those may be set.
    pub fn fields(self) -> Vec<(ValType, bool)> {
        let fields = self.func_type().0.fields.iter();
        fields
            .map(|field| (field.ty, field.flags & FieldRecord::MUTABLE != 0))
            .collect()
    }
}

impl fmt::Debug for TypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypeId({})", self.0)
    }
}

/// A field of a struct, or the elements of an array.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// Type of its value; `i32` where it is packed.
    pub(crate) ty: ValType,
    /// As [`FieldRecord::flags`].
    pub(crate) flags: u32,
    /// Its size in bytes.
    pub(crate) size: u32,
    /// Where it lies in a struct.
    pub(crate) offset: u32,
}

impl Field {
    /// Whether it holds a reference into the heap.
    pub(crate) fn is_heap_ref(&self) -> bool {
        matches!(self.ty, ValType::Ref(ty) if ty.is_any())
    }
}

/// What the interner keeps of a type, for as long as the process lives.
#[derive(Debug)]
pub(crate) struct FuncTypeData {
    pub(crate) id: TypeId,
    pub(crate) params: Box<[ValType]>,
    pub(crate) results: Box<[ValType]>,
    pub(crate) fits_registers: bool,
    pub(crate) kind: TypeKind,
    pub(crate) supertype: Option<FuncType>,
    /// How many supertypes it has, all in all.
    pub(crate) depth: u32,
    pub(crate) fields: Box<[Field]>,
    /// Size of a struct in bytes.
    pub(crate) size: u32,
}

/// The type of a function. Cheap to copy and to compare.
///
/// Every distinct function type that a process meets is kept until it ends.
#[derive(Clone, Copy)]
pub struct FuncType(pub(crate) &'static FuncTypeData);

impl FuncType {
    /// The type of functions that take `params` and give `results`.
    pub fn new(
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> FuncType {
        interner::intern(params.into_iter().collect(), results.into_iter().collect())
    }

    /// Types of the parameters.
    pub fn params(self) -> &'static [ValType] {
        &self.0.params
    }

    /// Types of the results.
    pub fn results(self) -> &'static [ValType] {
        &self.0.results
    }

    /// The process-wide identity of this type.
    pub fn id(self) -> TypeId {
        self.0.id
    }

    /// Whether every function of this type is one of `other` too.
    pub fn matches(self, other: FuncType) -> bool {
        interner::is_subtype(self.0.id, other.0.id)
    }

    pub(crate) fn fits_registers(self) -> bool {
        self.0.fits_registers
    }
}

impl PartialEq for FuncType {
    fn eq(&self, other: &FuncType) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for FuncType {}

impl std::hash::Hash for FuncType {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl fmt::Debug for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FuncType{self}")
    }
}

/// The type of a linear memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryType {
    /// Least size, in pages.
    pub min: u64,
    /// Greatest size, in pages.
    pub max: Option<u64>,
    /// Whether addresses are 64 bits wide.
    pub is_64: bool,
    /// Whether threads share it.
    pub shared: bool,
    /// Binary logarithm of the size of a page: 16, or 0 where pages are single bytes.
    pub page_size_log2: u32,
}

impl MemoryType {
    /// A 32-bit memory of 64 KiB pages.
    pub fn new(min: u64, max: Option<u64>) -> MemoryType {
        MemoryType {
            min,
            max,
            is_64: false,
            shared: false,
            page_size_log2: 16,
        }
    }

    /// Most pages such a memory can have at all; 0 where the size of a page makes no sense.
    pub(crate) fn absolute_max(&self) -> u64 {
        let address_bits: u32 = if self.is_64 { 64 } else { 32 };
        match address_bits.checked_sub(self.page_size_log2) {
            Some(64) => u64::MAX,
            Some(bits) => 1 << bits,
            None => 0,
        }
    }
}

/// The type of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableType {
    /// Type of its elements.
    pub element: RefType,
    /// Least length, in elements.
    pub min: u64,
    /// Greatest length, in elements.
    pub max: Option<u64>,
    /// Whether indices are 64 bits wide.
    pub is_64: bool,
}

impl TableType {
    /// A table with 32-bit indices.
    pub fn new(element: RefType, min: u64, max: Option<u64>) -> TableType {
        TableType {
            element,
            min,
            max,
            is_64: false,
        }
    }
}

/// The type of a global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalType {
    /// Type of its value.
    pub content: ValType,
    /// Whether it may be set.
    pub mutable: bool,
}

impl GlobalType {
    /// A global of this type.
    pub fn new(content: ValType, mutable: bool) -> GlobalType {
        GlobalType { content, mutable }
    }
}

/// The type of something imported or exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExternType {
    /// A function.
    Func(FuncType),
    /// A table.
    Table(TableType),
    /// A linear memory.
    Memory(MemoryType),
    /// A global.
    Global(GlobalType),
    /// A tag. Exceptions of it carry values of the parameters' types.
    Tag(FuncType),
}

/// An import that a module asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportType<'a> {
    /// Name of the module it is to come from.
    pub module: &'a str,
    /// Its name there.
    pub name: &'a str,
    /// What it must be.
    pub ty: ExternType,
}

/// An export that a module offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportType<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is.
    pub ty: ExternType,
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValType::I32 => f.write_str("i32"),
            ValType::I64 => f.write_str("i64"),
            ValType::F32 => f.write_str("f32"),
            ValType::F64 => f.write_str("f64"),
            ValType::V128 => f.write_str("v128"),
            ValType::Ref(r) => r.fmt(f),
        }
    }
}

impl fmt::Display for RefType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let null = if self.nullable { "null " } else { "" };
        match (self.nullable, self.heap) {
            (true, HeapType::Func) => f.write_str("funcref"),
            (true, HeapType::Extern) => f.write_str("externref"),
            (true, HeapType::NoFunc) => f.write_str("nullfuncref"),
            (true, HeapType::NoExtern) => f.write_str("nullexternref"),
            (true, HeapType::Exn) => f.write_str("exnref"),
            (true, HeapType::NoExn) => f.write_str("nullexnref"),
            (true, HeapType::Any) => f.write_str("anyref"),
            (true, HeapType::Eq) => f.write_str("eqref"),
            (true, HeapType::I31) => f.write_str("i31ref"),
            (true, HeapType::Struct) => f.write_str("structref"),
            (true, HeapType::Array) => f.write_str("arrayref"),
            (true, HeapType::None) => f.write_str("nullref"),
            (_, HeapType::Func) => write!(f, "(ref {null}func)"),
            (_, HeapType::Extern) => write!(f, "(ref {null}extern)"),
            (_, HeapType::NoFunc) => write!(f, "(ref {null}nofunc)"),
            (_, HeapType::NoExtern) => write!(f, "(ref {null}noextern)"),
            (_, HeapType::Exn) => write!(f, "(ref {null}exn)"),
            (_, HeapType::NoExn) => write!(f, "(ref {null}noexn)"),
            (_, HeapType::Any) => write!(f, "(ref {null}any)"),
            (_, HeapType::Eq) => write!(f, "(ref {null}eq)"),
            (_, HeapType::I31) => write!(f, "(ref {null}i31)"),
            (_, HeapType::Struct) => write!(f, "(ref {null}struct)"),
            (_, HeapType::Array) => write!(f, "(ref {null}array)"),
            (_, HeapType::None) => write!(f, "(ref {null}none)"),
            // Spelling the type out could go on for ever: a type may refer to itself.
            (_, HeapType::Concrete(id) | HeapType::Object(id)) => {
                write!(f, "(ref {null}type#{})", id.0)
            }
        }
    }
}

fn write_list(f: &mut fmt::Formatter<'_>, types: &[ValType]) -> fmt::Result {
    f.write_str("(")?;
    for (i, ty) in types.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{ty}")?;
    }
    f.write_str(")")
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, self.params())?;
        f.write_str(" -> ")?;
        write_list(f, self.results())
    }
}

fn write_limits(f: &mut fmt::Formatter<'_>, min: u64, max: Option<u64>) -> fmt::Result {
    match max {
        Some(max) => write!(f, "{min}..={max}"),
        None => write!(f, "{min}.."),
    }
}

impl fmt::Display for MemoryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = if self.shared { "shared " } else { "" };
        let width = if self.is_64 { "64-bit " } else { "" };
        write!(f, "{shared}{width}memory of ")?;
        write_limits(f, self.min, self.max)?;
        match self.page_size_log2 {
            16 => f.write_str(" pages"),
            log2 @ 0..64 => write!(f, " pages of {} bytes", 1u64 << log2),
            log2 => write!(f, " pages of 2^{log2} bytes"),
        }
    }
}

impl fmt::Display for TableType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = if self.is_64 { "64-bit " } else { "" };
        write!(f, "{width}table of ")?;
        write_limits(f, self.min, self.max)?;
        write!(f, " {}", self.element)
    }
}

impl fmt::Display for GlobalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mutable = if self.mutable { "mutable " } else { "" };
        write!(f, "{mutable}global {}", self.content)
    }
}

impl fmt::Display for ExternType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExternType::Func(ty) => write!(f, "function {ty}"),
            ExternType::Table(ty) => ty.fmt(f),
            ExternType::Memory(ty) => ty.fmt(f),
            ExternType::Global(ty) => ty.fmt(f),
            ExternType::Tag(ty) => write!(f, "tag {ty}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_types_match_everything_nullable_of_their_kind() {
        let concrete = HeapType::Concrete(FuncType::new([ValType::I32], []).id());
        let null_func = RefType {
            nullable: true,
            heap: HeapType::NoFunc,
        };
        assert!(null_func.matches(RefType {
            nullable: true,
            heap: concrete
        }));
        assert!(null_func.matches(RefType::FUNCREF));
        assert!(!null_func.matches(RefType {
            nullable: false,
            heap: HeapType::Func
        }));
        assert!(!null_func.matches(RefType::EXTERNREF));
    }

    #[test]
    fn concrete_functions_are_functions_but_not_the_reverse() {
        let concrete = HeapType::Concrete(FuncType::new([ValType::I64], []).id());
        let some = RefType {
            nullable: false,
            heap: concrete,
        };
        assert!(some.matches(RefType::FUNCREF));
        assert!(some.matches(RefType {
            nullable: true,
            heap: concrete
        }));
        assert!(!RefType::FUNCREF.matches(some));
    }

    #[test]
    fn types_read_as_the_specification_writes_them() {
        let ty = FuncType::new([ValType::I32, ValType::FUNCREF], [ValType::F64]);
        assert_eq!(
            ExternType::Func(ty).to_string(),
            "function (i32, funcref) -> (f64)"
        );
        assert_eq!(
            MemoryType::new(1, Some(2)).to_string(),
            "memory of 1..=2 pages"
        );
        let nonsense = MemoryType {
            page_size_log2: 64,
            ..MemoryType::new(1, None)
        };
        assert_eq!(nonsense.to_string(), "memory of 1.. pages of 2^64 bytes");
        assert_eq!(
            GlobalType::new(ValType::V128, true).to_string(),
            "mutable global v128"
        );
    }
}
