//! An HTTP server that runs a WASI program for each request, in a sandbox of its own from a pool:
//! with a deadline and a cap on memory, and nothing left over from the request before.
//!
//! | file | what |
//! |---|---|
//! | `args.rs` | the command line |
//! | `site.rs` | from requests to programs and back |
//! | `cgi.rs` | how a request is told to a program, and what its output means |
//! | `guest.rs` | running a program in a sandbox |
//! | `figures.rs`, `stats.rs` | counting, and the page that tells |
#![deny(unsafe_code)]

mod args;
mod cgi;
mod figures;
mod guest;
mod site;
mod stats;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

use args::Args;
use site::Site;

/// How long a client may take for the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(args.threads.max(1))
        .enable_all()
        .build()?;
    let site = Arc::new(Site::new(args)?);
    let served = runtime.block_on(serve(Arc::clone(&site)));
    // Programs that are still running end with their deadline.
    runtime.shutdown_timeout(site.args.deadline + Duration::from_secs(1));
    served
}

/// Serves connections until it is asked to end, and then what is in work.
async fn serve(site: Arc<Site>) -> Result<(), Box<dyn std::error::Error>> {
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let listener = TcpListener::bind(site.args.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let graceful = GracefulShutdown::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connect(stream, &site, &graceful),
                // The process has no descriptor left, or the client has gone.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            },
            _ = term.recv() => break,
            _ = int.recv() => break,
        }
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => println!("ended"),
        () = tokio::time::sleep(site.args.grace) => println!("ended with requests in work"),
    }
    Ok(())
}

/// Serves a connection beside the others.
fn connect(stream: TcpStream, site: &Arc<Site>, graceful: &GracefulShutdown) {
    // Answers are whole: there is nothing to wait for.
    let _ = stream.set_nodelay(true);
    let site = Arc::clone(site);
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.serve(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), service);
    // A client that breaks off is nobody's error.
    tokio::spawn(graceful.watch(connection));
}
