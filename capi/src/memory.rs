//! Linear memories.

use std::mem::MaybeUninit;

use loader::{AsStoreMut, Memory, MemoryType};

use crate::error::{self, Failure, Kind, given, misuse};
use crate::store::{self, CStore};
use crate::text;
use crate::value::CMemory;

/// What `PRECAST_NO_LIMIT` is.
const NO_LIMIT: u64 = u64::MAX;

/// `precast_memory_new`
#[unsafe(no_mangle)]
extern "C" fn precast_memory_new(
    store: Option<&CStore>,
    min: u64,
    max: u64,
    out: Option<&mut MaybeUninit<CMemory>>,
) -> Failure {
    error::run(|| {
        let out = given(out, "the place for the result")?;
        out.write(CMemory::default());
        let ty = MemoryType::new(min, (max != NO_LIMIT).then_some(max));
        let mut store = store::enter(store)?;
        out.write(Memory::new(store.as_store_mut(), ty)?.into());
        Ok(())
    })
}

/// `precast_memory_pages`
#[unsafe(no_mangle)]
extern "C" fn precast_memory_pages(
    store: Option<&CStore>,
    memory: CMemory,
    out: Option<&mut MaybeUninit<u64>>,
) -> Failure {
    error::run(|| {
        let out = given(out, "the place for the result")?;
        let store = store::enter(store)?;
        out.write(memory.get()?.size(&store)?);
        Ok(())
    })
}

/// `precast_memory_grow`
#[unsafe(no_mangle)]
extern "C" fn precast_memory_grow(
    store: Option<&CStore>,
    memory: CMemory,
    delta: u64,
    old: Option<&mut MaybeUninit<u64>>,
) -> Failure {
    error::run(|| {
        let mut store = store::enter(store)?;
        let grown = memory.get()?.grow(store.as_store_mut(), delta)?;
        let before = grown.ok_or_else(|| {
            let message = format!("the memory cannot grow by {delta} pages");
            error::Error::new(Kind::Limit, &message)
        })?;
        if let Some(old) = old {
            old.write(before);
        }
        Ok(())
    })
}

/// `precast_memory_view`
#[unsafe(no_mangle)]
extern "C" fn precast_memory_view(
    store: Option<&CStore>,
    memory: CMemory,
    data: Option<&mut MaybeUninit<*const u8>>,
    len: Option<&mut MaybeUninit<usize>>,
) -> Failure {
    error::run(|| {
        let data = given(data, "the place for the address")?;
        let len = given(len, "the place for the length")?;
        let store = store::enter(store)?;
        let bytes = memory.get()?.data(&store)?;
        data.write(bytes.as_ptr());
        len.write(bytes.len());
        Ok(())
    })
}

/// `precast_memory_range`
#[unsafe(no_mangle)]
extern "C" fn precast_memory_range(
    store: Option<&CStore>,
    memory: CMemory,
    offset: u64,
    len: usize,
    data: Option<&mut MaybeUninit<*mut u8>>,
) -> Failure {
    error::run(|| {
        let data = given(data, "the place for the address")?;
        let start = usize::try_from(offset).ok();
        let range = start.and_then(|start| Some(start..start.checked_add(len)?));
        let range = range.ok_or_else(|| misuse("out of bounds"))?;
        let mut store = store::enter(store)?;
        let bytes = memory.get()?.slice_mut(&mut store, range)?;
        data.write(bytes.as_mut_ptr());
        Ok(())
    })
}

/// `precast_memory_read`
#[unsafe(no_mangle)]
extern "C" fn precast_memory_read(
    store: Option<&CStore>,
    memory: CMemory,
    offset: u64,
    buffer: *mut u8,
    len: usize,
) -> Failure {
    error::run(|| {
        let buffer = text::array_mut(buffer, len, "the buffer")?;
        let store = store::enter(store)?;
        Ok(memory.get()?.read(&store, offset, buffer)?)
    })
}

/// `precast_memory_write`
#[unsafe(no_mangle)]
extern "C" fn precast_memory_write(
    store: Option<&CStore>,
    memory: CMemory,
    offset: u64,
    bytes: *const u8,
    len: usize,
) -> Failure {
    error::run(|| {
        let bytes = text::array(bytes, len, "the bytes")?;
        let mut store = store::enter(store)?;
        Ok(memory.get()?.write(store.as_store_mut(), offset, bytes)?)
    })
}
