//! Slots of pools that are used again hold nothing of their last user, whatever it did and however
//! it ended, and however they are restored.

use precast::pool::{Density, ResetStrategy};
use precast::{Pool, Template, Tenant, TrapCode};
use precast_tests::guest::trap;
use precast_tests::scribbler::{
    COMPACT, Deed, Host, builder, check, compact_template, deeds, template,
};

/// Does `first`, resets, does `second`, and gives the slot to another tenant.
fn in_turn(
    pool: &Pool<Host>,
    template: &Template<Host>,
    first: (&'static str, Deed),
    second: (&'static str, Deed),
) {
    let mut sandbox = pool
        .instantiate(template, Tenant(1), Host::default())
        .unwrap();
    (first.1)(&mut sandbox, template);
    sandbox.reset().expect("nothing is refused");
    check(&mut sandbox, template, first.0);
    (second.1)(&mut sandbox, template);
    drop(sandbox);
    let mut sandbox = pool
        .instantiate(template, Tenant(2), Host::default())
        .unwrap();
    assert!(!sandbox.data().was_entered());
    assert_eq!(sandbox.tenant(), Tenant(2));
    check(&mut sandbox, template, second.0);
}

fn isolation(strategy: ResetStrategy) {
    let pool = builder(strategy).build().expect("a small pool");
    isolation_in(&pool, &template(), strategy);
}

fn isolation_in(pool: &Pool<Host>, template: &Template<Host>, strategy: ResetStrategy) {
    // Windows learned from one deed meet the others.
    let deeds = deeds();
    for step in 0..deeds.len() {
        for (index, &deed) in deeds.iter().enumerate().step_by(3) {
            in_turn(pool, template, deed, deeds[(index + step) % deeds.len()]);
        }
    }
    let stats = pool.stats();
    assert_eq!(
        (stats.live, stats.unclean, stats.lost),
        (0, 0, 0),
        "{stats:?}"
    );
    assert_eq!(stats.made, 1, "one slot is used over and over: {stats:?}");
    let (window, scan, discard) = match strategy {
        ResetStrategy::Scan => (false, true, false),
        ResetStrategy::Discard => (false, false, true),
        _ => (true, true, false),
    };
    assert_eq!(stats.resets_by_window > 0, window, "{stats:?}");
    assert_eq!(stats.resets_by_scan > 0, scan, "{stats:?}");
    assert_eq!(stats.resets_by_discard > 0, discard, "{stats:?}");
}

#[test]
fn nothing_is_left_whatever_restores_it() {
    isolation(ResetStrategy::Auto);
}

#[test]
fn nothing_is_left_by_window() {
    isolation(ResetStrategy::Window);
}

#[test]
fn nothing_is_left_by_scan() {
    isolation(ResetStrategy::Scan);
}

#[test]
fn nothing_is_left_by_discard() {
    isolation(ResetStrategy::Discard);
}

#[test]
fn nothing_is_left_in_compact_slots() {
    let density = Density::Compact {
        reservation: COMPACT,
    };
    let template = compact_template();
    for strategy in [
        ResetStrategy::Auto,
        ResetStrategy::Window,
        ResetStrategy::Scan,
        ResetStrategy::Discard,
    ] {
        let pool = builder(strategy).density(density).build().expect("small");
        isolation_in(&pool, &template, strategy);
    }
}

#[test]
fn compact_slots_have_neighbours() {
    // Deep recursion and accesses at the edges of a slot between two others, which are untouched.
    let density = Density::Compact {
        reservation: COMPACT,
    };
    let template = compact_template();
    let pool = builder(ResetStrategy::Auto)
        .slots(3)
        .density(density)
        .build()
        .expect("small");
    let make = || {
        pool.instantiate(&template, Tenant(1), Host::default())
            .unwrap()
    };
    let (mut below, mut middle, mut above) = (make(), make(), make());
    let overflow = template.func::<(), ()>("overflow").unwrap();
    let grow = template.func::<i32, i32>("grow").unwrap();
    let scribble = template.func::<(i32, i32), ()>("scribble").unwrap();
    for sandbox in [&mut middle, &mut above, &mut below] {
        let code = trap(overflow.call(sandbox, ())).code();
        assert_eq!(code, TrapCode::StackOverflow);
    }
    assert_eq!(grow.call(&mut middle, 60).unwrap(), 4);
    assert_eq!(
        grow.call(&mut middle, 1).unwrap(),
        -1,
        "its type allows 64 pages"
    );
    scribble.call(&mut middle, (0, 1024)).unwrap();
    check(&mut below, &template, "what the neighbour above did");
    check(&mut above, &template, "what the neighbour below did");
}
