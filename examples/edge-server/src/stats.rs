//! The page of live figures, for people and for programs.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::Full;
use hyper::Response;
use hyper::http::HeaderValue;
use hyper::http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::site::{Answer, Route, Site};

/// For people.
pub(crate) fn page(site: &Site) -> Answer {
    let figures = figures(site);
    let mut text = format!(
        "up for {} s, {} requests in work, {} for nothing\n\npool:",
        figures["seconds"], figures["in_work"], figures["strays"]
    );
    for (name, value) in figures["pool"].as_object().into_iter().flatten() {
        let _ = write!(text, " {value} {name},");
    }
    text.pop();
    let columns = [
        "answered", "trapped", "late", "failed", "refused", "broken", "p50_us", "p99_us",
    ];
    let _ = write!(text, "\n\n{:<20}", "route");
    for column in columns {
        let _ = write!(text, " {column:>10}");
    }
    for (route, figures) in figures["routes"].as_object().into_iter().flatten() {
        let _ = write!(text, "\n{route:<20}");
        for column in columns {
            let _ = write!(text, " {:>10}", figures[column].to_string());
        }
    }
    text.push('\n');
    respond(text, "text/plain")
}

/// For programs.
pub(crate) fn json(site: &Site) -> Answer {
    respond(figures(site).to_string(), "application/json")
}

fn respond(text: String, kind: &'static str) -> Answer {
    let mut response = Response::new(Full::new(text.into()));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn figures(site: &Site) -> Value {
    let pool = site.pool.stats();
    let routes: serde_json::Map<_, _> = site
        .routes
        .iter()
        .map(|route| (route.path.clone(), of_route(route)))
        .collect();
    json!({
        "seconds": site.started.elapsed().as_secs(),
        "in_work": site.in_work.load(Ordering::Relaxed),
        "strays": site.strays.load(Ordering::Relaxed),
        "pool": {
            "live": pool.live,
            "free": pool.free,
            "warm": pool.warm,
            "lost": pool.lost,
            "made": pool.made,
            "resets by window": pool.resets_by_window,
            "by scan": pool.resets_by_scan,
            "by discard": pool.resets_by_discard,
        },
        "routes": routes,
    })
}

fn of_route(route: &Route) -> Value {
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let [p50, p99] = route.times.quantiles([0.50, 0.99]);
    json!({
        "answered": count(&route.counts.answered),
        "trapped": count(&route.counts.trapped),
        "late": count(&route.counts.late),
        "failed": count(&route.counts.failed),
        "refused": count(&route.counts.refused),
        "broken": count(&route.counts.broken),
        "p50_us": p50.round() as u64,
        "p99_us": p99.round() as u64,
    })
}
