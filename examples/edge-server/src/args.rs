//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Serves HTTP by running a WASI program in a fresh sandbox for each request.
///
/// The request's head comes to the program as CGI variables, its body on standard input; what the
/// program writes to standard output is the answer. `/stats` and `/stats.json` tell what goes on.
#[derive(Clone, Debug, Parser)]
#[command(version, args_override_self = true)]
pub(crate) struct Args {
    /// A path and everything below it, and the program for it: an object that `precast compile`
    /// made. May be given many times; the longest path that fits is taken
    #[arg(long, value_name = "ROUTE=OBJECT", required = true, value_parser = route)]
    pub(crate) module: Vec<(String, PathBuf)>,

    /// Where to listen; port 0 takes any that is free
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,

    /// How long a program may run for a request, in milliseconds
    #[arg(long, value_name = "MS", default_value = "1000", value_parser = milliseconds)]
    pub(crate) deadline: Duration,

    /// Memory that a program may have, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    pub(crate) memory: u64,

    /// Programs that run or wait for a thread at a time; more requests are answered with 503
    #[arg(long, default_value_t = 1000)]
    pub(crate) slots: u32,

    /// Bytes that a request's body may have
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    pub(crate) max_body: usize,

    /// Bytes that an answer may have, its head included
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    pub(crate) max_answer: usize,

    /// The header that names the tenant. To be set by a proxy in front, as clients can write what
    /// they want; without it each route is a tenant
    #[arg(long, value_name = "HEADER")]
    pub(crate) tenant_header: Option<String>,

    /// Where programs run: on threads of their own, or on those that serve connections
    #[arg(long, value_enum, default_value_t = RunOn::Threads)]
    pub(crate) run_on: RunOn,

    /// Threads for programs, where they have their own
    #[arg(long, default_value_t = 64)]
    pub(crate) threads: usize,

    /// How long to wait for requests in work when asked to end, in milliseconds
    #[arg(long, value_name = "MS", default_value = "10000", value_parser = milliseconds)]
    pub(crate) grace: Duration,
}

/// Where programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunOn {
    /// On threads of their own: a program that never ends holds up nobody else.
    Threads,
    /// On the threads that serve connections, in slices of a millisecond: no hand-over, and a
    /// program that computes for long holds up nobody. One that sleeps holds up its thread.
    Slices,
    /// On the threads that serve connections, to the end: for programs that are trusted to be short.
    Workers,
}

fn route(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((route, path)) if route.starts_with('/') => Ok((route.to_owned(), path.into())),
        _ => Err("expected /route=path.so".to_owned()),
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<u64>().map_err(|error| error.to_string())?;
    Ok(Duration::from_millis(number))
}
