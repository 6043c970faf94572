use super::cost::{Candidate, Size, growth, is_worth_it, is_worth_unrolling};
use super::graph::Graph;
use super::positions::Positions;
use crate::module::{FuncIndex, ModuleInfo};
use crate::profile::Heat;
use precast_abi::addrmap::MAX_DEPTH;
use std::fmt::Write;

fn candidate(hot: usize) -> Candidate {
    Candidate {
        size: Size {
            hot,
            ..Size::default()
        },
        loops: 0,
        args: 2,
        constants: 0,
        is_sole: false,
        count: None,
        heat: None,
    }
}

/// The largest callee that is inlined in a call like this.
fn limit(change: impl Fn(&mut Candidate), for_size: bool) -> usize {
    let fits = |hot: &usize| {
        let mut call = candidate(*hot);
        change(&mut call);
        is_worth_it(&call, for_size)
    };
    (0..2000).take_while(fits).last().unwrap_or(0)
}

#[test]
fn calls_that_gain_more_may_be_of_larger_functions() {
    let plain = limit(|_| {}, false);
    assert!(limit(|call| call.loops = 1, false) > plain);
    assert!(limit(|call| call.constants = 2, false) > plain);
    assert!(limit(|call| call.is_sole = true, false) > 2 * plain);
    assert_eq!(limit(|call| call.size.cold = 10_000, false), 0);
    let around = |loops| limit(|call| (call.loops, call.size.loops) = (1, loops), false);
    assert!(around(1) > plain && around(1) < around(0));
    assert_eq!(around(2), 0);
    assert_eq!(limit(|call| call.size.has_table = true, false), 0);
    let counted = |heat| limit(|call| call.heat = Some(heat), false);
    assert!(counted(Heat::Hot) > counted(Heat::Warm));
    assert!(counted(Heat::Warm) > counted(Heat::Cold));
    let sole_table = |call: &mut Candidate| {
        call.size.has_table = true;
        call.is_sole = true;
    };
    assert!(limit(sole_table, false) > plain);
}

#[test]
fn for_size_nothing_is_inlined_that_is_larger_than_its_call() {
    assert!(limit(|_| {}, true) < 10);
    assert!(limit(|call| call.loops = 1, true) < 10);
    assert!(limit(|call| call.is_sole = true, true) < 10);
    assert_eq!(limit(|call| call.size.cold = 20, true), 0);
}

#[test]
fn growth_is_limited_for_functions_of_every_size() {
    let room = |hot| {
        growth(&Size {
            hot,
            ..Size::default()
        })
    };
    assert!(room(0) >= 100);
    assert!(room(1_000) >= room(0));
    assert!(room(1_000_000) < 10_000);
}

#[test]
fn large_functions_and_those_with_many_calls_are_not_inlined_into_themselves() {
    let size = |hot| Size {
        hot,
        ..Size::default()
    };
    assert!(is_worth_unrolling(&size(20), 2));
    assert!(!is_worth_unrolling(&size(20), 0));
    assert!(!is_worth_unrolling(&size(20), 20));
    assert!(!is_worth_unrolling(&size(200), 2));
}

fn graph(wat: &str, check: impl Fn(&Graph)) {
    let wasm = wat::parse_str(wat).unwrap();
    check(&Graph::new(&ModuleInfo::read(&wasm).unwrap()));
}

fn callees(graph: &Graph, caller: u32) -> Vec<u32> {
    let callees = graph.callees(FuncIndex::from_u32(caller));
    callees.iter().map(|callee| callee.as_u32()).collect()
}

#[test]
fn callees_are_small_functions_of_the_module() {
    let text = format!(
        r#"(module
            (import "m" "f" (func))
            (func $small)
            (func $large {0})
            (func $sole {0})
            (func (call 0) (call $small) (call $large) (call $large) (call $sole) (call $small)))"#,
        "(drop (i32.const 1000000))".repeat(80)
    );
    graph(&text, |graph| {
        assert_eq!(callees(graph, 4), [1, 3]);
        assert_eq!(graph.callers(FuncIndex::from_u32(1)), 1);
        assert!(!graph.is_sole(FuncIndex::from_u32(1)));
        assert!(graph.is_sole(FuncIndex::from_u32(3)));
    });
}

#[test]
fn circles_are_cut() {
    let text = "(module
        (func $a (call $b) (call $c))
        (func $b (call $c))
        (func $c (call $a))
        (func $self (call $self))
        (func (call $self) (call $a)))";
    graph(text, |graph| {
        assert_eq!(callees(graph, 0), [1, 2]);
        assert_eq!(callees(graph, 1), [2]);
        assert_eq!(callees(graph, 2), []);
        assert_eq!(callees(graph, 3), []);
        assert_eq!(callees(graph, 4), [0]);
        assert!(graph.calls_itself(FuncIndex::from_u32(3)));
    });
}

#[test]
fn chains_are_no_longer_than_can_be_told() {
    let mut text = String::from("(module (func $f0)");
    for f in 1..10_000 {
        let _ = write!(text, "(func $f{f} (call $f{}))", f - 1);
    }
    text.push(')');
    graph(&text, |graph| {
        let mut depth = 0;
        for f in 0..10_000 {
            depth = match &*callees(graph, f) {
                [] => 0,
                _ => depth + 1,
            };
            // One more where a function is inlined into itself.
            assert!(depth < MAX_DEPTH, "{depth} at {f}");
        }
    });
}

#[test]
fn positions_of_what_was_never_inlined_are_offsets() {
    let plain = Positions::default();
    assert_eq!(plain.resolve(7), (7, Default::default()));
    let empty = Positions::new(100);
    assert_eq!(empty.resolve(99), (99, Default::default()));
    assert!(empty.have_room(10));
    assert!(!plain.have_room(0));
    assert!(!Positions::new(u32::MAX - 5).have_room(10));
}
