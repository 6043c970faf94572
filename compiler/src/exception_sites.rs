//! Calls whose exceptions the calling function may catch, as the code generator tells of them.

use cranelift_codegen::{
    CompiledCode, ExceptionContextLoc, FinalizedMachCallSite, FinalizedMachExceptionHandler,
};
use precast_abi::object::ExceptionHandler;

/// A call whose exceptions the calling function may catch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExceptionSite {
    /// Code offset of its return address.
    pub(crate) return_offset: u32,
    /// Bytes from the stack pointer at the call up to the frame pointer.
    pub(crate) frame_size: u32,
    /// Bytes from that stack pointer up to a word that holds the instance base.
    pub(crate) base: u32,
    /// The handlers, with code offsets.
    pub(crate) handlers: Box<[ExceptionHandler]>,
}

/// The sites of a function, in the order of its code. `None` where there is one that no object can
/// describe.
pub(crate) fn of(compiled: &CompiledCode) -> Option<Box<[ExceptionSite]>> {
    let sites = compiled.buffer.call_sites();
    let mut sites = sites
        .filter(|site| !site.exception_handlers.is_empty())
        .map(|site| read(&site))
        .collect::<Option<Box<[_]>>>()?;
    sites.sort_by_key(|site| site.return_offset);
    Some(sites)
}

/// The instance base comes first, then every handler.
fn read(site: &FinalizedMachCallSite<'_>) -> Option<ExceptionSite> {
    let (first, handlers) = site.exception_handlers.split_first()?;
    let FinalizedMachExceptionHandler::Context(ExceptionContextLoc::SPOffset(base)) = first else {
        return None;
    };
    let handlers = handlers.iter().map(|handler| match handler {
        FinalizedMachExceptionHandler::Tag(tag, offset) => Some(ExceptionHandler {
            what: tag.as_u32(),
            text_offset: *offset,
        }),
        _ => None,
    });
    Some(ExceptionSite {
        return_offset: site.ret_addr,
        frame_size: site.frame_offset?,
        base: *base,
        handlers: handlers.collect::<Option<_>>()?,
    })
}
