//! Tests of `args`.

use super::args::{args_get, args_sizes_get, environ_get, environ_sizes_get};
use crate::errno::Errno;
use crate::guest::GuestPtr;
use crate::testing::{SIZE, World};
use crate::{BuildError, WasiCtxBuilder};

fn world() -> World {
    World::new(|builder| {
        builder
            .args(["tool", "", "grüße"])
            .env("A", "1")
            .env("B", "x=y")
            .env("A", "2");
    })
}

#[test]
fn arguments_are_given_with_their_nuls() {
    let mut world = world();
    let sizes =
        world.call(|ctx, guest| args_sizes_get(ctx, guest, GuestPtr::new(0), GuestPtr::new(4)));
    sizes.unwrap();
    assert_eq!((world.get::<u32>(0), world.get::<u32>(4)), (3, 14));
    world
        .call(|ctx, guest| args_get(ctx, guest, GuestPtr::new(100), GuestPtr::new(200)))
        .unwrap();
    assert_eq!(world.bytes(200, 14), "tool\0\0grüße\0".as_bytes());
    assert_eq!(
        [100, 104, 108].map(|at| world.get::<u32>(at)),
        [200, 205, 206]
    );
}

#[test]
fn a_variable_set_twice_has_its_last_value() {
    let mut world = world();
    world
        .call(|ctx, guest| environ_sizes_get(ctx, guest, GuestPtr::new(0), GuestPtr::new(4)))
        .unwrap();
    assert_eq!((world.get::<u32>(0), world.get::<u32>(4)), (2, 10));
    world
        .call(|ctx, guest| environ_get(ctx, guest, GuestPtr::new(100), GuestPtr::new(200)))
        .unwrap();
    assert_eq!(world.bytes(200, 10), b"A=2\0B=x=y\0");
}

#[test]
fn results_outside_of_memory_are_faults() {
    let mut world = world();
    let end = SIZE as u32;
    for (first, second) in [(end - 3, 0), (0, end - 3), (u32::MAX, 0), (0, u32::MAX)] {
        let sizes = world.call(|ctx, guest| {
            args_sizes_get(ctx, guest, GuestPtr::new(first), GuestPtr::new(second))
        });
        assert_eq!(sizes, Err(Errno::Fault));
        let strings = world
            .call(|ctx, guest| args_get(ctx, guest, GuestPtr::new(first), GuestPtr::new(second)));
        assert_eq!(strings, Err(Errno::Fault));
    }
}

#[test]
fn strings_that_no_guest_could_read_are_refused() {
    let nul = WasiCtxBuilder::new().arg("a\0b").build();
    assert!(matches!(nul, Err(BuildError::Nul { .. })));
    let name = WasiCtxBuilder::new().env("A=B", "1").build();
    assert!(matches!(name, Err(BuildError::VariableName { .. })));
    let empty = WasiCtxBuilder::new().env("", "1").build();
    assert!(matches!(empty, Err(BuildError::VariableName { .. })));
}
