//! Waiting for clocks and descriptors.

use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags};

use crate::ctx::WasiCtx;
use crate::descriptor::{Descriptor, Object};
use crate::errno::{Errno, Result};
use crate::guest::{Guest, GuestPtr, Layout};
use crate::stop::Stop;
use crate::types::{
    Clock, Event, EventType, FileType, Rights, SubclockFlags, Subscription, Wait, timespec,
};
use crate::version::Version;

/// How many subscriptions one call may have; each may cost the host memory.
const MAX_SUBSCRIPTIONS: u32 = 1 << 16;

/// Waits until at least one of the subscriptions has something to say, and says all that there is then.
///
/// What is wrong with one subscription is an event with an error; only what is wrong with the call is an error of the call.
pub(crate) fn poll_oneoff<V: Version>(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    subscriptions: GuestPtr<V::Subscription>,
    events: GuestPtr<Event>,
    count: u32,
    written: GuestPtr<u32>,
) -> Result<()> {
    // Nothing would ever end the wait.
    if count == 0 || count > MAX_SUBSCRIPTIONS {
        return Err(Errno::Inval);
    }
    guest.check(events.array(count))?;
    guest.check_ptr(written)?;
    // All are read before any event is written: both arrays may lie in the same place.
    let subscriptions: Vec<Subscription> = guest
        .bytes(subscriptions.array(count))?
        .chunks_exact(V::Subscription::SIZE)
        .map(|bytes| V::Subscription::decode(bytes).into())
        .collect();
    let ready = wait(ctx, &subscriptions, guest.stop())?;
    for (index, event) in (0..).zip(&ready) {
        guest.write(events.at(index)?, *event)?;
    }
    guest.write(written, ready.len() as u32)
}

/// A subscription as the wait sees it.
enum Pending<'d> {
    /// It has something to say at once.
    Ready(Event),
    /// Until a time of the monotonic clock.
    Until(u64),
    /// Until a time of the calendar, which may be set meanwhile.
    UntilDate(u64),
    /// Until a descriptor is ready.
    Descriptor { fd: BorrowedFd<'d>, kind: EventType },
}

/// Waits, and gives the events in the order of their subscriptions.
fn wait(ctx: &WasiCtx, subscriptions: &[Subscription], stop: Stop<'_>) -> Result<Vec<Event>> {
    let started = Clock::Monotonic.now();
    let mut pending = Vec::with_capacity(subscriptions.len());
    let mut descriptors = Vec::new();
    for subscription in subscriptions {
        let one = prepare(ctx, subscription, started)?;
        if let Pending::Descriptor { fd, kind } = &one {
            let wanted = if *kind == EventType::Read {
                PollFlags::IN
            } else {
                PollFlags::OUT
            };
            descriptors.push(PollFd::from_borrowed_fd(*fd, wanted));
        }
        pending.push(one);
    }
    if timeout(&pending) != Some(0)
        && let Some(stopped) = stop.descriptor()
    {
        descriptors.push(PollFd::from_borrowed_fd(stopped, PollFlags::IN));
    }
    loop {
        let timeout = timeout(&pending).map(timespec);
        match rustix::event::poll(&mut descriptors, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) if !stop.asked() => continue,
            result => result?,
        };
        if stop.asked() {
            return Err(Errno::Intr);
        }
        let events = collect(subscriptions, &pending, &descriptors);
        if !events.is_empty() {
            return Ok(events);
        }
    }
}

/// How long to wait at most, in nanoseconds; nothing if only descriptors can end it.
fn timeout(pending: &[Pending<'_>]) -> Option<u64> {
    let left = |one: &Pending<'_>| match one {
        Pending::Ready(_) => Some(0),
        Pending::Until(time) => Some(time.saturating_sub(Clock::Monotonic.now())),
        Pending::UntilDate(time) => Some(time.saturating_sub(Clock::Realtime.now())),
        Pending::Descriptor { .. } => None,
    };
    pending.iter().filter_map(left).min()
}

fn prepare<'d>(ctx: &'d WasiCtx, subscription: &Subscription, started: u64) -> Result<Pending<'d>> {
    let (fd, kind) = match subscription.wait? {
        Wait::Clock { id, timeout, flags } => {
            let prepared = prepare_clock(id, timeout, flags, started);
            return Ok(
                prepared.unwrap_or_else(|errno| failed(subscription, EventType::Clock, errno))
            );
        }
        Wait::Read { fd } => (fd, EventType::Read),
        Wait::Write { fd } => (fd, EventType::Write),
    };
    let prepared = ctx.table.get(fd).and_then(|descriptor| {
        let prepared = prepare_descriptor(descriptor, kind)?;
        Ok(match prepared {
            Some((bytes, hangup)) => Pending::Ready(event(subscription, kind, bytes, hangup)),
            None => Pending::Descriptor {
                fd: descriptor.host().ok_or(Errno::Badf)?,
                kind,
            },
        })
    });
    Ok(prepared.unwrap_or_else(|errno| failed(subscription, kind, errno)))
}

fn prepare_clock<'d>(id: u32, timeout: u64, flags: u16, started: u64) -> Result<Pending<'d>> {
    let absolute = SubclockFlags::from_guest(flags)?.has(SubclockFlags::ABSTIME);
    match (Clock::from_guest(id)?, absolute) {
        (Clock::Monotonic | Clock::Realtime, false) => {
            Ok(Pending::Until(started.saturating_add(timeout)))
        }
        (Clock::Monotonic, true) => Ok(Pending::Until(timeout)),
        (Clock::Realtime, true) => Ok(Pending::UntilDate(timeout)),
        // A guest that waits uses no CPU time, and would wait for ever.
        (Clock::ProcessCpu | Clock::ThreadCpu, _) => Err(Errno::Notsup),
    }
}

/// How many bytes there are and whether it has ended, for what is always ready; nothing for what must be waited for.
fn prepare_descriptor(descriptor: &Descriptor, kind: EventType) -> Result<Option<(u64, bool)>> {
    let direction = if kind == EventType::Read {
        Rights::FD_READ
    } else {
        Rights::FD_WRITE
    };
    if !descriptor.rights.has(direction) {
        return Err(Errno::Badf);
    }
    if !descriptor.rights.has(Rights::POLL_FD_READWRITE) {
        return Err(Errno::Notcapable);
    }
    Ok(match (&descriptor.object, kind) {
        (Object::Directory(_), _) => return Err(Errno::Badf),
        (Object::Null, EventType::Read) => Some((0, true)),
        (Object::Source(source), _) => Some((source.rest().len() as u64, source.rest().is_empty())),
        (Object::Null | Object::Captured(_), _) => Some((1, false)),
        (Object::File(file), EventType::Read) if descriptor.filetype == FileType::RegularFile => {
            let size = u64::try_from(rustix::fs::fstat(&file.fd)?.st_size).unwrap_or(0);
            let left = size.saturating_sub(rustix::fs::tell(&file.fd)?);
            Some((left, left == 0))
        }
        (Object::File(_), _) if descriptor.filetype == FileType::RegularFile => Some((1, false)),
        (Object::File(_) | Object::Socket(_), _) => None,
    })
}

/// The events there are now.
fn collect(
    subscriptions: &[Subscription],
    pending: &[Pending<'_>],
    descriptors: &[PollFd<'_>],
) -> Vec<Event> {
    let mut descriptors = descriptors.iter();
    let mut events = Vec::new();
    for (subscription, one) in subscriptions.iter().zip(pending) {
        match one {
            Pending::Ready(event) => events.push(*event),
            Pending::Until(time) if *time <= Clock::Monotonic.now() => {
                events.push(clock(subscription))
            }
            Pending::UntilDate(time) if *time <= Clock::Realtime.now() => {
                events.push(clock(subscription))
            }
            Pending::Until(_) | Pending::UntilDate(_) => {}
            Pending::Descriptor { fd, kind } => {
                let seen = descriptors
                    .next()
                    .map_or(PollFlags::empty(), PollFd::revents);
                if !seen.is_empty() {
                    events.push(event(
                        subscription,
                        *kind,
                        available(*fd, *kind),
                        hung_up(seen),
                    ));
                }
            }
        }
    }
    events
}

/// How many bytes can be read now; for writing nobody can say.
fn available(fd: BorrowedFd<'_>, kind: EventType) -> u64 {
    match kind {
        EventType::Read => rustix::io::ioctl_fionread(fd).unwrap_or(1),
        EventType::Write | EventType::Clock => 1,
    }
}

fn hung_up(seen: PollFlags) -> bool {
    seen.intersects(PollFlags::HUP | PollFlags::ERR)
}

fn clock(subscription: &Subscription) -> Event {
    event(subscription, EventType::Clock, 0, false)
}

fn event(subscription: &Subscription, kind: EventType, bytes: u64, hangup: bool) -> Event {
    Event {
        userdata: subscription.userdata,
        error: 0,
        kind,
        bytes,
        hangup,
    }
}

fn failed<'d>(subscription: &Subscription, kind: EventType, errno: Errno) -> Pending<'d> {
    Pending::Ready(Event {
        error: errno as u16,
        ..event(subscription, kind, 0, false)
    })
}
