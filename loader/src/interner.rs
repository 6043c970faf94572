//! The process-wide registry of types.
//!
//! Generated code compares types of different modules by 32-bit numbers. Equal types must have
//! equal numbers and different types different ones, so the registry compares whole structures,
//! and numbers are never given out twice. What is compared are recursive groups of types: of
//! two equal groups, the types at the same places are equal.
//!
//! # Safety
//!
//! This file holds unsafe code: it writes the rows that generated code reads, see
//! [`precast_abi::heap::TypeRow`], each before anyone can know its number; and it hands out references
//! to types, which are never given back.
#![allow(unsafe_code, reason = "generated code reads what is known of types")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use precast_abi::heap::{self, TypeRow};
use precast_abi::object::{FieldRecord, TypeKind};
use precast_abi::types::{HeapType as AbiHeap, Kind, ValType as AbiValType};

use crate::sys::{Access, Reservation};
use crate::types::{Field, FuncType, FuncTypeData, HeapType, RefType, TypeId, ValType};

/// The most types that a process can know.
const MOST_TYPES: usize = 1 << 20;
/// How many types a part of the list has.
const CHUNK: usize = 1 << 10;
/// The deepest that a type can be.
const MOST_DEPTH: u32 = 63;

/// The identity of what the host has given to a guest as an `anyref`: no type.
pub(crate) const EXTERN: TypeId = TypeId(1);

/// A type as an object writes it down.
pub(crate) struct Written {
    pub(crate) params: Vec<AbiValType>,
    pub(crate) results: Vec<AbiValType>,
    pub(crate) kind: TypeKind,
    pub(crate) is_final: bool,
    pub(crate) supertype: Option<u32>,
    /// Index of the first type of its group.
    pub(crate) group: u32,
    pub(crate) fields: Vec<FieldRecord>,
}

/// The structure of a type of a group, with references within the group made recognisable.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    kind: TypeKind,
    is_final: bool,
    supertype: Option<KeyHeap>,
    params: Box<[KeyType]>,
    results: Box<[KeyType]>,
    fields: Box<[(KeyType, u32)]>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum KeyHeap {
    Known(TypeId),
    /// A type of the group that is being described, by its place in it.
    Own(u32),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum KeyType {
    Known(ValType),
    /// A reference to a type of the group.
    Own {
        nullable: bool,
        object: bool,
        place: u32,
    },
}

struct Interner {
    /// The identity of the first type of each group.
    groups: HashMap<Box<[Key]>, TypeId>,
    /// How many types there are.
    count: usize,
    rows: Option<&'static Rows>,
}

static INTERNER: Mutex<Option<Interner>> = Mutex::new(None);

/// The types, by their numbers, for whoever has no time for a lock.
static TYPES: [AtomicPtr<[AtomicPtr<FuncTypeData>; CHUNK]>; MOST_TYPES / CHUNK] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; MOST_TYPES / CHUNK];

fn lock() -> MutexGuard<'static, Option<Interner>> {
    // Every change is complete before anything can panic.
    INTERNER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What generated code knows of types: rows, by their numbers.
struct Rows {
    space: Reservation,
}

/// The rows become accessible so many bytes at a time.
const ROWS_AT_ONCE: usize = 64 << 10;

impl Rows {
    /// The row of a type.
    fn write(&self, id: TypeId, row: TypeRow) -> Option<()> {
        let size = size_of::<TypeRow>();
        let at = id.0 as usize * size;
        if at.is_multiple_of(ROWS_AT_ONCE) || id == EXTERN {
            let start = at / ROWS_AT_ONCE * ROWS_AT_ONCE;
            // SAFETY: access is only added.
            unsafe {
                self.space
                    .protect(start..start + ROWS_AT_ONCE, Access::ReadWrite)
                    .ok()?;
            }
        }
        let place = self.space.base().as_ptr().expose_provenance() + at;
        // SAFETY: the row lies within the reservation, whose rows up to the greatest number are
        // accessible since numbers rise; nobody knows the number yet.
        unsafe { std::ptr::with_exposed_provenance_mut::<TypeRow>(place).write(row) };
        Some(())
    }
}

/// Address of the [`TypeRow`]s of all types, those that come included. `None` where there is no room
/// for them.
pub(crate) fn rows() -> Option<u64> {
    static ROWS: OnceLock<Option<Rows>> = OnceLock::new();
    let rows = ROWS.get_or_init(|| {
        let space = Reservation::new(MOST_TYPES * size_of::<TypeRow>()).ok()?;
        Some(Rows { space })
    });
    let rows: &'static Rows = rows.as_ref()?;
    let mut guard = lock();
    let interner = guard.get_or_insert_with(Interner::new);
    if interner.rows.is_none() {
        let mut row = TypeRow {
            kind: TypeRow::EXTERN,
            depth: 0,
            ancestors: [0; TypeRow::DEPTHS],
        };
        row.ancestors[0] = EXTERN.0;
        rows.write(EXTERN, row)?;
        for id in EXTERN.0 + 1..=interner.count as u32 {
            rows.write(TypeId(id), row_of(data(TypeId(id))?))?;
        }
        interner.rows = Some(rows);
    }
    Some(rows.space.base().as_ptr().expose_provenance() as u64)
}

fn row_of(data: &FuncTypeData) -> TypeRow {
    let mut row = TypeRow {
        kind: data.kind as u32,
        depth: data.depth,
        ancestors: [0; TypeRow::DEPTHS],
    };
    let mut ancestor = Some(data);
    while let Some(data) = ancestor {
        if let Some(place) = row.ancestors.get_mut(data.depth as usize) {
            *place = data.id.0;
        }
        ancestor = data.supertype.map(|ty| ty.0);
    }
    row
}

/// The type with this number, if it is one.
pub(crate) fn data(id: TypeId) -> Option<&'static FuncTypeData> {
    let index = id.0 as usize;
    let chunk = TYPES.get(index / CHUNK)?.load(Ordering::Acquire);
    // SAFETY: chunks and types are leaked, and complete before their addresses are stored.
    unsafe {
        let data = chunk.as_ref()?[index % CHUNK].load(Ordering::Acquire);
        data.as_ref()
    }
}

/// The function type with these parameters and results.
pub(crate) fn intern(params: Box<[ValType]>, results: Box<[ValType]>) -> FuncType {
    let known = |types: &[ValType]| types.iter().map(|&ty| KeyType::Known(ty)).collect();
    let key = Key {
        kind: TypeKind::Function,
        is_final: true,
        supertype: None,
        params: known(&params),
        results: known(&results),
        fields: Box::default(),
    };
    let mut guard = lock();
    let interner = guard.get_or_insert_with(Interner::new);
    let id = interner.intern(Box::new([key]));
    lookup(id.expect("a process knows fewer than a million types"))
}

/// The type with this identity.
pub(crate) fn lookup(id: TypeId) -> FuncType {
    FuncType(data(id).expect("identities are given out with their types"))
}

/// Whether every value of the first type is one of the second.
pub(crate) fn is_subtype(ty: TypeId, of: TypeId) -> bool {
    let mut ty = data(ty);
    while let Some(data) = ty {
        if data.id == of {
            return true;
        }
        ty = data.supertype.map(|ty| ty.0);
    }
    false
}

/// Interns the types of a module in their order. Concrete references are to types of the same group or
/// before it.
///
/// `None` where the object's types are damaged, or there are too many.
pub(crate) fn intern_module(types: &[Written]) -> Option<Box<[TypeId]>> {
    let mut guard = lock();
    let interner = guard.get_or_insert_with(Interner::new);
    let mut ids: Vec<TypeId> = Vec::with_capacity(types.len());
    while ids.len() < types.len() {
        let first = ids.len();
        let members = types[first..]
            .iter()
            .take_while(|ty| ty.group as usize == first);
        let members: Vec<&Written> = members.collect();
        if members.is_empty() {
            return None;
        }
        let group = Group {
            ids: &ids,
            len: members.len(),
            types,
        };
        let keys = (first..).zip(&members);
        let keys = keys
            .map(|(index, ty)| group.key(index, ty))
            .collect::<Option<Box<[Key]>>>()?;
        let id = interner.intern(keys)?;
        ids.extend((0..members.len() as u32).map(|place| TypeId(id.0 + place)));
    }
    Some(ids.into())
}

/// A group of a module's types that is being described.
struct Group<'a> {
    /// Identities of the types before it.
    ids: &'a [TypeId],
    /// How many types it has.
    len: usize,
    types: &'a [Written],
}

impl Group<'_> {
    fn key(&self, index: usize, ty: &Written) -> Option<Key> {
        let supertype = match ty.supertype {
            None => None,
            Some(above) if (above as usize) < index => {
                let kind = self.types.get(above as usize)?.kind;
                Some((kind == ty.kind).then(|| self.heap(above))??)
            }
            Some(_) => return None,
        };
        let types = |types: &[AbiValType]| -> Option<Box<[KeyType]>> {
            types.iter().map(|&ty| self.ty(ty)).collect()
        };
        let field = |field: &FieldRecord| Some((self.ty(field.ty)?, field.flags));
        Some(Key {
            kind: ty.kind,
            is_final: ty.is_final,
            supertype,
            params: types(&ty.params)?,
            results: types(&ty.results)?,
            fields: ty.fields.iter().map(field).collect::<Option<_>>()?,
        })
    }

    fn heap(&self, index: u32) -> Option<KeyHeap> {
        match self.ids.get(index as usize) {
            Some(id) => Some(KeyHeap::Known(*id)),
            None => {
                let place = index as usize - self.ids.len();
                (place < self.len).then_some(KeyHeap::Own(place as u32))
            }
        }
    }

    fn ty(&self, ty: AbiValType) -> Option<KeyType> {
        let (index, object) = match ty.heap_type() {
            Some(AbiHeap::Concrete(index)) => (index, false),
            Some(AbiHeap::Object(index)) => (index, true),
            _ => return val_type(ty, self.ids).map(KeyType::Known),
        };
        // What it is said to be is what it is.
        let is_object = self.types.get(index as usize)?.kind != TypeKind::Function;
        if is_object != object {
            return None;
        }
        match self.heap(index)? {
            KeyHeap::Known(_) => val_type(ty, self.ids).map(KeyType::Known),
            KeyHeap::Own(place) => Some(KeyType::Own {
                nullable: ty.is_nullable(),
                object,
                place,
            }),
        }
    }
}

/// A type as an object writes it, whose types are `ids`. `None` where it is damaged.
pub(crate) fn val_type(ty: AbiValType, ids: &[TypeId]) -> Option<ValType> {
    Some(match ty.kind()? {
        Kind::I32 => ValType::I32,
        Kind::I64 => ValType::I64,
        Kind::F32 => ValType::F32,
        Kind::F64 => ValType::F64,
        Kind::V128 => ValType::V128,
        Kind::Ref => {
            let concrete = |index: u32| ids.get(index as usize).copied();
            let heap = match ty.heap_type()? {
                AbiHeap::Func => HeapType::Func,
                AbiHeap::Extern => HeapType::Extern,
                AbiHeap::NoFunc => HeapType::NoFunc,
                AbiHeap::NoExtern => HeapType::NoExtern,
                AbiHeap::Exn => HeapType::Exn,
                AbiHeap::NoExn => HeapType::NoExn,
                AbiHeap::Any => HeapType::Any,
                AbiHeap::Eq => HeapType::Eq,
                AbiHeap::I31 => HeapType::I31,
                AbiHeap::Struct => HeapType::Struct,
                AbiHeap::Array => HeapType::Array,
                AbiHeap::None => HeapType::None,
                AbiHeap::Concrete(index) => HeapType::Concrete(concrete(index)?),
                AbiHeap::Object(index) => HeapType::Object(concrete(index)?),
            };
            ValType::Ref(RefType {
                nullable: ty.is_nullable(),
                heap,
            })
        }
    })
}

impl Interner {
    /// One that knows the type that is none.
    fn new() -> Interner {
        Interner {
            groups: HashMap::new(),
            count: EXTERN.0 as usize,
            rows: None,
        }
    }

    /// The identity of the first type of a group; those of the others follow. `None` where there are
    /// too many types.
    fn intern(&mut self, group: Box<[Key]>) -> Option<TypeId> {
        if let Some(id) = self.groups.get(&group) {
            return Some(*id);
        }
        if self.count + group.len() >= MOST_TYPES {
            return None;
        }
        let first = TypeId(self.count as u32 + 1);
        for (id, key) in (first.0..).map(TypeId).zip(&group) {
            let data = resolve(key, id, first)?;
            if let Some(rows) = self.rows {
                rows.write(id, row_of(data))?;
            }
            publish(data);
            self.count = id.0 as usize;
        }
        self.groups.insert(group, first);
        Some(first)
    }
}

/// The type that a key describes, kept for ever.
fn resolve(key: &Key, id: TypeId, first: TypeId) -> Option<&'static FuncTypeData> {
    let own = |place: u32| TypeId(first.0 + place);
    let ty = |ty: &KeyType| match *ty {
        KeyType::Known(ty) => ty,
        KeyType::Own {
            nullable,
            object,
            place,
        } => ValType::Ref(RefType {
            nullable,
            heap: match object {
                true => HeapType::Object(own(place)),
                false => HeapType::Concrete(own(place)),
            },
        }),
    };
    let params: Box<[ValType]> = key.params.iter().map(ty).collect();
    let results: Box<[ValType]> = key.results.iter().map(ty).collect();
    let abi = |types: &[ValType]| types.iter().map(|ty| ty.to_abi()).collect::<Vec<_>>();
    let fits_registers = precast_abi::types::fits_registers(&abi(&params), &abi(&results));
    let supertype = match key.supertype {
        None => None,
        Some(KeyHeap::Known(id)) => Some(FuncType(data(id)?)),
        Some(KeyHeap::Own(place)) => Some(FuncType(data(own(place))?)),
    };
    let depth = supertype.map_or(0, |above| above.0.depth + 1);
    if depth > MOST_DEPTH {
        return None;
    }
    let fields: Box<[(ValType, FieldRecord)]> = (key.fields.iter())
        .map(|(value, flags)| {
            let value = ty(value);
            let record = FieldRecord {
                ty: value.to_abi(),
                flags: *flags,
            };
            (value, record)
        })
        .collect();
    let mut offsets = Vec::with_capacity(fields.len());
    let size = heap::struct_layout(fields.iter().map(|(_, record)| *record), |offset| {
        offsets.push(offset);
    });
    let fields = fields
        .iter()
        .zip(offsets)
        .map(|((ty, record), offset)| Field {
            ty: *ty,
            flags: record.flags,
            size: record.size(),
            offset,
        });
    Some(Box::leak(Box::new(FuncTypeData {
        id,
        params,
        results,
        fits_registers,
        kind: key.kind,
        supertype,
        depth,
        fields: fields.collect(),
        size,
    })))
}

/// Lets the type be found by its number.
fn publish(data: &'static FuncTypeData) {
    let index = data.id.0 as usize;
    let place = &TYPES[index / CHUNK];
    if place.load(Ordering::Acquire).is_null() {
        let chunk = Box::new([const { AtomicPtr::new(std::ptr::null_mut()) }; CHUNK]);
        place.store(Box::leak(chunk), Ordering::Release);
    }
    // SAFETY: the chunk is there, and leaked.
    let chunk = unsafe { &*place.load(Ordering::Acquire) };
    chunk[index % CHUNK].store(std::ptr::from_ref(data).cast_mut(), Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(params: &[AbiValType], results: &[AbiValType], group: u32) -> Written {
        Written {
            params: params.into(),
            results: results.into(),
            kind: TypeKind::Function,
            is_final: true,
            supertype: None,
            group,
            fields: Vec::new(),
        }
    }

    fn module(types: &[(&[AbiValType], &[AbiValType])]) -> Option<Box<[TypeId]>> {
        let types = (0..).zip(types);
        let types: Vec<_> = types
            .map(|(index, (params, results))| plain(params, results, index))
            .collect();
        intern_module(&types)
    }

    fn structure(fields: &[AbiValType], supertype: Option<u32>, group: u32) -> Written {
        let field = |ty: &AbiValType| FieldRecord { ty: *ty, flags: 0 };
        Written {
            kind: TypeKind::Struct,
            is_final: false,
            supertype,
            fields: fields.iter().map(field).collect(),
            ..plain(&[], &[], group)
        }
    }

    #[test]
    fn equal_structures_have_one_identity() {
        let a = module(&[(&[AbiValType::I32], &[]), (&[], &[AbiValType::I32])]).unwrap();
        let b = module(&[(&[], &[AbiValType::I32]), (&[AbiValType::I32], &[])]).unwrap();
        assert_eq!((a[0], a[1]), (b[1], b[0]));
        assert_ne!(a[0], a[1]);
        assert_eq!(FuncType::new([ValType::I32], []).id(), a[0]);
        assert_eq!(a[0].func_type(), FuncType::new([ValType::I32], []));
    }

    #[test]
    fn references_compare_by_what_they_refer_to() {
        let reference = |index| AbiValType::reference(true, AbiHeap::Concrete(index));
        let a = module(&[(&[AbiValType::I64], &[]), (&[reference(0)], &[])]).unwrap();
        let b = module(&[
            (&[], &[]),
            (&[AbiValType::I64], &[]),
            (&[reference(1)], &[]),
            (&[reference(0)], &[]),
        ])
        .unwrap();
        assert_eq!(a[1], b[2]);
        assert_ne!(a[1], b[3]);
    }

    #[test]
    fn a_type_may_refer_to_itself_but_not_ahead() {
        let reference = |index| AbiValType::reference(false, AbiHeap::Concrete(index));
        let a = module(&[(&[reference(0)], &[])]).unwrap();
        let b = module(&[(&[], &[]), (&[reference(1)], &[])]).unwrap();
        assert_eq!(a[0], b[1]);
        let own = RefType {
            nullable: false,
            heap: HeapType::Concrete(a[0]),
        };
        assert_eq!(a[0].func_type().params(), [ValType::Ref(own)]);
        assert_eq!(module(&[(&[reference(1)], &[])]), None);
    }

    #[test]
    fn groups_are_equal_as_a_whole() {
        let to = |index| AbiValType::reference(true, AbiHeap::Object(index));
        // Two lists that refer to each other, alone and behind another type.
        let a = [structure(&[to(1)], None, 0), structure(&[to(0)], None, 0)];
        let b = [
            structure(&[], None, 0),
            structure(&[to(2)], None, 1),
            structure(&[to(1)], None, 1),
        ];
        let (a, b) = (intern_module(&a).unwrap(), intern_module(&b).unwrap());
        assert_eq!(a[..], b[1..]);
        assert_ne!(a[0], a[1], "the places in a group are different types");
        // The same structure in another group is another type.
        let alone = intern_module(&[structure(&[to(0)], None, 0)]).unwrap();
        assert!(!a.contains(&alone[0]));
    }

    #[test]
    fn supertypes_make_another_type_and_are_found() {
        let types = [
            structure(&[AbiValType::I32], None, 0),
            structure(&[AbiValType::I32, AbiValType::I64], Some(0), 1),
            structure(&[AbiValType::I32, AbiValType::I64], None, 2),
        ];
        let ids = intern_module(&types).unwrap();
        assert!(is_subtype(ids[1], ids[0]) && is_subtype(ids[1], ids[1]));
        assert!(!is_subtype(ids[0], ids[1]) && !is_subtype(ids[2], ids[0]));
        let rows = rows().expect("room for rows") as usize;
        let row = rows + ids[1].0 as usize * size_of::<TypeRow>();
        // SAFETY: the row of a type that is known.
        let row = unsafe { std::ptr::with_exposed_provenance::<TypeRow>(row).read() };
        assert_eq!((row.kind, row.depth), (TypeKind::Struct as u32, 1));
        assert_eq!(row.ancestors[..3], [ids[0].0, ids[1].0, 0]);
    }

    #[test]
    fn a_supertype_comes_before_and_is_of_the_same_kind() {
        let own = structure(&[], Some(0), 0);
        assert_eq!(intern_module(&[own]), None);
        let function = plain(&[], &[], 0);
        assert_eq!(intern_module(&[function, structure(&[], Some(0), 1)]), None);
    }
}
