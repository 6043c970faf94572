//! The names of an object's functions and stubs, for the system's tools.

use crate::compile::Unit;
use crate::error::CompileError;
use crate::link::Text;
use crate::module::{Entity, ModuleInfo};
use crate::object::{Symbol, Symbols};
use crate::strings::Strings;
use crate::translate::Namespace;
use precast_abi::NONE;

/// Names every piece of the text. The strings so far are those of the metadata.
pub(crate) fn build<'a>(
    module: &ModuleInfo<'a>,
    text: &Text,
    mut strings: Strings<'a>,
) -> Result<Symbols, CompileError> {
    let in_metadata = strings.len() as usize;
    let mut all = Vec::with_capacity(text.pieces().len());
    for piece in text.pieces() {
        let unit = Unit::from_symbol(&piece.name);
        let name = match unit.and_then(|unit| known_name(module, unit)) {
            Some(name) => strings.symbol(name)?,
            None => strings.append(&generic_name(unit))?,
        };
        all.push(Symbol {
            name,
            offset: piece.offset,
            size: piece.code.bytes.len() as u32,
        });
    }
    let mut exported = Vec::new();
    for export in &module.exports {
        let Entity::Function(function) = export.entity else {
            continue;
        };
        let offset = text.offset(Namespace::Function, function.as_u32());
        // A symbol without a name would be none.
        if offset == NONE || export.name.is_empty() {
            continue;
        }
        let place = all.binary_search_by_key(&offset, |symbol| symbol.offset);
        exported.push(Symbol {
            name: strings.symbol(export.name)?,
            offset,
            size: place.map_or(0, |place| all[place].size),
        });
    }
    Ok(Symbols {
        all,
        exported,
        more_strings: strings.bytes()[in_metadata..].to_vec(),
    })
}

/// The name that the module gives to a piece of code.
fn known_name<'a>(module: &ModuleInfo<'a>, unit: Unit) -> Option<&'a str> {
    match unit {
        Unit::Function(index) => module.function_name(index).filter(|name| !name.is_empty()),
        Unit::Helper(helper) => Some(helper.symbol()),
        Unit::Init | Unit::Stub(_) => None,
    }
}

/// The name of a piece of code that the module does not name: the same in every compilation.
pub(crate) fn generic_name(unit: Option<Unit>) -> String {
    match unit {
        Some(Unit::Function(index)) => format!("wasm-function[{}]", index.as_u32()),
        Some(Unit::Init) => "precast.init".to_owned(),
        Some(Unit::Stub(stub)) => stub.display_name(),
        Some(Unit::Helper(helper)) => helper.symbol().to_owned(),
        None => "precast".to_owned(),
    }
}
