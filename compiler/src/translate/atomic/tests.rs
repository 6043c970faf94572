//! What atomic operators become.

use crate::translate::testing::translate;

/// The CLIF of a function of one parameter in a module with this memory.
fn clif(memory: &str, body: &str) -> String {
    let functions = translate(&format!("(module {memory} (func (param i32) {body}))"));
    functions[0].display().to_string()
}

#[test]
fn alignment_is_checked_where_there_is_any() {
    let wide = clif("(memory 1)", "(drop (i32.atomic.load (local.get 0)))");
    assert!(wide.contains("band") && wide.contains("brif"), "{wide}");
    let byte = clif("(memory 1)", "(drop (i32.atomic.load8_u (local.get 0)))");
    assert!(!byte.contains("brif"), "{byte}");
    let odd = "(drop (i32.atomic.load offset=2 (local.get 0)))";
    assert!(clif("(memory 1)", odd).matches("iadd").count() >= 3);
}

#[test]
fn the_size_of_a_shared_memory_is_read_atomically() {
    let size = "(drop (memory.size))";
    assert!(clif("(memory 1 2 shared)", size).contains("atomic_load"));
    assert!(
        !clif(
            "(memory 1 2) (func (drop (memory.grow (i32.const 1))))",
            size
        )
        .contains("atomic_load")
    );
    assert!(!clif("(memory 2 2 shared)", size).contains("load"));
}

#[test]
fn a_shared_memory_of_the_modules_own_is_found_by_its_address() {
    let own = clif("(memory 1 2 shared)", "(drop (i32.load (local.get 0)))");
    let imported = "(import \"\" \"\" (memory 1 2 shared))";
    let imported = clif(imported, "(drop (i32.load (local.get 0)))");
    assert_eq!(
        own.matches("load.").count(),
        imported.matches("load.").count()
    );
    assert!(own.contains("select_spectre_guard"), "{own}");
}
