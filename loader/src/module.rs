//! Modules: objects that were opened and can be instantiated.
//!
//! # Safety
//!
//! This file holds unsafe code: it registers the module's text, which stays where it is for as
//! long as the registration, because both are fields of one boxed value.
#![allow(unsafe_code, reason = "the signal handler finds modules by pointers")]

use std::path::Path;
use std::sync::{Arc, OnceLock};

use precast_abi::NONE;
use precast_abi::object::{
    ExternKind, GlobalRecord, MemoryRecord, SubTypeRecord, TableRecord, TypeKind,
};
use precast_abi::types::ValType as AbiValType;

use crate::interner::{self, Written};
use crate::object::{Damage, Fault, MappedObject, Metadata, OpenError, Part};
use crate::registry::Registration;
#[cfg(feature = "signatures")]
use crate::signature::Trust;
use crate::sys::{Access, Reservation};
use crate::types::{
    ExportType, ExternType, FuncType, GlobalType, ImportType, MemoryType, RefType, TableType,
    TypeId, ValType,
};

/// An object that was opened. Cheap to clone; unmapped when the last clone, the last store that
/// uses it, and the last backtrace through its code are gone.
#[derive(Clone, Debug)]
pub struct Module {
    inner: Arc<ModuleInner>,
}

#[derive(Debug)]
pub(crate) struct ModuleInner {
    /// Dropped before the object is unmapped.
    registration: OnceLock<Registration>,
    /// Process-wide identities of the module's types.
    type_ids: OnceLock<Box<[TypeId]>>,
    /// Types of the module's tags.
    tag_types: OnceLock<Box<[FuncType]>>,
    /// Functions that can be referred to.
    func_refs: OnceLock<Box<[FuncRefSite]>>,
    image: OnceLock<Option<Reservation>>,
    object: MappedObject,
}

/// A function that can be referred to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FuncRefSite {
    /// Index of the function.
    pub(crate) function: u32,
    /// Distance of its record.
    pub(crate) distance: u32,
    /// Text offset of its code; [`precast_abi::NONE`] for imports.
    pub(crate) text_offset: u32,
    pub(crate) type_id: TypeId,
}

impl Module {
    /// Opens an object made by `precast compile`.
    ///
    /// Costs a few system calls, whatever the size of the file: code and metadata are shared with
    /// the file, and with other processes that open it.
    ///
    /// # Safety
    ///
    /// The file is native code that will be executed: it must come from a compiler that is
    /// trusted, unaltered. It must not be written to or cut short while it is open (replacing it
    /// by renaming another over it is fine); see [`Module::open_sealed`] where that is not certain.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is not an object for this machine and loader.
    pub unsafe fn open(path: impl AsRef<Path>) -> Result<Module, OpenError> {
        Module::new(MappedObject::open(path.as_ref())?)
    }

    /// Opens a copy of an object that no one can change any more.
    ///
    /// # Safety
    ///
    /// The file is native code that will be executed: it must come from a compiler that is
    /// trusted, unaltered.
    ///
    /// # Errors
    ///
    /// As [`Module::open`].
    pub unsafe fn open_sealed(path: impl AsRef<Path>) -> Result<Module, OpenError> {
        Module::new(MappedObject::open_sealed(path.as_ref())?)
    }

    /// Opens a copy of an object that is in memory.
    ///
    /// # Safety
    ///
    /// The bytes are native code that will be executed: they must come from a compiler that is
    /// trusted, unaltered.
    ///
    /// # Errors
    ///
    /// As [`Module::open`].
    pub unsafe fn from_bytes(bytes: &[u8]) -> Result<Module, OpenError> {
        Module::new(MappedObject::from_bytes(bytes)?)
    }

    /// As [`Module::from_bytes`], of an object that may be for another system: its code makes no
    /// system calls, so that it runs wherever its CPU is. For tests.
    ///
    /// # Safety
    ///
    /// As [`Module::from_bytes`].
    ///
    /// # Errors
    ///
    /// As [`Module::from_bytes`].
    #[cfg(feature = "other-systems")]
    pub unsafe fn from_bytes_of_any_system(bytes: &[u8]) -> Result<Module, OpenError> {
        Module::new(MappedObject::from_bytes_of_any_system(bytes)?)
    }

    /// Opens an object that is part of a larger file: from `start` on, a multiple of the page size,
    /// and `len` bytes long. Costs as much as [`Module::open`].
    ///
    /// # Safety
    ///
    /// As [`Module::open`].
    ///
    /// # Errors
    ///
    /// As [`Module::open`].
    pub unsafe fn open_part(
        path: impl AsRef<Path>,
        start: u64,
        len: u64,
    ) -> Result<Module, OpenError> {
        Module::new(MappedObject::open_part(path.as_ref(), start, len)?)
    }

    /// Opens an object that is signed by a key that is trusted, and no other.
    ///
    /// What is checked is what is mapped: a sealed copy in memory, which nobody can change.
    /// This is why it is safe: to add a key is to trust what its owner signs.
    ///
    /// # Errors
    ///
    /// As [`Module::open`], and [`OpenError::Untrusted`].
    #[cfg(feature = "signatures")]
    pub fn open_trusted(path: impl AsRef<Path>, trust: &Trust) -> Result<Module, OpenError> {
        Module::new(MappedObject::open_trusted(path.as_ref(), trust)?)
    }

    /// Opens a copy of an object in memory that is signed by a key that is trusted.
    ///
    /// # Errors
    ///
    /// As [`Module::open_trusted`].
    #[cfg(feature = "signatures")]
    pub fn from_trusted_bytes(bytes: &[u8], trust: &Trust) -> Result<Module, OpenError> {
        Module::new(MappedObject::from_trusted(bytes, trust)?)
    }

    pub(crate) fn new(object: MappedObject) -> Result<Module, OpenError> {
        let inner = Arc::new(ModuleInner {
            registration: OnceLock::new(),
            type_ids: OnceLock::new(),
            tag_types: OnceLock::new(),
            func_refs: OnceLock::new(),
            image: OnceLock::new(),
            object,
        });
        if inner.object.text_len() > 0 {
            // SAFETY: the object does not move out of its `Arc`, and goes after the registration.
            let registration = unsafe { Registration::new(&inner.object, Arc::downgrade(&inner)) };
            let _ = inner.registration.set(registration);
            inner.object.register_with_unwinder();
            inner.object.register_with_debugger();
        }
        Ok(Module { inner })
    }

    pub(crate) fn from_inner(inner: Arc<ModuleInner>) -> Module {
        Module { inner }
    }

    /// The name that the module gives itself; empty where it gives none.
    pub fn name(&self) -> &str {
        self.metadata().module_name().unwrap_or_default()
    }

    /// What the code needs of the CPU, as bits of [`precast_abi::cpu`]: of a file with code for several
    /// levels, that of the best one that this machine has.
    pub fn cpu_features(&self) -> u64 {
        self.metadata().header().cpu_features
    }

    /// Everything that the object says about the module.
    pub fn metadata(&self) -> Metadata<'_> {
        self.inner.object.metadata()
    }

    /// What the module imports, in its order.
    ///
    /// # Errors
    ///
    /// If the object is damaged.
    pub fn imports(&self) -> Result<Vec<ImportType<'_>>, OpenError> {
        let metadata = self.metadata();
        (0..metadata.header().imports.len)
            .map(|index| {
                let import = metadata.import(index)?;
                Ok(ImportType {
                    module: metadata.name(import.module, Part::Import, index)?,
                    name: metadata.name(import.name, Part::Import, index)?,
                    ty: self.extern_type(import.kind, import.index)?,
                })
            })
            .collect()
    }

    /// What the module exports, ordered by name.
    ///
    /// # Errors
    ///
    /// If the object is damaged.
    pub fn exports(&self) -> Result<Vec<ExportType<'_>>, OpenError> {
        let metadata = self.metadata();
        (0..metadata.header().exports.len)
            .map(|index| {
                let export = metadata.export(index)?;
                Ok(ExportType {
                    name: metadata.name(export.name, Part::Export, index)?,
                    ty: self.extern_type(export.kind, export.index)?,
                })
            })
            .collect()
    }

    /// The contents of the custom section `name`, if it was kept.
    pub fn custom_section(&self, name: &str) -> Option<&[u8]> {
        let metadata = self.metadata();
        (0..metadata.header().customs.len)
            .filter_map(|index| metadata.custom(index).ok())
            .find_map(|(found, bytes)| (found == name).then_some(bytes))
    }

    pub(crate) fn object(&self) -> &MappedObject {
        &self.inner.object
    }

    /// The text offset of an address; `None` where it lies outside of the text.
    pub(crate) fn text_offset(&self, pc: usize) -> Option<u32> {
        let offset = pc.checked_sub(self.inner.object.text_base())?;
        (offset < self.inner.object.text_len()).then_some(offset as u32)
    }

    /// Address of the code at a text offset.
    pub(crate) fn code(&self, text_offset: u32) -> usize {
        self.inner.object.text_base() + text_offset as usize
    }

    /// The bytes of the object's memory image; `None` where they cannot be mapped.
    pub(crate) fn image(&self) -> Option<&[u8]> {
        if let Some(image) = self.inner.object.image_in_memory() {
            return Some(image);
        }
        let header = self.metadata().header();
        let mapping = self
            .inner
            .image
            .get_or_init(|| map_image(&self.inner.object).ok());
        let start = mapping.as_ref()?.base().as_ptr();
        // SAFETY: `map_image` maps the whole image for reading, for as long as the reservation.
        Some(unsafe { std::slice::from_raw_parts(start, header.image.size as usize) })
    }

    /// Process-wide identities of the module's types, looked up at the first need.
    pub(crate) fn type_ids(&self) -> Result<&[TypeId], OpenError> {
        if let Some(ids) = self.inner.type_ids.get() {
            return Ok(ids);
        }
        let ids = intern_types(self.metadata())?;
        Ok(self.inner.type_ids.get_or_init(|| ids))
    }

    /// The functions that can be referred to, read at the first instantiation.
    pub(crate) fn func_refs(&self) -> Result<&[FuncRefSite], OpenError> {
        if let Some(sites) = self.inner.func_refs.get() {
            return Ok(sites);
        }
        let sites = find_func_refs(self.metadata(), self.type_ids()?)?;
        Ok(self.inner.func_refs.get_or_init(|| sites))
    }

    /// Type of something in one of the module's index spaces.
    pub(crate) fn extern_type(&self, kind: u32, index: u32) -> Result<ExternType, OpenError> {
        let metadata = self.metadata();
        let ids = self.type_ids()?;
        Ok(match ExternKind::from_u32(kind) {
            Some(ExternKind::Function) => {
                let type_index = metadata.function(index)?.type_index;
                ExternType::Func(ids[type_index as usize].func_type())
            }
            Some(ExternKind::Table) => ExternType::Table(table_type(&metadata.table(index)?, ids)?),
            Some(ExternKind::Memory) => ExternType::Memory(memory_type(&metadata.memory(index)?)),
            Some(ExternKind::Global) => {
                ExternType::Global(global_type(&metadata.global(index)?, ids)?)
            }
            Some(ExternKind::Tag) => {
                let ty = self.tag_types()?.get(index as usize);
                ExternType::Tag(*ty.ok_or(Damage::at(Part::Tag, index, Fault::BadIndex))?)
            }
            None => return Err(Damage::at(Part::Import, index, Fault::BadValue).into()),
        })
    }

    /// Types of the module's tags, looked up at the first need.
    pub(crate) fn tag_types(&self) -> Result<&[FuncType], OpenError> {
        if let Some(types) = self.inner.tag_types.get() {
            return Ok(types);
        }
        let (metadata, ids) = (self.metadata(), self.type_ids()?);
        let tags = 0..metadata.header().tags.len;
        let types = tags.map(|index| {
            let tag = metadata.tag(index)?;
            Ok(ids[tag.type_index as usize].func_type())
        });
        let types = types.collect::<Result<Box<[_]>, OpenError>>()?;
        Ok(self.inner.tag_types.get_or_init(|| types))
    }
}

/// Maps the whole image for reading.
fn map_image(object: &MappedObject) -> std::io::Result<Reservation> {
    let image = object.metadata().header().image;
    let (file, start) = object.image_file().ok_or(std::io::ErrorKind::NotFound)?;
    let mapping = Reservation::new(image.size as usize)?;
    // SAFETY: the reservation is new: no one uses it.
    unsafe {
        mapping.map_file(0..image.size as usize, file, start, Access::Read)?;
    }
    Ok(mapping)
}

fn find_func_refs(
    metadata: Metadata<'_>,
    type_ids: &[TypeId],
) -> Result<Box<[FuncRefSite]>, OpenError> {
    let mut sites = Vec::new();
    for entry in 0..metadata.header().func_refs.len {
        let (index, function) = metadata.func_ref(entry)?;
        sites.push(FuncRefSite {
            function: index,
            distance: function.func_ref,
            text_offset: function.text_offset,
            type_id: type_ids[function.type_index as usize],
        });
    }
    Ok(sites.into())
}

fn intern_types(metadata: Metadata<'_>) -> Result<Box<[TypeId]>, OpenError> {
    let mut types = Vec::new();
    for index in 0..metadata.header().types.len {
        let ty = metadata.ty(index)?;
        let params = metadata.params(&ty).collect::<Result<Vec<_>, _>>()?;
        let results = metadata.results(&ty).collect::<Result<Vec<_>, _>>()?;
        let mut written = Written {
            params,
            results,
            kind: TypeKind::Function,
            is_final: true,
            supertype: None,
            group: index,
            fields: Vec::new(),
        };
        if metadata.header().sub_types.len > 0 {
            let (sub, kind) = metadata.sub_type(index)?;
            written.kind = kind;
            written.is_final = sub.flags & SubTypeRecord::FINAL != 0;
            written.supertype = (sub.supertype != NONE).then_some(sub.supertype);
            written.group = sub.group;
            written.fields = metadata.fields(&sub).collect::<Result<_, _>>()?;
        }
        types.push(written);
    }
    interner::intern_module(&types).ok_or_else(|| Damage::of(Part::Type, Fault::BadType).into())
}

pub(crate) fn memory_type(memory: &MemoryRecord) -> MemoryType {
    MemoryType {
        min: memory.min,
        max: (memory.flags & MemoryRecord::HAS_MAX != 0).then_some(memory.max),
        is_64: memory.flags & MemoryRecord::INDEX64 != 0,
        shared: memory.flags & MemoryRecord::SHARED != 0,
        page_size_log2: memory.page_size_log2,
    }
}

pub(crate) fn table_type(table: &TableRecord, ids: &[TypeId]) -> Result<TableType, OpenError> {
    Ok(TableType {
        element: ref_type(table.elem, ids)?,
        min: table.min,
        max: (table.flags & TableRecord::HAS_MAX != 0).then_some(table.max),
        is_64: table.flags & TableRecord::INDEX64 != 0,
    })
}

pub(crate) fn global_type(global: &GlobalRecord, ids: &[TypeId]) -> Result<GlobalType, OpenError> {
    let content =
        interner::val_type(global.ty, ids).ok_or(Damage::of(Part::Global, Fault::BadType))?;
    Ok(GlobalType {
        content,
        mutable: global.mutable != 0,
    })
}

fn ref_type(ty: AbiValType, ids: &[TypeId]) -> Result<RefType, OpenError> {
    match interner::val_type(ty, ids) {
        Some(ValType::Ref(ty)) => Ok(ty),
        _ => Err(Damage::of(Part::Table, Fault::BadType).into()),
    }
}
