//! Generated modules, by us and by an interpreter: the same results, traps, host calls and final
//! state. Seeds are fixed; `make fuzz` goes on from here.

use precast_tests::fuzz::{
    Coverage, collecting, damaged, damaged_object, differential, relaxed, throwing,
};

/// Stops a run that found nothing because it did nothing.
const LEAST: Coverage = Coverage {
    returned: 300,
    trapped: 300,
    host_calls: 100,
    not_instantiated: 4,
};

#[test]
fn generated_modules_behave_as_in_an_interpreter() {
    let mut total = Coverage::default();
    let mut failures = Vec::new();
    for seed in 0..600 {
        match differential(seed) {
            Ok(None) => {}
            Ok(Some(coverage)) => {
                total.returned += coverage.returned;
                total.trapped += coverage.trapped;
                total.host_calls += coverage.host_calls;
                total.not_instantiated += coverage.not_instantiated;
            }
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(
        total.returned >= LEAST.returned
            && total.trapped >= LEAST.trapped
            && total.host_calls >= LEAST.host_calls
            && total.not_instantiated >= LEAST.not_instantiated,
        "too little happened: {total:?}"
    );
}

#[test]
fn optimisation_does_not_change_relaxed_simd() {
    for seed in 0..300 {
        if let Err(failure) = relaxed(seed) {
            panic!("{failure}");
        }
    }
}

#[test]
fn optimisation_does_not_change_what_is_thrown_and_caught() {
    let mut events = 0;
    for seed in 0..300 {
        match throwing(seed) {
            Ok(found) => events += found,
            Err(failure) => panic!("{failure}"),
        }
    }
    assert!(events > 300, "too little happened: {events}");
}

#[test]
fn neither_optimisation_nor_collection_changes_what_objects_hold() {
    let mut events = 0;
    for seed in 0..300 {
        match collecting(seed) {
            Ok(found) => events += found,
            Err(failure) => panic!("{failure}"),
        }
    }
    assert!(events > 300, "too little happened: {events}");
}

#[test]
fn damaged_objects_are_looked_at_without_a_panic() {
    for seed in 0..60 {
        if let Err(failure) = damaged_object(seed) {
            panic!("{failure}");
        }
    }
}

#[test]
fn damaged_modules_are_refused_without_a_panic() {
    for seed in 0..600 {
        if let Err(failure) = damaged(seed) {
            panic!("{failure}");
        }
    }
}
