//! From requests to programs and back.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use precast::{Pool, Sandbox, Tenant};
use precast_wasi::{Input, WasiCtx};

use crate::args::{Args, RunOn};
use crate::figures::{Counts, Times};
use crate::guest::{self, Outcome, Program};
use crate::{cgi, stats};

/// How long a program runs in one go where it shares its thread with others.
const SLICE: Duration = Duration::from_millis(1);

/// What is answered.
pub(crate) type Answer = Response<Full<Bytes>>;

/// A path, and the program for it.
pub(crate) struct Route {
    pub(crate) path: String,
    program: Program,
    /// Whose sandboxes its requests get where no header says it.
    tenant: Tenant,
    pub(crate) times: Times,
    pub(crate) counts: Counts,
}

/// Everything that requests share.
pub(crate) struct Site {
    pub(crate) args: Args,
    /// The longest path first.
    pub(crate) routes: Vec<Route>,
    pub(crate) pool: Pool<WasiCtx>,
    /// Programs that run or wait for a thread.
    pub(crate) in_work: AtomicUsize,
    /// Requests for paths that no program has.
    pub(crate) strays: AtomicU64,
    pub(crate) started: Instant,
    tenants: RandomState,
}

impl Site {
    /// Opens the programs and reserves the pool.
    pub(crate) fn new(args: Args) -> Result<Self, Box<dyn std::error::Error>> {
        let mut routes = Vec::new();
        for (number, (path, object)) in args.module.iter().enumerate() {
            let opened = Program::open(object);
            let program = opened.map_err(|error| format!("{}: {error}", object.display()))?;
            routes.push(Route {
                path: path.trim_end_matches('/').to_owned(),
                program,
                tenant: Tenant(number as u64),
                times: Times::new(),
                counts: Counts::default(),
            });
        }
        routes.sort_by_key(|route| std::cmp::Reverse(route.path.len()));
        let pool = Pool::builder()
            .slots(args.slots)
            .max_memory(args.memory << 20)
            .build()?;
        Ok(Self {
            args,
            routes,
            pool,
            in_work: AtomicUsize::new(0),
            strays: AtomicU64::new(0),
            started: Instant::now(),
            tenants: RandomState::new(),
        })
    }

    /// Answers a request.
    pub(crate) async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        match request.uri().path() {
            "/stats" => return stats::page(&self),
            "/stats.json" => return stats::json(&self),
            _ => {}
        }
        let path = request.uri().path();
        let Some(number) = self.routes.iter().position(|route| route.covers(path)) else {
            self.strays.fetch_add(1, Ordering::Relaxed);
            return refuse(StatusCode::NOT_FOUND, "there is nothing here");
        };
        let (head, body) = request.into_parts();
        let body = match Limited::new(body, self.args.max_body).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large");
            }
            Err(_) => return refuse(StatusCode::BAD_REQUEST, "the request is incomplete"),
        };
        let Some(place) = Place::take(&self) else {
            self.routes[number]
                .counts
                .refused
                .fetch_add(1, Ordering::Relaxed);
            return refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests at a time",
            );
        };
        let request = Work {
            number,
            head,
            body,
            place,
        };
        match self.args.run_on {
            RunOn::Workers => request.run(),
            RunOn::Slices => request.run_in_slices().await,
            RunOn::Threads => {
                let run = tokio::task::spawn_blocking(|| request.run());
                let broken = |_| refuse(StatusCode::INTERNAL_SERVER_ERROR, "the server failed");
                run.await.unwrap_or_else(broken)
            }
        }
    }

    /// Whose sandbox a request gets.
    fn tenant(&self, route: &Route, head: &Parts) -> Tenant {
        let header = self.args.tenant_header.as_deref();
        let name = header.and_then(|header| head.headers.get(header));
        name.map_or(route.tenant, |name| {
            Tenant(self.tenants.hash_one(name.as_bytes()))
        })
    }
}

impl Route {
    /// Whether a path is the route's, or below it.
    fn covers(&self, path: &str) -> bool {
        let rest = path.strip_prefix(&self.path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// What to answer when a program has ended. Clients are not told what is in it.
    fn conclude(&self, outcome: Outcome, started: Instant) -> Answer {
        self.times.add(started.elapsed());
        let count = |count: &AtomicU64| count.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Outcome::Ended(output) => match cgi::answer(&output) {
                Some(response) => {
                    count(&self.counts.answered);
                    response.map(|body| Full::new(body.into()))
                }
                None => {
                    count(&self.counts.failed);
                    refuse(
                        StatusCode::BAD_GATEWAY,
                        "what the program wrote is no answer",
                    )
                }
            },
            Outcome::Failed(code) => {
                count(&self.counts.failed);
                eprintln!("{}: exit code {code}", self.path);
                refuse(StatusCode::BAD_GATEWAY, "the program failed")
            }
            Outcome::Trapped(code) => {
                count(&self.counts.trapped);
                eprintln!("{}: {code}", self.path);
                refuse(
                    StatusCode::BAD_GATEWAY,
                    "the program was stopped by an error",
                )
            }
            Outcome::Late => {
                count(&self.counts.late);
                refuse(StatusCode::GATEWAY_TIMEOUT, "the program took too long")
            }
            Outcome::Untold => {
                count(&self.counts.refused);
                let why = "the request cannot be told to a program";
                refuse(StatusCode::BAD_REQUEST, why)
            }
            Outcome::Full => {
                count(&self.counts.refused);
                refuse(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too many requests at a time",
                )
            }
            Outcome::Broken(error) => {
                count(&self.counts.broken);
                eprintln!("{}: {error}", self.path);
                refuse(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the program could not be run",
                )
            }
        }
    }
}

/// A request that has come in whole.
struct Work {
    /// Of its route.
    number: usize,
    head: Parts,
    body: Bytes,
    place: Place,
}

impl Work {
    fn run(self) -> Answer {
        let route = &self.place.0.routes[self.number];
        let started = Instant::now();
        let outcome = match self.begin() {
            Ok(sandbox) => route.program.run(sandbox),
            Err(outcome) => outcome,
        };
        route.conclude(outcome, started)
    }

    async fn run_in_slices(self) -> Answer {
        let route = &self.place.0.routes[self.number];
        let started = Instant::now();
        let outcome = match self.begin() {
            Ok(sandbox) => route.program.run_in_slices(sandbox, SLICE).await,
            Err(outcome) => outcome,
        };
        route.conclude(outcome, started)
    }

    /// A sandbox that knows the request.
    fn begin(&self) -> Result<Sandbox<WasiCtx>, Outcome> {
        let site = &*self.place.0;
        let route = &site.routes[self.number];
        let mut world = guest::world(site.args.max_answer);
        cgi::describe(&mut world, &route.path, &self.head, self.body.len());
        world.arg(&route.path).stdin(Input::bytes(&self.body[..]));
        let world = world.build().map_err(|_| Outcome::Untold)?;
        let tenant = site.tenant(route, &self.head);
        route
            .program
            .sandbox(&site.pool, tenant, world, site.args.deadline)
    }
}

/// The right to run a program, given back however that ends.
struct Place(Arc<Site>);

impl Place {
    fn take(site: &Arc<Site>) -> Option<Self> {
        let place = Self(Arc::clone(site));
        let before = site.in_work.fetch_add(1, Ordering::Relaxed);
        (before < site.args.slots as usize).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_work.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer of the server's own.
fn refuse(status: StatusCode, why: &'static str) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from_static(why.as_bytes())));
    *response.status_mut() = status;
    response
}
