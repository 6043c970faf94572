//! Copies of ranges of a memory that threads share.
//!
//! Nothing can refer to the bytes of such a memory, since other threads write when they like. So
//! one call of WASI works on copies: what it reads is copied before, what it writes after. Of
//! what it was given to write to, only bytes that it has changed are written back: the rest may have
//! changed meanwhile.

use std::cell::{OnceCell, RefCell};
use std::ops::Range;

use precast::SharedMemory;

use crate::errno::{Errno, Result};

/// How many bytes one copy may have; calls that may be short are cut to it.
pub(crate) const MOST: usize = 1 << 20;

/// The memory, and the copies that one call has made.
pub(crate) struct Copies {
    memory: SharedMemory,
    read: OnceCell<Box<Copy>>,
    written: RefCell<Option<Written>>,
}

/// A copy that was read, and the next one.
struct Copy {
    bytes: Box<[u8]>,
    next: OnceCell<Box<Copy>>,
}

/// A range that is being written.
struct Written {
    start: usize,
    before: Box<[u8]>,
    now: Box<[u8]>,
}

impl Copies {
    pub(crate) fn of(memory: SharedMemory) -> Copies {
        Copies {
            memory,
            read: OnceCell::new(),
            written: RefCell::new(None),
        }
    }

    /// Bytes that the memory has by now. It never shrinks.
    pub(crate) fn size(&self) -> usize {
        usize::try_from(self.memory.len()).unwrap_or(usize::MAX)
    }

    /// A copy of a range that was checked to be within.
    pub(crate) fn bytes(&self, range: Range<usize>) -> Result<&[u8]> {
        self.flush();
        let bytes = self.copy(range)?;
        let mut place = &self.read;
        while let Some(copy) = place.get() {
            place = &copy.next;
        }
        let copy = place.get_or_init(|| {
            let next = OnceCell::new();
            Box::new(Copy { bytes, next })
        });
        Ok(&copy.bytes)
    }

    /// A copy to write to, which reaches the memory with the next access or when the call is over.
    pub(crate) fn bytes_mut(&mut self, range: Range<usize>) -> Result<&mut [u8]> {
        self.flush();
        let start = range.start;
        let before = self.copy(range)?;
        let now = before.clone();
        let written = self.written.get_mut();
        Ok(&mut written.insert(Written { start, before, now }).now)
    }

    /// Writes at once.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        self.flush();
        (self.memory.write(offset as u64, bytes)).map_err(|_| Errno::Fault)
    }

    fn copy(&self, range: Range<usize>) -> Result<Box<[u8]>> {
        if range.len() > MOST {
            return Err(Errno::Nomem);
        }
        let mut bytes = vec![0; range.len()].into_boxed_slice();
        let read = self.memory.read(range.start as u64, &mut bytes);
        read.map_err(|_| Errno::Fault)?;
        Ok(bytes)
    }

    /// Writes what has changed.
    fn flush(&self) {
        let Some(Written { start, before, now }) = self.written.borrow_mut().take() else {
            return;
        };
        let differs = |index: &usize| before[*index] != now[*index];
        let mut next = 0;
        while let Some(first) = (next..now.len()).find(differs) {
            next = (first..now.len())
                .find(|index| !differs(index))
                .unwrap_or(now.len());
            // It was within when it was copied, and memories do not shrink.
            let _ = (self.memory).write((start + first) as u64, &now[first..next]);
        }
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use precast::MemoryType;

    fn memory() -> SharedMemory {
        let ty = MemoryType {
            shared: true,
            ..MemoryType::new(32, Some(32))
        };
        SharedMemory::new(ty).expect("a memory")
    }

    fn get<const N: usize>(memory: &SharedMemory, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        memory.read(at, &mut bytes).expect("within");
        bytes
    }

    #[test]
    fn only_what_was_changed_is_written_back() {
        let memory = memory();
        let mut copies = Copies::of(memory.clone());
        let bytes = copies.bytes_mut(0..6).expect("within");
        bytes[1] = b'a';
        bytes[4] = b'b';
        memory.write(2, b"xy").expect("another thread's");
        assert_eq!(&get(&memory, 0), b"\0\0xy\0\0");
        assert_eq!(copies.bytes(0..6), Ok(&b"\0axyb\0"[..]));
        copies.bytes_mut(5..6).expect("within")[0] = b'c';
        drop(copies);
        assert_eq!(&get(&memory, 0), b"\0axybc");
    }

    #[test]
    fn copies_that_were_read_stay_as_they_were() {
        let memory = memory();
        let copies = Copies::of(memory.clone());
        let first = copies.bytes(0..2).expect("within");
        memory.write(0, b"ab").expect("within");
        assert_eq!(copies.bytes(0..2), Ok(&b"ab"[..]));
        assert_eq!(first, b"\0\0");
        assert_eq!(copies.bytes(0..MOST + 1), Err(Errno::Nomem));
        assert_eq!(copies.size(), 32 << 16);
    }
}
