//! The names of an object's functions and stubs, for the system's tools.

use crate::compile::Unit;
use crate::error::CompileError;
use crate::link::Text;
use crate::module::{Entity, ModuleInfo};
use crate::object::{Symbol, SymbolTable};
use crate::strings::Strings;
use crate::translate::Namespace;
use precast_abi::NONE;

/// Names every piece of the text.
pub(crate) fn all(module: &ModuleInfo<'_>, text: &Text) -> Result<SymbolTable, CompileError> {
    let mut strings = Strings::new();
    let mut symbols = Vec::with_capacity(text.pieces().len());
    for piece in text.pieces() {
        let unit = Unit::from_symbol(&piece.name);
        let name = match unit.and_then(|unit| known_name(module, unit)) {
            Some(name) => strings.symbol(name)?,
            None => strings.append(&generic_name(unit))?,
        };
        symbols.push(Symbol {
            name,
            offset: piece.offset,
            size: piece.code.bytes.len() as u32,
        });
    }
    let strings = strings.into_bytes();
    Ok(SymbolTable { symbols, strings })
}

/// Names the exported functions, in the metadata's string table.
pub(crate) fn exported<'a>(
    module: &ModuleInfo<'a>,
    text: &Text,
    strings: &mut Strings<'a>,
) -> Result<Vec<Symbol>, CompileError> {
    let mut symbols = Vec::new();
    let pieces = text.pieces();
    for export in &module.exports {
        let Entity::Function(function) = export.entity else {
            continue;
        };
        let offset = text.offset(Namespace::Function, function.as_u32());
        // A symbol without a name would be none.
        if offset == NONE || export.name.is_empty() {
            continue;
        }
        let place = pieces.binary_search_by_key(&offset, |piece| piece.offset);
        symbols.push(Symbol {
            name: strings.symbol(export.name)?,
            offset,
            size: place.map_or(0, |place| pieces[place].code.bytes.len() as u32),
        });
    }
    Ok(symbols)
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
