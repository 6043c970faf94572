//! How large a pool can be: in a process of its own, whose address space it takes for a moment.

use precast::pool::Density;
use precast::{Error, Pool};

#[test]
fn the_largest_pool_can_be_asked_for() {
    // Of a kind that is large: other tests of this process have some address space, too.
    let builder = Pool::builder().density(Density::Compact {
        reservation: 4 << 30,
    });
    let most = builder.most_slots().expect("there may be one");
    assert!((1000..33_000).contains(&most), "{most}");
    let smaller = builder.clone().slots(most / 2).build::<()>();
    drop(smaller.expect("half of it can be had"));
    let larger = builder.slots(40_000).build::<()>();
    assert!(matches!(larger, Err(Error::Pool(_))), "{larger:?}");
}
