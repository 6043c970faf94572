//! What no single section tells: tables that cannot change, segments that need no code,
//! functions that can be referred to.

use super::facts::{Call, Facts};
use super::*;
use cranelift_codegen::entity::EntityRef;
use precast_abi::object::TypeKind;
use std::collections::{BTreeMap, BTreeSet};
use wasmparser::Operator;

/// Read-only arrays for indirect calls may take this many bytes in a module; tables beyond
/// that stay ordinary tables.
const MAX_CODE_TABLE_BYTES: u64 = 16 << 20;

/// Types may have arrays of their own as long as these take no more bytes than one in so many of
/// the code section, or than a small module need not mind. All others share one array.
const CODE_BYTES_PER_ARRAY_BYTE: u64 = 40;
const SMALL_CODE_TABLES: u64 = 16 << 10;

/// Bytes of an entry of an array that one type has for itself, and of one that is shared.
const OWN_ENTRY_BYTES: u64 = 4;
const SHARED_ENTRY_BYTES: u64 = 6;

/// Types whose numbers fit the arrays that are shared.
const MAX_SHARED_TYPES: usize = u16::MAX as usize;

/// The initial image may grow to this many bytes more than [`IMAGE_FACTOR`] times those of the
/// segments in it. A module that scatters bytes over its memory cannot blow up the object.
const MAX_IMAGE_PADDING: u64 = 64 << 20;
const IMAGE_FACTOR: u64 = 4;
const IMAGE_PAGE: u64 = 64 << 10;

/// Completes the model with what follows from all of it. Of `register_results` results none is
/// passed by the address of room for it.
pub(super) fn finish(
    module: &mut ModuleInfo<'_>,
    facts: Facts,
    register_results: usize,
) -> wasmparser::Result<()> {
    for index in &facts.written_globals {
        module.globals[GlobalIndex::from_u32(*index)].written = true;
    }
    for index in &facts.grown_memories {
        module.memories[MemoryIndex::from_u32(*index)].grown = true;
    }
    for index in &facts.grown_tables {
        module.tables[TableIndex::from_u32(*index)].grown = true;
    }
    for index in &facts.used_data {
        module.data[DataIndex::from_u32(*index)].used = true;
    }
    for index in &facts.used_elements {
        module.elements[ElemIndex::from_u32(*index)].used = true;
    }
    find_objects(module, &facts)?;
    let elements_may_trap = fold_elements(module, &facts, register_results);
    fold_data(module, elements_may_trap);
    module.sole_elements = sole_elements(module);
    find_callees(module, &facts);
    for index in &facts.legacy_tries {
        module.functions[FuncIndex::from_u32(*index)].has_legacy_try = true;
    }
    find_referred_functions(module, &facts)
}

/// Finds out whether instances need to know of the heap and of types with supertypes.
fn find_objects(module: &mut ModuleInfo<'_>, facts: &Facts) -> wasmparser::Result<()> {
    let types = || module.types.values();
    let is_of_objects = |ty: &FuncType| {
        let values = ty.params.iter().chain(&ty.results);
        ty.sub.kind != TypeKind::Function || values.copied().any(|ty| module.is_heap_ref(ty))
    };
    let mut inits = Vec::new();
    inits.extend(
        module
            .globals
            .values()
            .filter_map(|global| global.init.as_ref()),
    );
    inits.extend(module.tables.values().map(|table| &table.init));
    for segment in module.elements.values() {
        if let ElementItems::Values(values) = &segment.items {
            inits.extend(values);
        }
    }
    let mut makes_objects = facts.has_objects || types().any(is_of_objects);
    for init in inits {
        if let Init::Expr(expr) = init {
            for op in expr.get_operators_reader() {
                makes_objects |= features::is_of_objects(&op?);
            }
        }
    }
    let calls = facts.indirect_calls.keys();
    let mut called = calls.map(|&(_, ty)| &module.types[TypeIndex::from_u32(ty)]);
    let has_heap_def = makes_objects || called.any(|ty| !ty.sub.is_final);
    (module.makes_objects, module.has_heap_def) = (makes_objects, has_heap_def);
    Ok(())
}

/// Finds the tables that no one can change. Returns whether an active element segment may trap
/// at instantiation.
fn fold_elements(module: &mut ModuleInfo<'_>, facts: &Facts, register_results: usize) -> bool {
    let mut candidates = candidates(module, facts, register_results);
    let mut may_trap = false;
    for segment in module.elements.values() {
        let ElementMode::Active { table, offset } = &segment.mode else {
            continue;
        };
        let len = u64::from(segment.items.len());
        let in_bounds = known_range(offset, len, Some(module.tables[*table].min)).is_some();
        may_trap |= !in_bounds;
        // What comes after a trap must not be seen by anyone.
        if may_trap || matches!(segment.items, ElementItems::Values(_)) {
            candidates.remove(table);
        }
    }
    module.code_tables = code_tables(module, facts, &candidates);
    make_immutable(module, &candidates);
    may_trap
}

/// The tables that could be immutable, but for their segments.
fn candidates(
    module: &ModuleInfo<'_>,
    facts: &Facts,
    register_results: usize,
) -> BTreeSet<TableIndex> {
    let mut bytes = 0u64;
    let mut room_for = |table: &Table<'_>| {
        let entries = table.min.saturating_add(1);
        bytes = bytes.saturating_add(entries.saturating_mul(SHARED_ENTRY_BYTES));
        bytes <= MAX_CODE_TABLE_BYTES
    };
    // The stubs that stand for what cannot be called look for the hidden parameter where it is
    // in calls of all other types: behind no address of room for results.
    // And a function may be of several types, if those have subtypes.
    let suits = |index: TableIndex| {
        let calls = (index.as_u32(), 0)..=(index.as_u32(), u32::MAX);
        let types = facts.indirect_calls.range(calls);
        types
            .map(|(&(_, ty), _)| &module.types[TypeIndex::from_u32(ty)])
            .all(|ty| ty.results.len() <= register_results && ty.sub.is_final)
    };
    let candidates = module.tables.iter().filter(|(index, table)| {
        let known_init = matches!(
            table.init,
            Init::Value(ConstValue::Null | ConstValue::Func(_))
        );
        !table.imported
            && !table.exported
            && table.holds_func_refs
            && known_init
            && !facts.touched_tables.contains(&index.as_u32())
            && suits(*index)
            && module.types.len() < MAX_SHARED_TYPES
            && room_for(table)
    });
    candidates.map(|(index, _)| index).collect()
}

/// Gives the types that are called from most places arrays of their own, which makes the check of
/// the type a part of the load, and lets all others share one array per table.
fn code_tables(
    module: &ModuleInfo<'_>,
    facts: &Facts,
    immutable: &BTreeSet<TableIndex>,
) -> Vec<CodeTable> {
    let mut sites: BTreeMap<(TableIndex, TypeIndex), u64> = BTreeMap::new();
    for (&(table, ty), &count) in &facts.indirect_calls {
        let table = TableIndex::from_u32(table);
        if immutable.contains(&table) {
            let ty = module.canonical(TypeIndex::from_u32(ty));
            *sites.entry((table, ty)).or_default() += u64::from(count);
        }
    }
    let mut by_sites: Vec<_> = sites.into_iter().collect();
    by_sites.sort_by_key(|&(call, count)| (std::cmp::Reverse(count), call));
    let code = module.functions.values().map(|function| {
        let range = function.body_range();
        range.end - range.start
    });
    let mut room = (code.sum::<u64>() / CODE_BYTES_PER_ARRAY_BYTE).max(SMALL_CODE_TABLES);
    let mut tables = BTreeSet::new();
    for ((table, ty), _) in by_sites {
        let size = (module.tables[table].min + 1) * OWN_ENTRY_BYTES;
        let ty = match room.checked_sub(size) {
            Some(left) => {
                room = left;
                Some(ty)
            }
            None => None,
        };
        tables.insert(CodeTable { table, ty });
    }
    tables.into_iter().collect()
}

/// Gives tables their contents, and takes away the segments that they come from.
fn make_immutable(module: &mut ModuleInfo<'_>, tables: &BTreeSet<TableIndex>) {
    for index in tables {
        let table = &mut module.tables[*index];
        let first = match table.init {
            Init::Value(ConstValue::Func(function)) => Some(function),
            _ => None,
        };
        table.immutable = Some(vec![first; table.min as usize]);
    }
    for segment in module.elements.values_mut() {
        let ElementMode::Active { table, offset } = &segment.mode else {
            continue;
        };
        let Some(contents) = &mut module.tables[*table].immutable else {
            continue;
        };
        let ElementItems::Functions(items) = &segment.items else {
            continue;
        };
        let len = items.len() as u64;
        if let Some(start) = known_range(offset, len, Some(contents.len() as u64)) {
            let start = start as usize;
            contents[start..start + items.len()].copy_from_slice(items);
            segment.folded = true;
        }
    }
}

/// The elements of immutable tables that are the only ones of their type there, and are functions
/// of the module.
fn sole_elements(module: &ModuleInfo<'_>) -> BTreeMap<(TableIndex, TypeIndex), SoleElement> {
    let mut found: BTreeMap<_, Option<SoleElement>> = BTreeMap::new();
    for (table, info) in module.tables.iter() {
        for (index, element) in (0..).zip(info.immutable.iter().flatten()) {
            let Some(function) = *element else { continue };
            let ty = module.canonical(module.functions[function].ty);
            let sole = (!module.is_imported(function)).then_some(SoleElement { index, function });
            let entry = found.entry((table, ty));
            entry.and_modify(|found| *found = None).or_insert(sole);
        }
    }
    let sole = |(key, found): (_, Option<SoleElement>)| Some((key, found?));
    found.into_iter().filter_map(sole).collect()
}

/// Finds out which functions call which.
fn find_callees(module: &mut ModuleInfo<'_>, facts: &Facts) {
    for (caller, calls) in &facts.calls {
        let callee = |call: &Call| {
            let function = match *call {
                Call::Function(index) => Some(FuncIndex::from_u32(index)),
                Call::Element { table, ty, index } => {
                    let (table, ty) = (TableIndex::from_u32(table), TypeIndex::from_u32(ty));
                    match index {
                        Some(index) => module.known_element(table, ty, u64::from(index)),
                        None => module.sole_element(table, ty).map(|sole| sole.function),
                    }
                }
            };
            function.filter(|function| !module.is_imported(*function))
        };
        let callees: Box<[FuncIndex]> = calls.iter().filter_map(callee).collect();
        module.functions[FuncIndex::from_u32(*caller)].callees = callees;
    }
}

/// The start of `len` cells at `offset`, if it is known and they end at or before `end`.
fn known_range(offset: &Init<'_>, len: u64, end: Option<u64>) -> Option<u64> {
    let Init::Value(value) = offset else {
        return None;
    };
    let start = value.index()?;
    let past = start.checked_add(len)?;
    (past <= end.unwrap_or(u64::MAX)).then_some(start)
}

/// Folds active data segments into the initial image, up to the first that could trap.
fn fold_data(module: &mut ModuleInfo<'_>, mut may_trap: bool) {
    let mut pages = BTreeSet::new();
    let mut bytes = 0;
    for segment in module.data.values_mut() {
        let DataMode::Active { memory, offset } = &segment.mode else {
            continue;
        };
        let info = &module.memories[*memory];
        let len = segment.bytes.len() as u64;
        let Some(start) = known_range(offset, len, info.min_bytes()) else {
            may_trap = true;
            continue;
        };
        if may_trap || info.imported {
            continue;
        }
        bytes += len;
        if len > 0 {
            let last = (start + len - 1) / IMAGE_PAGE;
            pages.extend((start / IMAGE_PAGE..=last).map(|page| (*memory, page)));
        }
        if pages.len() as u64 * IMAGE_PAGE > bytes * IMAGE_FACTOR + MAX_IMAGE_PADDING {
            // This one and all that follow are copied at instantiation, in their order.
            may_trap = true;
            continue;
        }
        segment.folded = true;
    }
}

/// Marks the functions that a reference can come into being to.
fn find_referred_functions(module: &mut ModuleInfo<'_>, facts: &Facts) -> wasmparser::Result<()> {
    let mut referred: BTreeSet<_> = facts
        .referred_functions
        .iter()
        .map(|index| FuncIndex::from_u32(*index))
        .collect();
    for global in module.globals.values() {
        if let Some(init) = &global.init {
            refer(init, &mut referred)?;
        }
    }
    for table in module
        .tables
        .values()
        .filter(|table| table.immutable.is_none())
    {
        refer(&table.init, &mut referred)?;
    }
    for segment in module.elements.values() {
        match &segment.items {
            ElementItems::Functions(items) if segment.needed_at_run_time() => {
                referred.extend(items.iter().flatten());
            }
            ElementItems::Functions(_) => {}
            ElementItems::Values(values) => {
                for value in values {
                    refer(value, &mut referred)?;
                }
            }
        }
    }
    for (index, function) in module.functions.iter_mut() {
        function.needs_func_ref = function.export_name.is_some() || referred.contains(&index);
    }
    Ok(())
}

/// Adds the functions that an initialiser refers to.
fn refer(init: &Init<'_>, referred: &mut BTreeSet<FuncIndex>) -> wasmparser::Result<()> {
    match init {
        Init::Value(ConstValue::Func(index)) => {
            referred.insert(*index);
        }
        Init::Value(_) => {}
        Init::Expr(expr) => {
            for op in expr.get_operators_reader() {
                if let Operator::RefFunc { function_index } = op? {
                    referred.insert(FuncIndex::new(function_index as usize));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether table 0 of a module is immutable.
    #[track_caller]
    fn is_immutable(items: &str) -> bool {
        let index = if items.contains("table i64") {
            "i64"
        } else {
            "i32"
        };
        let wat = format!(
            r#"(module
                (type $t (func))
                {items}
                (func $f) (func $g (param i32))
                (func (call_indirect (type $t) ({index}.const 0))))"#
        );
        let wasm = wat::parse_str(&wat).unwrap_or_else(|error| panic!("{error}"));
        let module = ModuleInfo::read(&wasm).unwrap_or_else(|error| panic!("{error}"));
        let table = &module.tables[TableIndex::from_u32(0)];
        assert_eq!(table.immutable.is_some(), !module.code_tables.is_empty());
        table.immutable.is_some()
    }

    #[test]
    fn tables_that_no_one_can_change() {
        assert!(is_immutable("(table 2 funcref) (elem (i32.const 0) $f $g)"));
        assert!(is_immutable("(table 2 funcref)"));
        assert!(is_immutable(
            "(table 2 funcref) (elem (i32.const 0) funcref (ref.null func))"
        ));
        assert!(is_immutable(
            "(table i64 2 funcref) (elem (i64.const 1) $f)"
        ));
        assert!(is_immutable("(table 2 funcref) (func (drop (table.size)))"));
        assert!(is_immutable("(table 2 (ref $t) (ref.func $f))"));
        // Nobody names these in an instruction that reads them.
        assert!(is_immutable(
            "(table 2 funcref) (elem $e func $f) (func (elem.drop $e))"
        ));
    }

    #[test]
    fn tables_that_someone_can_change() {
        let table = "(table 2 funcref) (elem (i32.const 0) $f)";
        for code in [
            "(table.set (i32.const 0) (ref.null func))",
            "(drop (table.get (i32.const 0)))",
            "(drop (table.grow (ref.null func) (i32.const 1)))",
            "(table.fill (i32.const 0) (ref.null func) (i32.const 1))",
            "(table.copy (i32.const 0) (i32.const 1) (i32.const 1))",
            "(table.init $e (i32.const 0) (i32.const 0) (i32.const 1))",
        ] {
            assert!(
                !is_immutable(&format!("{table} (elem $e func $f) (func {code})")),
                "{code}"
            );
        }
        assert!(!is_immutable(&format!("{table} (export \"t\" (table 0))")));
        assert!(!is_immutable("(import \"\" \"\" (table 2 funcref))"));
    }

    #[test]
    fn segments_that_may_trap_keep_tables_mutable() {
        assert!(!is_immutable("(table 2 funcref) (elem (i32.const 2) $f)"));
        assert!(!is_immutable("(table 2 funcref) (elem (i32.const -1) $f)"));
        assert!(!is_immutable(
            "(table i64 2 funcref) (elem (i64.const -1) $f)"
        ));
        assert!(is_immutable("(table 2 funcref) (elem (i32.const 2))"));
        // A trap before the table is filled could be seen through a function that got out.
        assert!(!is_immutable(
            r#"(table 2 funcref) (table 1 funcref)
               (elem (table 1) (i32.const 1) func $f) (elem (table 0) (i32.const 0) func $f)"#
        ));
        assert!(!is_immutable(
            "(import \"\" \"\" (global i32)) (table 2 funcref) (elem (global.get 0) $f)"
        ));
    }

    #[test]
    fn types_that_mean_the_same_share_a_code_table() {
        let wasm = wat::parse_str(
            r#"(module (type $a (func (param i32))) (type $b (func (param i32))) (type $c (func))
                (table 3 funcref) (func $f) (elem (i32.const 0) $f)
                (func (call_indirect (type $a) (i32.const 0) (i32.const 0)))
                (func (call_indirect (type $b) (i32.const 0) (i32.const 0)))
                (func (call_indirect (type $c) (i32.const 0))))"#,
        )
        .expect("the test's own module");
        let module = ModuleInfo::read(&wasm).expect("valid");
        assert_eq!(module.code_tables.len(), 2);
        let table = TableIndex::from_u32(0);
        let code_table = |ty| module.code_table(table, TypeIndex::from_u32(ty));
        assert_eq!(code_table(0), code_table(1));
        assert_ne!(code_table(0), code_table(2));
    }

    #[test]
    fn types_of_large_tables_share_an_array() {
        let wasm = wat::parse_str(
            r#"(module (type $a (func (param i32))) (type $b (func)) (type $c (func (param i64)))
                (table 3000 funcref) (func $f) (elem (i32.const 0) $f)
                (func (call_indirect (type $a) (i32.const 0) (i32.const 0)))
                (func (call_indirect (type $b) (i32.const 0)))
                (func (call_indirect (type $b) (i32.const 0)))
                (func (call_indirect (type $c) (i64.const 0) (i32.const 0))))"#,
        )
        .expect("the test's own module");
        let module = ModuleInfo::read(&wasm).expect("valid");
        let own = |ty| Some(TypeIndex::from_u32(ty));
        let types: Vec<_> = module.code_tables.iter().map(|table| table.ty).collect();
        assert_eq!(
            types,
            [None, own(1)],
            "the type with most calls has its own"
        );
        let code_table = |ty| module.code_table(TableIndex::from_u32(0), TypeIndex::from_u32(ty));
        assert_eq!([0, 1, 2].map(code_table), [Some(0), Some(1), Some(0)]);
    }

    #[test]
    fn functions_that_can_be_referred_to_have_records() {
        let wasm = wat::parse_str(
            r#"(module (func $plain) (func $exported (export "e")) (func $in_code) (func $in_global)
                (func $in_segment) (func $in_fixed_table)
                (global funcref (ref.func $in_global))
                (table $fixed 1 funcref) (elem (table $fixed) (i32.const 0) func $in_fixed_table)
                (table $open (export "t") 1 funcref) (elem (table $open) (i32.const 0) func $in_segment)
                (elem declare func $in_code) (func (drop (ref.func $in_code))))"#,
        )
        .expect("the test's own module");
        let module = ModuleInfo::read(&wasm).expect("valid");
        let needs: Vec<_> = module
            .functions
            .values()
            .map(|f| f.needs_func_ref)
            .collect();
        assert_eq!(needs, [false, true, true, true, true, false, false]);
    }
}
