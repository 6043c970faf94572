//! The table of a guest's descriptors.

use crate::descriptor::{Descriptor, Object};
use crate::errno::{Errno, Result};
use crate::types::Rights;

/// A guest's descriptors by number. A new one gets the lowest free number, as in POSIX.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    slots: Vec<Option<Descriptor>>,
    /// How many may be open at once.
    limit: usize,
}

impl Table {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            slots: Vec::with_capacity(8.min(limit)),
            limit,
        }
    }

    /// Puts a descriptor at the lowest free number; EMFILE when too many are open.
    pub(crate) fn push(&mut self, descriptor: Descriptor) -> Result<u32> {
        let index = self.room()?;
        if index == self.slots.len() {
            self.slots.push(Some(descriptor));
        } else {
            self.slots[index] = Some(descriptor);
        }
        u32::try_from(index).map_err(|_| Errno::Mfile)
    }

    /// The number the next descriptor would get; EMFILE when too many are open.
    pub(crate) fn room(&self) -> Result<usize> {
        let index = self
            .slots
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.slots.len());
        if index >= self.limit {
            Err(Errno::Mfile)
        } else {
            Ok(index)
        }
    }

    #[inline]
    pub(crate) fn get(&self, fd: u32) -> Result<&Descriptor> {
        match self.slots.get(fd as usize) {
            Some(Some(descriptor)) => Ok(descriptor),
            _ => Err(Errno::Badf),
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor> {
        match self.slots.get_mut(fd as usize) {
            Some(Some(descriptor)) => Ok(descriptor),
            _ => Err(Errno::Badf),
        }
    }

    /// The descriptor, or ENOTCAPABLE if a right is missing.
    #[inline]
    pub(crate) fn capable(&mut self, fd: u32, needed: Rights) -> Result<&mut Descriptor> {
        let descriptor = self.get_mut(fd)?;
        if !descriptor.rights.has(needed) {
            return Err(Errno::Notcapable);
        }
        Ok(descriptor)
    }

    /// Whether reading or writing it may have to wait.
    #[inline]
    pub(crate) fn may_wait(&self, fd: u32) -> bool {
        match self.slots.get(fd as usize) {
            Some(Some(descriptor)) => match descriptor.object {
                Object::File(ref file) => file.waits,
                Object::Socket(_) => true,
                Object::Null | Object::Source(_) | Object::Captured(_) | Object::Directory(_) => {
                    false
                }
            },
            _ => false,
        }
    }

    /// Takes a descriptor out; its number is free.
    pub(crate) fn remove(&mut self, fd: u32) -> Result<Descriptor> {
        let slot = self.slots.get_mut(fd as usize).ok_or(Errno::Badf)?;
        slot.take().ok_or(Errno::Badf)
    }

    /// Moves `from` to the number `to`, closing what was there; both must be open.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> Result<()> {
        self.get(to)?;
        let moved = self.remove(from)?;
        // `to` was found above; if it was `from`, the slot is still there.
        match self.slots.get_mut(to as usize) {
            Some(slot) => *slot = Some(moved),
            None => return Err(Errno::Badf),
        }
        Ok(())
    }
}
