//! The cache of compiled modules: one per user, and those that `precast compile --cache` names.
//!
//! An entry is an object with a checksum behind it, under a name made of everything that went
//! into it. Opening an object is trusting it, so nobody else may be able to write here: the
//! directory and its entries must belong to the user and be writable by no one else, and no one
//! else may be able to put another directory in its place.
//! Entries appear by a rename, so that concurrent runs see whole ones; a damaged one counts as
//! absent, and the next compilation replaces it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::failure::reason;
use crate::output;

/// Ends every entry, after its checksum.
const TRAILER_MAGIC: &[u8; 8] = b"PCCACHE1";
const SUM_LEN: usize = 32;

/// An entry that is not older counts as used a moment ago.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// A directory that may be trusted.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    /// What the names of its entries end in.
    ending: &'static str,
}

impl Cache {
    /// The user's cache.
    ///
    /// # Errors
    ///
    /// Why there is none: in one line, with what to do about it.
    pub(crate) fn open() -> Result<Cache, String> {
        let dir = default_dir().ok_or("neither XDG_CACHE_HOME nor HOME is set")?;
        Cache::open_at(dir)
    }

    /// The cache in `dir`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// As [`Cache::open`].
    pub(crate) fn open_at(dir: PathBuf) -> Result<Cache, String> {
        // The directory above it is looked at, too.
        let dir = std::path::absolute(&dir).unwrap_or(dir);
        let shown = dir.display();
        let create = || {
            dir.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::DirBuilder::new().mode(0o700).create(&dir)
        };
        let found = match fs::symlink_metadata(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match create() {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(format!("{shown}: {}", reason(&error)));
                }
                _ => fs::symlink_metadata(&dir),
            },
            found => found,
        };
        let found = found.map_err(|error| format!("{shown}: {}", reason(&error)))?;
        if !found.is_dir() {
            return Err(format!("{shown} is not a directory"));
        }
        check_private(&found).map_err(|problem| format!("{shown} {problem}"))?;
        if let Some(parent) = dir.parent() {
            let found = fs::metadata(parent)
                .map_err(|error| format!("{}: {}", parent.display(), reason(&error)))?;
            check_parent(&found).map_err(|problem| format!("{} {problem}", parent.display()))?;
        }
        Ok(Cache { dir, ending: "so" })
    }

    /// The path of the entry, if it is there, ours, and whole.
    pub(crate) fn find(&self, key: &Key) -> Option<PathBuf> {
        let path = self.path(key);
        let found = fs::symlink_metadata(&path).ok()?;
        if !found.is_file() || check_private(&found).is_err() {
            return None;
        }
        is_whole(&fs::read(&path).ok()?).then_some(path)
    }

    /// The bytes of the entry, if it is there, ours, and whole. It counts as used a moment ago,
    /// for those who remove what was not used for long.
    pub(crate) fn read(&self, key: &Key) -> Option<Vec<u8>> {
        let path = self.path(key);
        let found = fs::symlink_metadata(&path).ok()?;
        if !found.is_file() || check_private(&found).is_err() {
            return None;
        }
        let mut entry = fs::read(&path).ok()?;
        if !is_whole(&entry) {
            return None;
        }
        entry.truncate(entry.len() - SUM_LEN - TRAILER_MAGIC.len());
        let now = std::time::SystemTime::now();
        let age = found
            .modified()
            .ok()
            .and_then(|then| now.duration_since(then).ok());
        if age.is_none_or(|age| age > FRESH) {
            let now = fs::FileTimes::new().set_modified(now);
            let touched = fs::File::options().append(true).open(&path);
            // It is an entry whether its time can be set or not.
            let _ = touched.and_then(|file| file.set_times(now));
        }
        Some(entry)
    }

    /// The cache in a directory of this name within, whose entries end in `ending`.
    ///
    /// # Errors
    ///
    /// As [`Cache::open`].
    pub(crate) fn part(&self, name: &str, ending: &'static str) -> Result<Cache, String> {
        let cache = Cache::open_at(self.dir.join(name))?;
        Ok(Cache { ending, ..cache })
    }

    /// Stores an object; the path of the entry.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn store(&self, key: &Key, object: &[u8]) -> io::Result<PathBuf> {
        let path = self.path(key);
        let mut entry = Vec::with_capacity(object.len() + SUM_LEN + TRAILER_MAGIC.len());
        entry.extend_from_slice(object);
        entry.extend_from_slice(&Sha256::digest(object));
        entry.extend_from_slice(TRAILER_MAGIC);
        output::replace_with_mode(&path, &entry, 0o600)?;
        Ok(path)
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.dir.join(format!("{}.{}", key.0, self.ending))
    }
}

/// Where the cache is, by the XDG base directory specification.
fn default_dir() -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|dir| dir.join("precast"))
}

/// Whether only this user can write there.
fn check_private(found: &fs::Metadata) -> Result<(), String> {
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err("belongs to another user".to_owned());
    }
    if found.mode() & 0o022 != 0 {
        return Err("may be written by others: take that right away (chmod go-w)".to_owned());
    }
    Ok(())
}

/// Whether nobody else can put another directory in the place of the cache.
fn check_parent(found: &fs::Metadata) -> Result<(), String> {
    let own = [0, rustix::process::geteuid().as_raw()].contains(&found.uid());
    if !own {
        return Err("belongs to another user".to_owned());
    }
    const STICKY: u32 = 0o1000;
    if found.mode() & 0o002 != 0 && found.mode() & STICKY == 0 {
        return Err("may be written by everybody: take that right away (chmod o-w)".to_owned());
    }
    Ok(())
}

/// Whether the checksum behind the object in `entry` is right.
fn is_whole(entry: &[u8]) -> bool {
    let Some(rest) = entry.strip_suffix(TRAILER_MAGIC) else {
        return false;
    };
    let Some((object, sum)) = rest.split_last_chunk::<SUM_LEN>() else {
        return false;
    };
    Sha256::digest(object).as_slice() == sum
}

/// Stands for everything that goes into an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// The key of a module (its file's bytes) that is compiled with `options` (in words).
    pub(crate) fn new(module: &[u8], options: &str) -> Key {
        let mut hash = Sha256::new();
        for part in [&Key::build(), options] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update(module);
        Key::hex(hash)
    }

    /// The key of something with a key of its own, made by `build`.
    pub(crate) fn of_build(build: &str, key: &[u8; 32]) -> Key {
        let mut hash = Sha256::new();
        hash.update(key);
        hash.update(build);
        Key::hex(hash)
    }

    /// This version and build of the compiler.
    pub(crate) fn build() -> String {
        let abi = precast_abi::VERSION;
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "{version} abi {}.{} {}",
            abi.major,
            abi.minor,
            build_stamp()
        )
    }

    fn hex(hash: Sha256) -> Key {
        let bytes = hash.finalize();
        Key(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Tells builds of the same version apart: a compiler under development changes without its
/// version.
fn build_stamp() -> String {
    let found = std::env::current_exe().and_then(fs::metadata);
    found.map_or(String::new(), |m| {
        format!("{} {}.{}", m.size(), m.mtime(), m.mtime_nsec())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open_at(dir.path().join("a/precast")).unwrap();
        (dir, cache)
    }

    #[test]
    fn what_is_stored_is_found() {
        let (_dir, cache) = cache();
        let key = Key::new(b"module", "speed");
        assert_eq!(cache.find(&key), None);
        let path = cache.store(&key, b"object").unwrap();
        assert_eq!(cache.find(&key), Some(path.clone()));
        assert!(fs::read(path).unwrap().starts_with(b"object"));
        assert_eq!(cache.read(&key).unwrap(), b"object");
        assert_eq!(cache.find(&Key::new(b"module", "size")), None);
        assert_eq!(cache.find(&Key::new(b"other module", "speed")), None);
    }

    #[test]
    fn damage_counts_as_absence() {
        let (_dir, cache) = cache();
        let key = Key::new(b"module", "speed");
        let path = cache.store(&key, b"object").unwrap();
        let good = fs::read(&path).unwrap();
        for damaged in [&b""[..], b"short", &good[..good.len() - 1], &good[1..]] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(cache.find(&key), None);
        }
        let mut flipped = good.clone();
        flipped[3] ^= 1;
        fs::write(&path, &flipped).unwrap();
        assert_eq!(cache.find(&key), None);
        assert_eq!(cache.read(&key), None);
        cache.store(&key, b"object").unwrap();
        assert!(cache.find(&key).is_some());
    }

    #[test]
    fn what_others_may_write_is_not_trusted() {
        let (_dir, cache) = cache();
        let key = Key::new(b"module", "speed");
        let path = cache.store(&key, b"object").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(cache.find(&key), None);
        assert_eq!(fs::metadata(&cache.dir).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&cache.dir, fs::Permissions::from_mode(0o777)).unwrap();
        let refused = Cache::open_at(cache.dir.clone()).unwrap_err();
        assert!(refused.contains("chmod go-w"), "{refused}");
    }

    #[test]
    fn a_cache_that_others_can_replace_is_not_trusted() {
        let (dir, cache) = cache();
        let parent = dir.path().join("a");
        fs::set_permissions(&parent, fs::Permissions::from_mode(0o777)).unwrap();
        let refused = Cache::open_at(cache.dir.clone()).unwrap_err();
        assert!(refused.contains("chmod o-w"), "{refused}");
        // As /tmp: everybody may write, but only owners may rename.
        fs::set_permissions(&parent, fs::Permissions::from_mode(0o1777)).unwrap();
        Cache::open_at(cache.dir).unwrap();
    }

    #[test]
    fn a_link_is_not_a_directory() {
        let (dir, cache) = cache();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&cache.dir, &link).unwrap();
        assert!(Cache::open_at(link).is_err());
    }
}
