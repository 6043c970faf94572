//! Guest pointers: numbers from the guest that are worth nothing until they were checked.
//!
//! A [`GuestPtr`] or [`GuestSlice`] is only an allegation. [`Guest`] holds the memory, and gives bytes for it or EFAULT.
//! Lengths and ends are computed in 64 bits, where two 32-bit numbers cannot overflow.

use std::marker::PhantomData;

use precast::{GuestMemory, SharedMemory};

use crate::copies::{Copies, MOST};
use crate::errno::{Errno, Result};
use crate::stop::Stop;

/// The address of a `T` in guest memory, unchecked, of any alignment.
#[derive(Debug)]
pub(crate) struct GuestPtr<T> {
    address: u32,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for GuestPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for GuestPtr<T> {}

impl<T: Layout> GuestPtr<T> {
    pub(crate) const fn new(address: u32) -> Self {
        Self {
            address,
            kind: PhantomData,
        }
    }

    /// The number itself.
    pub(crate) const fn address(self) -> u32 {
        self.address
    }

    fn bytes(self) -> GuestSlice {
        self.array(1)
    }

    /// The bytes of `count` values starting here; a range beyond 32 bits is one that no memory has.
    pub(crate) fn array(self, count: u32) -> GuestSlice {
        GuestSlice {
            address: self.address,
            len: u64::from(count) * T::SIZE as u64,
        }
    }

    /// The `index`th value after this one, or EFAULT beyond 32 bits.
    pub(crate) fn at(self, index: u32) -> Result<Self> {
        let address = u64::from(self.address) + u64::from(index) * T::SIZE as u64;
        u32::try_from(address)
            .map(Self::new)
            .map_err(|_| Errno::Fault)
    }
}

/// A range of guest memory, unchecked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuestSlice {
    address: u32,
    len: u64,
}

impl GuestSlice {
    pub(crate) const fn new(address: u32, len: u32) -> Self {
        Self {
            address,
            len: len as u64,
        }
    }

    pub(crate) const fn len(self) -> u64 {
        self.len
    }

    /// The pieces of at most `len` bytes that it consists of.
    pub(crate) fn pieces(self, len: u64) -> impl Iterator<Item = Self> {
        let Self { address, len: all } = self;
        (0..all.div_ceil(len)).map(move |index| Self {
            address: address.wrapping_add((index * len) as u32),
            len: len.min(all - index * len),
        })
    }

    /// Its first `len` bytes, or all of it if it is shorter.
    pub(crate) fn first(self, len: u64) -> Self {
        Self {
            len: self.len.min(len),
            ..self
        }
    }

    /// Where it lies, if it lies in a memory of `size` bytes. An empty range lies everywhere.
    pub(crate) fn check(self, size: usize) -> Result<std::ops::Range<usize>> {
        if self.len == 0 {
            return Ok(0..0);
        }
        let start = u64::from(self.address);
        let end = start + self.len;
        if end > size as u64 {
            return Err(Errno::Fault);
        }
        Ok(start as usize..end as usize)
    }
}

/// Something with a fixed layout in guest memory, little-endian.
pub(crate) trait Layout: Sized {
    /// Bytes.
    const SIZE: usize;
    /// Reads one from exactly `SIZE` bytes.
    fn decode(bytes: &[u8]) -> Self;
    /// Writes one to exactly `SIZE` bytes.
    fn encode(&self, bytes: &mut [u8]);
}

macro_rules! integer_layouts {
    ($($int:ty),*) => {$(
        impl Layout for $int {
            const SIZE: usize = size_of::<$int>();
            #[inline]
            fn decode(bytes: &[u8]) -> Self {
                let mut array = [0; size_of::<$int>()];
                array.copy_from_slice(bytes);
                Self::from_le_bytes(array)
            }
            #[inline]
            fn encode(&self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
integer_layouts!(u8, u16, u32, u64);

/// An iovec: a piece of a scattered buffer.
impl Layout for GuestSlice {
    const SIZE: usize = 8;
    #[inline]
    fn decode(bytes: &[u8]) -> Self {
        Self::new(u32::decode(&bytes[..4]), u32::decode(&bytes[4..8]))
    }
    #[inline]
    fn encode(&self, bytes: &mut [u8]) {
        self.address.encode(&mut bytes[..4]);
        (self.len as u32).encode(&mut bytes[4..8]);
    }
}

/// The guest as one call sees it: its memory, and whether it is to stop.
pub(crate) struct Guest<'a> {
    memory: Memory<'a>,
    stop: Stop<'a>,
}

/// A guest's memory: its own, or one that threads share.
enum Memory<'a> {
    Own(GuestMemory<'a>),
    Shared(Copies),
}

impl<'a> Guest<'a> {
    pub(crate) fn new(memory: GuestMemory<'a>, stop: Stop<'a>) -> Self {
        let memory = Memory::Own(memory);
        Self { memory, stop }
    }

    /// One whose memory threads share.
    pub(crate) fn sharing(memory: SharedMemory, stop: Stop<'a>) -> Self {
        let memory = Memory::Shared(Copies::of(memory));
        Self { memory, stop }
    }

    /// Bytes of its memory.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        match &self.memory {
            Memory::Own(memory) => memory.len(),
            Memory::Shared(copies) => copies.size(),
        }
    }

    /// The memory itself, if it is the guest's own; what is written is asked for by its range.
    #[inline]
    pub(crate) fn own_memory(&mut self) -> Option<&mut GuestMemory<'a>> {
        match &mut self.memory {
            Memory::Own(memory) => Some(memory),
            Memory::Shared(_) => None,
        }
    }

    /// How many bytes can be asked for at once.
    #[inline]
    pub(crate) fn most_at_once(&self) -> u64 {
        match &self.memory {
            Memory::Own(_) => u64::MAX,
            Memory::Shared(_) => MOST as u64,
        }
    }

    pub(crate) fn stop(&self) -> Stop<'a> {
        self.stop
    }

    /// Says EFAULT now for a range that will be written later.
    #[inline]
    pub(crate) fn check(&self, slice: GuestSlice) -> Result<()> {
        slice.check(self.size()).map(|_| ())
    }

    /// Says EFAULT now for a result that will be written later.
    #[inline]
    pub(crate) fn check_ptr<T: Layout>(&self, ptr: GuestPtr<T>) -> Result<()> {
        self.check(ptr.bytes())
    }

    #[inline]
    pub(crate) fn bytes(&self, slice: GuestSlice) -> Result<&[u8]> {
        let range = slice.check(self.size())?;
        match &self.memory {
            Memory::Own(memory) => Ok(&memory[range]),
            Memory::Shared(copies) => copies.bytes(range),
        }
    }

    #[inline]
    pub(crate) fn bytes_mut(&mut self, slice: GuestSlice) -> Result<&mut [u8]> {
        let range = slice.check(self.size())?;
        match &mut self.memory {
            Memory::Own(memory) => memory.slice_mut(range).ok_or(Errno::Fault),
            Memory::Shared(copies) => copies.bytes_mut(range),
        }
    }

    /// Copies `bytes` to a range that was checked.
    pub(crate) fn put(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        match &mut self.memory {
            Memory::Own(memory) => memory.write(offset, bytes).ok_or(Errno::Fault),
            Memory::Shared(copies) => copies.write(offset, bytes),
        }
    }

    #[inline]
    pub(crate) fn read<T: Layout>(&self, ptr: GuestPtr<T>) -> Result<T> {
        self.bytes(ptr.bytes()).map(T::decode)
    }

    #[inline]
    pub(crate) fn write<T: Layout>(&mut self, ptr: GuestPtr<T>, value: T) -> Result<()> {
        value.encode(self.bytes_mut(ptr.bytes())?);
        Ok(())
    }
}
