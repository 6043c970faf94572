//! Tests of `sock`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixStream};

use super::sock::*;
use crate::errno::{Errno, Result};
use crate::guest::GuestPtr;
use crate::stop::Stop;
use crate::testing::*;

/// The first socket comes after the directory.
const SOCKET: u32 = 4;
const FLAGS: u32 = 8;

fn accept(world: &mut World, flags: u32) -> Result<u32> {
    world.call(|ctx, guest| sock_accept(ctx, guest, SOCKET, flags, GuestPtr::new(OUT)))?;
    Ok(world.get(OUT))
}

fn receive(world: &mut World, fd: u32, room: u32, flags: u32) -> Result<(Vec<u8>, u16)> {
    let iovecs = world.iovecs(&[(DATA, room)]);
    let out = (GuestPtr::new(OUT), GuestPtr::new(FLAGS));
    world.call(|ctx, guest| sock_recv(ctx, guest, fd, iovecs, flags, out))?;
    Ok((world.bytes(DATA, world.get(OUT)).to_vec(), world.get(FLAGS)))
}

fn send(world: &mut World, fd: u32, bytes: &[u8], flags: u32) -> Result<u32> {
    world.memory[DATA as usize..][..bytes.len()].copy_from_slice(bytes);
    let iovecs = world.iovecs(&[(DATA, bytes.len() as u32)]);
    world.call(|ctx, guest| sock_send(ctx, guest, fd, iovecs, flags, GuestPtr::new(OUT)))?;
    Ok(world.get(OUT))
}

fn shutdown(world: &mut World, fd: u32, how: u32) -> Result<()> {
    world.call(|ctx, guest| sock_shutdown(ctx, guest, fd, how))
}

#[test]
fn a_connection_is_accepted_and_talked_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut world = World::new(|builder| {
        builder.socket(listener);
    });
    let mut peer = TcpStream::connect(address).unwrap();
    let fd = accept(&mut world, 0).unwrap();
    peer.write_all(b"question").unwrap();
    assert_eq!(receive(&mut world, fd, 3, 1).unwrap().0, b"que");
    assert_eq!(receive(&mut world, fd, 8, 2).unwrap().0, b"question");
    assert_eq!(send(&mut world, fd, b"ans", 0), Ok(3));
    assert_eq!(world.write(fd, "wer"), Ok(3));
    shutdown(&mut world, fd, 2).unwrap();
    let mut answer = String::new();
    peer.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    drop(peer);
    assert_eq!(world.read(fd, 10).unwrap(), b"");
    world.close(fd).unwrap();
}

#[test]
fn a_guest_that_would_not_wait_does_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut world = World::new(|builder| {
        builder.socket(listener);
    });
    world
        .call(|ctx, guest| super::fd::fd_fdstat_set_flags(ctx, guest, SOCKET, NONBLOCK))
        .unwrap();
    assert_eq!(accept(&mut world, 0), Err(Errno::Again));
    let _peer = TcpStream::connect(address).unwrap();
    let fd = accept(&mut world, NONBLOCK).unwrap();
    assert_eq!(receive(&mut world, fd, 1, 0), Err(Errno::Again));
    assert_eq!(accept(&mut world, 1), Err(Errno::Inval));
}

#[test]
fn a_message_that_was_cut_says_so() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let mut world = World::new(|builder| {
        builder.socket(ours);
    });
    theirs.send(b"0123456789").unwrap();
    theirs.send(b"ab").unwrap();
    assert_eq!(
        receive(&mut world, SOCKET, 4, 0).unwrap(),
        (b"0123".to_vec(), 1)
    );
    assert_eq!(
        receive(&mut world, SOCKET, 4, 0).unwrap(),
        (b"ab".to_vec(), 0)
    );
}

#[test]
fn sending_to_nobody_is_an_error_and_no_signal() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut world = World::new(|builder| {
        builder.socket(ours);
    });
    drop(theirs);
    assert_eq!(send(&mut world, SOCKET, b"x", 0), Err(Errno::Pipe));
    assert_eq!(world.write(SOCKET, "x"), Err(Errno::Pipe));
}

#[test]
fn what_is_no_socket_is_none() {
    let mut world = World::new(|_| {});
    for fd in [0, 1, DIR] {
        assert_eq!(receive(&mut world, fd, 1, 0), Err(Errno::Notsock));
        assert_eq!(send(&mut world, fd, b"x", 0), Err(Errno::Notsock));
        assert_eq!(shutdown(&mut world, fd, 1), Err(Errno::Notsock));
    }
    assert_eq!(accept(&mut world, 0), Err(Errno::Badf));
    assert_eq!(shutdown(&mut world, 99, 1), Err(Errno::Badf));
}

#[test]
fn flags_that_mean_nothing_are_refused() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let mut world = World::new(|builder| {
        builder.socket(ours);
    });
    assert_eq!(receive(&mut world, SOCKET, 1, 4), Err(Errno::Inval));
    assert_eq!(send(&mut world, SOCKET, b"x", 1), Err(Errno::Inval));
    assert_eq!(shutdown(&mut world, SOCKET, 0), Err(Errno::Inval));
    assert_eq!(shutdown(&mut world, SOCKET, 4), Err(Errno::Inval));
}

#[test]
fn waiting_for_a_connection_or_a_message_is_cut_short() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let mut world = World::new(|builder| {
        builder.socket(listener).socket(ours);
    });
    let wait = |world: &mut World, stop: Stop<'_>| {
        world.call_stoppable(stop, |ctx, guest| {
            sock_accept(ctx, guest, SOCKET, 0, GuestPtr::new(OUT))
        })
    };
    assert_eq!(
        Later::run(30, |stop| wait(&mut world, stop)),
        Err(Errno::Intr)
    );
    let iovecs = world.iovecs(&[(DATA, 8)]);
    let out = (GuestPtr::new(OUT), GuestPtr::new(FLAGS));
    let result = Later::run(30, |stop| {
        world.call_stoppable(stop, |ctx, guest| {
            sock_recv(ctx, guest, SOCKET + 1, iovecs, 0, out)
        })
    });
    assert_eq!(result, Err(Errno::Intr));
}

#[test]
fn every_context_of_a_builder_waits_as_the_socket_was_handed_in() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut builder = crate::WasiCtxBuilder::new();
    builder.arg("program").socket(listener);
    builder.build().unwrap();
    let mut world = World::new(|_| {});
    world.ctx = builder.build().unwrap();
    // Here the listener comes first, for there is no directory.
    let result = Later::run(30, |stop| {
        world.call_stoppable(stop, |ctx, guest| {
            sock_accept(ctx, guest, 3, 0, GuestPtr::new(OUT))
        })
    });
    assert_eq!(result, Err(Errno::Intr));
}

#[test]
fn a_receiver_that_wants_all_gets_all_that_comes() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut world = World::new(|builder| {
        builder.socket(ours);
    });
    let sender = std::thread::spawn(move || {
        for byte in *b"12345678" {
            theirs.write_all(&[byte]).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    });
    assert_eq!(receive(&mut world, SOCKET, 6, 2).unwrap().0, b"123456");
    assert_eq!(receive(&mut world, SOCKET, 6, 2).unwrap().0, b"78");
    sender.join().unwrap();
}
