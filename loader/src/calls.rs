//! Calls as they were found on a stack. To find them has to be quick, for every trap does it; what they
//! are is looked up when somebody asks.

use crate::module::Module;
use crate::registry;
use crate::trap::Frame;

/// How many frames are kept at each end of a deep stack. A power of two: a stack may be a hundred
/// thousand frames deep.
pub(crate) const ENDS: usize = 64;

/// How many frames are followed from the innermost on: to follow a hundred thousand takes longer than to
/// call them. The other end of a deeper stack is looked for from there.
const MOST: usize = 2048;

/// The first and the last few return addresses of a sequence.
#[derive(Default)]
pub(crate) struct Ends {
    first: Vec<usize>,
    /// A ring, whose oldest entry is at `seen % ENDS`.
    last: Vec<usize>,
    seen: usize,
    /// Whether `last` is in order, and what came before was not counted to its end.
    is_cut: bool,
}

impl Ends {
    #[inline]
    pub(crate) fn push(&mut self, pc: usize) {
        if self.first.len() < ENDS {
            self.first.push(pc);
            return;
        }
        match self.last.get_mut(self.seen % ENDS) {
            Some(oldest) => *oldest = pc,
            None => {
                self.last.reserve_exact(ENDS - self.last.len());
                self.last.push(pc);
            }
        }
        self.seen += 1;
    }

    /// Whether frames have been followed far enough.
    pub(crate) fn is_full(&self) -> bool {
        self.seen >= MOST
    }

    /// Ends the sequence with these, the last one first, after an unknown number of others.
    pub(crate) fn end_with(&mut self, mut last: Vec<usize>) {
        last.reverse();
        // What the ring held is in the middle now.
        self.seen += last.len();
        self.last = last;
        self.is_cut = true;
    }

    /// Keeps open the modules that the addresses are in.
    pub(crate) fn into_calls(mut self) -> Calls {
        if self.seen > ENDS && !self.is_cut {
            self.last.rotate_left(self.seen % ENDS);
        }
        let mut calls = Calls {
            inner: self.first.len(),
            omitted: self.seen - self.last.len(),
            is_cut: self.is_cut,
            pcs: self.first,
            ..Calls::default()
        };
        calls.pcs.append(&mut self.last);
        calls.open_modules();
        calls
    }
}

/// Return addresses in guest code.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    /// Innermost first; of a deep stack the two ends. Some may be in stubs, or in no code at all.
    pcs: Vec<usize>,
    /// How many of them are of the inner end.
    inner: usize,
    /// How many there are between the ends.
    omitted: usize,
    /// Whether there are more than that.
    is_cut: bool,
    /// Whose code they are in. Most often it is one: that needs no allocation.
    module: Option<Module>,
    others: Vec<Module>,
}

/// What the calls are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames {
    pub(crate) frames: Vec<Frame>,
    pub(crate) omitted: usize,
    /// Whether more than that were omitted.
    pub(crate) is_cut: bool,
}

impl Calls {
    fn open_modules(&mut self) {
        for index in 0..self.pcs.len() {
            let pc = self.pcs[index];
            if self.module_of(pc).is_some() {
                continue;
            }
            match registry::module_at(pc.wrapping_sub(1)) {
                Some(module) if self.module.is_none() => self.module = Some(module),
                Some(module) => self.others.push(module),
                None => {}
            }
        }
    }

    /// The module that a return address is in, and the offset of the call in its text.
    fn module_of(&self, pc: usize) -> Option<(&Module, u32)> {
        self.module.iter().chain(&self.others).find_map(|module| {
            let offset = module.text_offset(pc.wrapping_sub(1))?;
            Some((module, offset))
        })
    }

    /// Looks up what the calls are.
    pub(crate) fn frames(&self) -> Frames {
        let (first, last) = self.pcs.split_at(self.inner);
        let (mut frames, mut outer) = (self.frames_of(first), self.frames_of(last));
        let inlined = frames.len() > first.len() || outer.len() > last.len();
        let mut omitted = self.omitted;
        if omitted > 0 {
            // Each end has as many frames as return addresses were kept.
            let surplus = outer.len().saturating_sub(ENDS);
            omitted += surplus + frames.len().saturating_sub(ENDS);
            frames.truncate(ENDS);
            outer.drain(..surplus);
        }
        frames.append(&mut outer);
        Frames {
            frames,
            omitted,
            // What was inlined into the functions between was not counted.
            is_cut: self.is_cut || (inlined && omitted > 0),
        }
    }

    fn frames_of(&self, pcs: &[usize]) -> Vec<Frame> {
        let mut frames: Vec<Frame> = Vec::with_capacity(pcs.len());
        // Deep stacks are those of recursions: mostly one call again and again.
        let (mut before, mut begin) = (None, 0);
        for &pc in pcs {
            if before == Some(pc) {
                let end = frames.len();
                frames.extend_from_within(begin..);
                begin = end;
                continue;
            }
            (before, begin) = (Some(pc), frames.len());
            self.push_frames(pc, &mut frames);
        }
        frames
    }

    /// Appends the guest functions that a return address is in, the innermost first: more than one where
    /// some were inlined, none in a stub.
    fn push_frames(&self, pc: usize, frames: &mut Vec<Frame>) {
        let Some((module, offset)) = self.module_of(pc) else {
            return;
        };
        let locations = module.metadata().locations_at(offset);
        frames.extend(locations.map(|location| Frame {
            module: module.clone(),
            function: location.function,
            wasm_offset: location.wasm_offset,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_stacks_keep_their_ends() {
        let mut ends = Ends::default();
        (0..1000).for_each(|pc| ends.push(pc));
        let calls = ends.into_calls();
        let expected: Vec<usize> = (0..64).chain(936..1000).collect();
        assert_eq!(calls.pcs, expected);
        assert_eq!((calls.inner, calls.omitted), (64, 1000 - 128));
    }
}
