//! Anything that can be imported or exported.

use crate::error::{Error, UseError};
use crate::exception::Tag;
use crate::func::Func;
use crate::global::Global;
use crate::memory::Memory;
use crate::store::{AsStore, StoreCore};
use crate::table::Table;
use crate::types::ExternType;

/// Something imported or exported, in some store.
#[derive(Clone, Copy, Debug)]
pub enum Extern {
    /// A function.
    Func(Func),
    /// A table.
    Table(Table),
    /// A linear memory.
    Memory(Memory),
    /// A global.
    Global(Global),
    /// A tag.
    Tag(Tag),
}

impl Extern {
    /// Its type. Least sizes are current sizes.
    ///
    /// # Errors
    ///
    /// If it belongs to another store.
    pub fn ty(&self, store: impl AsStore) -> Result<ExternType, Error> {
        self.ty_in(store.as_store().into_core())
    }

    pub(crate) fn ty_in(&self, core: &StoreCore) -> Result<ExternType, Error> {
        core.check(match self {
            Extern::Func(func) => func.store,
            Extern::Table(table) => table.store,
            Extern::Memory(memory) => memory.store,
            Extern::Global(global) => global.store,
            Extern::Tag(tag) => tag.store,
        })?;
        Ok(match self {
            Extern::Func(func) => ExternType::Func(func.type_id().func_type()),
            Extern::Table(table) => ExternType::Table(core.tables[table.index as usize].ty()),
            Extern::Memory(memory) => ExternType::Memory(core.memories[memory.index as usize].ty()),
            Extern::Global(global) => ExternType::Global(global.ty),
            Extern::Tag(tag) => {
                ExternType::Tag(core.tag_type(tag.id).ok_or(UseError::OutOfBounds)?)
            }
        })
    }

    /// The function, if it is one.
    pub fn func(self) -> Option<Func> {
        if let Extern::Func(func) = self {
            Some(func)
        } else {
            None
        }
    }

    /// The table, if it is one.
    pub fn table(self) -> Option<Table> {
        if let Extern::Table(table) = self {
            Some(table)
        } else {
            None
        }
    }

    /// The memory, if it is one.
    pub fn memory(self) -> Option<Memory> {
        if let Extern::Memory(memory) = self {
            Some(memory)
        } else {
            None
        }
    }

    /// The tag, if it is one.
    pub fn tag(self) -> Option<Tag> {
        if let Extern::Tag(tag) = self {
            Some(tag)
        } else {
            None
        }
    }

    /// The global, if it is one.
    pub fn global(self) -> Option<Global> {
        if let Extern::Global(global) = self {
            Some(global)
        } else {
            None
        }
    }
}

impl From<Tag> for Extern {
    fn from(tag: Tag) -> Extern {
        Extern::Tag(tag)
    }
}

impl From<Func> for Extern {
    fn from(func: Func) -> Extern {
        Extern::Func(func)
    }
}

impl From<Table> for Extern {
    fn from(table: Table) -> Extern {
        Extern::Table(table)
    }
}

impl From<Memory> for Extern {
    fn from(memory: Memory) -> Extern {
        Extern::Memory(memory)
    }
}

impl From<Global> for Extern {
    fn from(global: Global) -> Extern {
        Extern::Global(global)
    }
}
