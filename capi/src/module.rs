//! Modules: opening objects, and what they import and export.

use std::ffi::{CString, c_char, c_void};
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use loader::{ExternType, Module, OpenError, Trust};

use crate::error::{self, Failure, Result, answer, given};
use crate::text;
use crate::value::{FUNC, GLOBAL, MEMORY, TABLE, TAG};

/// `precast_module`
pub(crate) struct CModule {
    pub(crate) module: Module,
    name: OnceLock<CString>,
    /// Read when first asked for.
    imports: OnceLock<Box<[Item]>>,
    exports: OnceLock<Box<[Item]>>,
}

/// What `precast_item` points to.
struct Item {
    module: CString,
    name: CString,
    name_len: usize,
    kind: u32,
    ty: CString,
}

/// `precast_item`
#[repr(C)]
struct CItem {
    module: *const c_char,
    name: *const c_char,
    name_len: usize,
    kind: u32,
    ty: *const c_char,
}

impl CModule {
    fn new(module: Module) -> CModule {
        CModule {
            module,
            name: OnceLock::new(),
            imports: OnceLock::new(),
            exports: OnceLock::new(),
        }
    }

    fn imports(&self) -> Result<&[Item]> {
        if let Some(items) = self.imports.get() {
            return Ok(items);
        }
        let imports = self.module.imports()?.into_iter();
        let items = imports.map(|import| Item::new(import.module, import.name, &import.ty));
        let items = items.collect();
        Ok(self.imports.get_or_init(|| items))
    }

    fn exports(&self) -> Result<&[Item]> {
        if let Some(items) = self.exports.get() {
            return Ok(items);
        }
        let exports = self.module.exports()?.into_iter();
        let items = exports.map(|export| Item::new("", export.name, &export.ty));
        let items = items.collect();
        Ok(self.exports.get_or_init(|| items))
    }
}

impl Item {
    fn new(module: &str, name: &str, ty: &ExternType) -> Item {
        let kind = match ty {
            ExternType::Func(_) => FUNC,
            ExternType::Table(_) => TABLE,
            ExternType::Memory(_) => MEMORY,
            ExternType::Global(_) => GLOBAL,
            ExternType::Tag(_) => TAG,
        };
        let words = match ty {
            // As the functions that take a type want it: without a word before it.
            ExternType::Func(ty) => ty.to_string(),
            other => other.to_string(),
        };
        Item {
            module: text::owned(module),
            name: text::owned(name),
            name_len: name.len(),
            kind,
            ty: text::owned(&words),
        }
    }
}

fn open(
    out: Option<&mut MaybeUninit<*mut CModule>>,
    open: impl FnOnce() -> Result<std::result::Result<Module, OpenError>>,
) -> Failure {
    error::make(out, || Ok(CModule::new(open()??)))
}

/// `precast_module_open`
#[unsafe(no_mangle)]
extern "C" fn precast_module_open(
    path: *const c_char,
    out: Option<&mut MaybeUninit<*mut CModule>>,
) -> Failure {
    open(out, || {
        let path = text::path(path, "the path")?;
        // SAFETY: the program vouches for the file, as the header asks.
        Ok(unsafe { Module::open(path) })
    })
}

/// `precast_module_open_sealed`
#[unsafe(no_mangle)]
extern "C" fn precast_module_open_sealed(
    path: *const c_char,
    out: Option<&mut MaybeUninit<*mut CModule>>,
) -> Failure {
    open(out, || {
        let path = text::path(path, "the path")?;
        // SAFETY: the program vouches for the file, as the header asks.
        Ok(unsafe { Module::open_sealed(path) })
    })
}

/// What these keys sign: `count` texts, each a line or a file as minisign writes it.
fn trust(keys: *const *const c_char, count: usize) -> Result<Trust> {
    let mut trust = Trust::new();
    for &key in text::array(keys, count, "the array of keys")? {
        let key = text::given(key, "a key")?;
        let added = trust.add_key(key);
        added.map_err(|error| error::misuse(format!("a key: {error}")))?;
    }
    Ok(trust)
}

/// `precast_module_open_trusted`
#[unsafe(no_mangle)]
extern "C" fn precast_module_open_trusted(
    path: *const c_char,
    keys: *const *const c_char,
    key_count: usize,
    out: Option<&mut MaybeUninit<*mut CModule>>,
) -> Failure {
    open(out, || {
        let path = text::path(path, "the path")?;
        Ok(Module::open_trusted(path, &trust(keys, key_count)?))
    })
}

/// `precast_module_from_trusted_bytes`
#[unsafe(no_mangle)]
extern "C" fn precast_module_from_trusted_bytes(
    bytes: *const u8,
    len: usize,
    keys: *const *const c_char,
    key_count: usize,
    out: Option<&mut MaybeUninit<*mut CModule>>,
) -> Failure {
    open(out, || {
        let bytes = text::array(bytes, len, "the object")?;
        Ok(Module::from_trusted_bytes(bytes, &trust(keys, key_count)?))
    })
}

/// `precast_module_from_bytes`
#[unsafe(no_mangle)]
extern "C" fn precast_module_from_bytes(
    bytes: *const u8,
    len: usize,
    out: Option<&mut MaybeUninit<*mut CModule>>,
) -> Failure {
    open(out, || {
        let bytes = text::array(bytes, len, "the object")?;
        // SAFETY: the program vouches for the bytes, as the header asks.
        Ok(unsafe { Module::from_bytes(bytes) })
    })
}

/// `precast_module_from_static`
#[unsafe(no_mangle)]
extern "C" fn precast_module_from_static(
    object: *const c_void,
    out: Option<&mut MaybeUninit<*mut CModule>>,
) -> Failure {
    open(out, || {
        // SAFETY: the program vouches for the object that it was linked with, as the header asks.
        Ok(unsafe { Module::from_static(object.cast()) })
    })
}

/// `precast_module_delete`
#[unsafe(no_mangle)]
extern "C" fn precast_module_delete(module: Option<Box<CModule>>) {
    answer((), || {
        drop(module);
        Some(())
    });
}

/// `precast_module_name`
#[unsafe(no_mangle)]
extern "C" fn precast_module_name(module: Option<&CModule>) -> *const c_char {
    answer(c"".as_ptr(), || {
        let module = module?;
        let name = module
            .name
            .get_or_init(|| text::owned(module.module.name()));
        Some(name.as_ptr())
    })
}

/// `precast_module_import_count`
#[unsafe(no_mangle)]
extern "C" fn precast_module_import_count(module: Option<&CModule>) -> usize {
    answer(0, || Some(module?.imports().ok()?.len()))
}

/// `precast_module_export_count`
#[unsafe(no_mangle)]
extern "C" fn precast_module_export_count(module: Option<&CModule>) -> usize {
    answer(0, || Some(module?.exports().ok()?.len()))
}

fn tell(items: &[Item], index: usize, out: Option<&mut MaybeUninit<CItem>>) -> Result<()> {
    let out = given(out, "the place for the result")?;
    let found = items.get(index);
    let item = found.ok_or_else(|| {
        error::misuse(format!(
            "there are {} of them: none is {index}",
            items.len()
        ))
    })?;
    out.write(CItem {
        module: item.module.as_ptr(),
        name: item.name.as_ptr(),
        name_len: item.name_len,
        kind: item.kind,
        ty: item.ty.as_ptr(),
    });
    Ok(())
}

/// `precast_module_import`
#[unsafe(no_mangle)]
extern "C" fn precast_module_import(
    module: Option<&CModule>,
    index: usize,
    out: Option<&mut MaybeUninit<CItem>>,
) -> Failure {
    error::run(|| tell(given(module, "the module")?.imports()?, index, out))
}

/// `precast_module_export`
#[unsafe(no_mangle)]
extern "C" fn precast_module_export(
    module: Option<&CModule>,
    index: usize,
    out: Option<&mut MaybeUninit<CItem>>,
) -> Failure {
    error::run(|| tell(given(module, "the module")?.exports()?, index, out))
}

/// `precast_module_custom_section`
#[unsafe(no_mangle)]
extern "C" fn precast_module_custom_section(
    module: Option<&CModule>,
    name: *const c_char,
    len: Option<&mut MaybeUninit<usize>>,
) -> *const u8 {
    answer(std::ptr::null(), || {
        let name = text::given(name, "the name").ok()?;
        let bytes = module?.module.custom_section(name)?;
        len?.write(bytes.len());
        Some(bytes.as_ptr())
    })
}
