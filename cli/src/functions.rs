//! The machine code of single functions in a cache: what of a module that has changed is still known.
//!
//! A directory within that of the cache, trusted and checked as that is.

use std::sync::atomic::{AtomicU32, Ordering};

use precast_compiler::{FunctionCache, FunctionKey};

use crate::cache::{Cache, Key};

/// The cache of one compilation.
pub(crate) struct Functions {
    cache: Cache,
    /// The part of the keys that tells builds of the compiler apart.
    build: String,
    found: AtomicU32,
}

impl Functions {
    /// Those of a cache.
    ///
    /// # Errors
    ///
    /// As those of [`Cache::open_at`].
    pub(crate) fn of(cache: &Cache) -> Result<Functions, String> {
        Ok(Functions {
            cache: cache.part("functions", "fn")?,
            build: Key::build(),
            found: AtomicU32::new(0),
        })
    }

    /// How many functions were found so far.
    pub(crate) fn found(&self) -> u32 {
        self.found.load(Ordering::Relaxed)
    }

    fn key(&self, key: &FunctionKey) -> Key {
        Key::of_build(&self.build, key)
    }
}

impl FunctionCache for Functions {
    fn get(&self, key: &FunctionKey) -> Option<Vec<u8>> {
        let found = self.cache.read(&self.key(key))?;
        self.found.fetch_add(1, Ordering::Relaxed);
        Some(found)
    }

    fn put(&self, key: &FunctionKey, entry: &[u8]) {
        // A cache that cannot be written to is told of when the whole object is stored.
        let _ = self.cache.store(&self.key(key), entry);
    }
}
