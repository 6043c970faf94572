//! The first form of exceptions, `try` and `catch`: by the text of the proposal as it was then.

use precast::{Error, Store, Val};
use precast::{Linker, TrapCode};
use precast_compiler::{OptLevel, Options};
use precast_tests::guest::{module_with, trap};

/// What `run` of a module gives for an argument, compiled in every way.
fn run(text: &str, argument: i32) -> Result<i32, Error> {
    let mut last: Option<Result<i32, String>> = None;
    let mut result = None;
    for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
        let options = Options {
            opt,
            ..Options::default()
        };
        let mut store = Store::new(());
        let module = module_with(&unfold(text), &options);
        let guest = Linker::new().instantiate(&mut store, &module).unwrap();
        let run = guest.func::<i32, i32>(&store, "run").unwrap();
        let found = run.call(&mut store, argument);
        let shown = found.as_ref().map_err(Error::to_string).copied();
        assert!(last.as_ref().is_none_or(|last| *last == shown), "{opt:?}");
        last = Some(shown);
        result = Some(found);
    }
    result.expect("three of them")
}

/// `(try … (do …) (catch …) …)` as the text format has it: without parentheses.
fn unfold(text: &str) -> String {
    let mut out = String::new();
    // For each parenthesis that is open, what to write where it closes.
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['(', ')']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        rest = &from[1..];
        if from.starts_with(')') {
            out.push_str(open.pop().expect("parentheses in pairs"));
            continue;
        }
        let word = rest.split([' ', ')', '\n']).next().expect("a word");
        let close = match word {
            "try" => " end",
            "do" | "catch" | "catch_all" => "",
            "delegate" => {
                // It ends the `try`.
                *open.last_mut().expect("a try") = "";
                ""
            }
            _ => {
                out.push('(');
                open.push(")");
                continue;
            }
        };
        open.push(close);
        if word == "do" {
            rest = &rest[2..];
        }
    }
    out + rest
}

/// Throws `$a` for 1, `$b` for 2, traps for 3, and gives what it got otherwise.
const THROW: &str = r#"
    (tag $a (param i32))
    (tag $b (param i32 i64))
    (func $throw (param i32) (result i32)
        (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $a (i32.const 100))))
        (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $b (i32.const 200) (i64.const 9))))
        (if (i32.eq (local.get 0) (i32.const 3)) (then (unreachable)))
        (local.get 0))
"#;

fn with_throw(body: &str) -> String {
    format!(r#"(module {THROW} (func (export "run") (param i32) (result i32) {body}))"#)
}

#[test]
fn a_clause_catches_its_tag_and_others_pass() {
    let text = with_throw(
        "(try (result i32)
            (do (i32.add (call $throw (local.get 0)) (i32.const 1)))
            (catch $a (i32.add (i32.const 7))))",
    );
    assert_eq!(run(&text, 5).unwrap(), 6);
    assert_eq!(run(&text, 1).unwrap(), 107);
    let Err(Error::Exception(exception)) = run(&text, 2) else {
        panic!("nobody catches it");
    };
    assert!(matches!(exception.values(), [Val::I32(200), Val::I64(9)]));
}

#[test]
fn the_first_clause_that_fits_is_taken() {
    let text = with_throw(
        "(try (result i32)
            (do (call $throw (local.get 0)))
            (catch $b (drop))
            (catch $a (drop) (i32.const -1))
            (catch_all (i32.const -2)))",
    );
    assert_eq!(run(&text, 0).unwrap(), 0);
    assert_eq!(run(&text, 1).unwrap(), -1);
    assert_eq!(run(&text, 2).unwrap(), 200);
}

#[test]
fn a_trap_is_not_caught() {
    let text = with_throw(
        "(try (result i32) (do (call $throw (local.get 0))) (catch_all (i32.const -2)))",
    );
    assert_eq!(trap(run(&text, 3)).code(), TrapCode::Unreachable);
}

#[test]
fn what_is_thrown_in_the_same_function_is_caught_there() {
    for guard in ["", "(drop (call $throw (i32.const 0)))"] {
        let text = with_throw(&format!(
            "(try (result i32)
                (do {guard} (throw $b (local.get 0) (i64.const 1)))
                (catch $a (drop) (i32.const -1))
                (catch $b (i32.wrap_i64) (i32.add)))"
        ));
        assert_eq!(run(&text, 41).unwrap(), 42);
    }
}

#[test]
fn a_clause_does_not_catch_what_it_throws_itself() {
    let text = with_throw(
        "(try (result i32)
            (do (try (result i32)
                (do (call $throw (local.get 0)))
                (catch $a (drop) (call $throw (i32.const 2)))
                (catch $b (drop) (drop) (i32.const -1))))
            (catch_all (i32.const -3)))",
    );
    assert_eq!(run(&text, 1).unwrap(), -3);
    assert_eq!(run(&text, 2).unwrap(), -1);
}

#[test]
fn locals_are_as_they_were_when_it_was_thrown() {
    let text = with_throw(
        "(local $x i32)
        (try (do
            (local.set $x (i32.const 10))
            (drop (call $throw (local.get 0)))
            (local.set $x (i32.const 20))
            (drop (call $throw (i32.sub (local.get 0) (i32.const 1))))
            (local.set $x (i32.const 30)))
            (catch_all))
        (local.get $x)",
    );
    assert_eq!(run(&text, 0).unwrap(), 30);
    assert_eq!(run(&text, 1).unwrap(), 10);
    assert_eq!(run(&text, 2).unwrap(), 10);
    let later = with_throw(
        "(local $x i32)
        (try (do
            (local.set $x (i32.const 10))
            (drop (call $throw (i32.const 0)))
            (local.set $x (i32.const 20))
            (drop (call $throw (local.get 0))))
            (catch_all))
        (local.get $x)",
    );
    assert_eq!(run(&later, 1).unwrap(), 20);
}

#[test]
fn what_was_caught_can_be_thrown_again() {
    let text = with_throw(
        "(try (result i32)
            (do (try (result i32)
                (do (call $throw (local.get 0)))
                (catch $a (drop) (rethrow 0))
                (catch_all (rethrow 0))))
            (catch $a (i32.add (i32.const 1)))
            (catch $b (drop)))",
    );
    assert_eq!(run(&text, 0).unwrap(), 0);
    assert_eq!(run(&text, 1).unwrap(), 101);
    assert_eq!(run(&text, 2).unwrap(), 200);
}

/// Labels of `rethrow` count all blocks between.
#[test]
fn an_outer_exception_is_thrown_again_from_an_inner_clause() {
    let text = with_throw(
        "(try (result i32)
            (do (try (result i32)
                (do (call $throw (i32.const 1)))
                (catch $a
                    (drop)
                    (try (result i32)
                        (do (call $throw (i32.const 2)))
                        (catch $b (drop) (drop) (block (rethrow 2)) (unreachable))))))
            (catch $a)
            (catch_all (i32.const -1)))",
    );
    assert_eq!(run(&text, 0).unwrap(), 100);
}

#[test]
fn a_delegate_leaves_out_the_handlers_between() {
    let text = with_throw(
        "(try $outer (result i32)
            (do (try (result i32)
                (do (try (result i32)
                    (do (call $throw (local.get 0)))
                    (delegate $outer)))
                (catch_all (i32.const -1))))
            (catch $a (i32.add (i32.const 2)))
            (catch $b (drop) (i32.add (i32.const 3))))",
    );
    assert_eq!(run(&text, 0).unwrap(), 0);
    assert_eq!(run(&text, 1).unwrap(), 102);
    assert_eq!(run(&text, 2).unwrap(), 203);
}

/// The label may be of any block: then the first `try` around that one has the handlers.
#[test]
fn a_delegate_to_a_block_goes_on_around_it() {
    let text = with_throw(
        "(try (result i32)
            (do (block $b (result i32)
                (try (result i32)
                    (do (try (result i32)
                        (do (call $throw (local.get 0)))
                        (delegate $b)))
                    (catch_all (i32.const -1)))))
            (catch_all (i32.const -2)))",
    );
    assert_eq!(run(&text, 1).unwrap(), -2);
}

#[test]
fn a_delegate_to_the_function_leaves_it() {
    let text = format!(
        r#"(module {THROW}
            (func $inner (param i32) (result i32)
                (try (result i32)
                    (do (try (result i32)
                        (do (call $throw (local.get 0)))
                        (delegate 1)))
                    (catch_all (i32.const -1))))
            (func (export "run") (param i32) (result i32)
                (try (result i32) (do (call $inner (local.get 0))) (catch $a (i32.add (i32.const 5)))
                    (catch_all (i32.const -9)))))"#
    );
    assert_eq!(run(&text, 0).unwrap(), 0);
    assert_eq!(run(&text, 1).unwrap(), 105);
    assert_eq!(run(&text, 2).unwrap(), -9);
}

/// A throw of the same function goes by way of the delegate, too.
#[test]
fn what_is_thrown_under_a_delegate_is_caught_where_it_says() {
    let text = with_throw(
        "(try $outer (result i32)
            (do (try (result i32)
                (do (try (result i32) (do (throw $a (local.get 0))) (delegate $outer)))
                (catch_all (i32.const -1))))
            (catch $a (i32.add (i32.const 2))))",
    );
    assert_eq!(run(&text, 5).unwrap(), 7);
}

#[test]
fn a_try_without_clauses_catches_nothing() {
    let text = with_throw("(try (result i32) (do (call $throw (local.get 0))))");
    assert_eq!(run(&text, 4).unwrap(), 4);
    assert!(matches!(run(&text, 1), Err(Error::Exception(_))));
}

#[test]
fn branches_leave_bodies_and_clauses() {
    let text = with_throw(
        "(block $out (result i32)
            (try $t (result i32)
                (do (br_if $out (i32.const 11) (i32.eq (local.get 0) (i32.const 10)))
                    (drop)
                    (br_if $t (i32.const 12) (i32.eq (local.get 0) (i32.const 20)))
                    (drop)
                    (call $throw (local.get 0)))
                (catch $a (br $out))
                (catch_all (br $t (i32.const 13))))
            (i32.add (i32.const 1000)))",
    );
    assert_eq!(run(&text, 10).unwrap(), 11);
    assert_eq!(run(&text, 20).unwrap(), 1012);
    assert_eq!(run(&text, 1).unwrap(), 100);
    assert_eq!(run(&text, 2).unwrap(), 1013);
    assert_eq!(run(&text, 0).unwrap(), 1000);
}

#[test]
fn what_cannot_be_reached_is_passed_over() {
    let text = with_throw(
        "(if (local.get 0) (then (return (i32.const 1))))
        (br 0 (i32.const 2))
        (try (result i32)
            (do (unreachable)
                (try (do) (catch $b (drop) (drop) (rethrow 0)) (catch_all)))
            (catch $a (try (param i32) (result i32) (do) (delegate 0)))
            (catch_all (i32.const 3)))",
    );
    assert_eq!(run(&text, 0).unwrap(), 2);
    assert_eq!(run(&text, 1).unwrap(), 1);
    let reached = with_throw(
        "(try (result i32)
            (do (return (i32.const 4)))
            (catch $a (drop) (i32.const 5))
            (catch_all (i32.const 6)))",
    );
    assert_eq!(run(&reached, 0).unwrap(), 4);
}

#[test]
fn a_try_takes_parameters_and_gives_results() {
    let text = with_throw(
        "(local.get 0) (i64.const 5)
        (try (param i32 i64) (result i64 i32)
            (do (drop) (call $throw) (drop) (i64.const 1) (i32.const 2))
            (catch $a (drop) (i64.const 30) (i32.const 4))
            (catch $b (drop) (drop) (i64.const 70) (i32.const 8)))
        (drop) (i32.wrap_i64)",
    );
    assert_eq!(run(&text, 0).unwrap(), 1);
    assert_eq!(run(&text, 1).unwrap(), 30);
    assert_eq!(run(&text, 2).unwrap(), 70);
}
