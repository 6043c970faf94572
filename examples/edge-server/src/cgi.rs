//! Requests as a program sees them, and its answers: RFC 3875, the Common Gateway Interface.

use hyper::http::request;
use hyper::http::{HeaderName, HeaderValue, Response, StatusCode};
use precast_wasi::WasiCtxBuilder;

/// Lines that an answer's head may have.
const MAX_LINES: usize = 100;

/// Tells the program about a request: section 4.1.
pub(crate) fn describe(
    world: &mut WasiCtxBuilder,
    route: &str,
    head: &request::Parts,
    body: usize,
) {
    let path = head.uri.path();
    world
        .env("GATEWAY_INTERFACE", "CGI/1.1")
        .env("SERVER_PROTOCOL", "HTTP/1.1")
        .env("SERVER_SOFTWARE", "edge-server")
        .env("REQUEST_METHOD", head.method.as_str())
        .env("SCRIPT_NAME", route)
        .env("PATH_INFO", path.strip_prefix(route).unwrap_or(path))
        .env("QUERY_STRING", head.uri.query().unwrap_or(""));
    if body > 0 {
        world.env("CONTENT_LENGTH", body.to_string());
    }
    for (name, value) in &head.headers {
        match name.as_str() {
            "content-type" => world.env("CONTENT_TYPE", value),
            "content-length" => continue,
            // Section 4.1.18: not what authenticates the client to the server, and not `Proxy`,
            // which programs would take for a setting of their own.
            "authorization" | "proxy-authorization" | "proxy" => continue,
            name => world.env(
                format!("HTTP_{}", name.to_uppercase().replace('-', "_")),
                value,
            ),
        };
    }
}

/// The answer in what a program wrote: section 6. Nothing where it is none.
pub(crate) fn answer(output: &[u8]) -> Option<Response<Vec<u8>>> {
    let mut response = Response::new(Vec::new());
    let mut rest = output;
    for number in 0..MAX_LINES {
        let end = rest.iter().position(|&byte| byte == b'\n')?;
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        rest = &rest[end + 1..];
        if line.is_empty() {
            // An answer has at least one line of head.
            return (number > 0).then(|| {
                *response.body_mut() = rest.to_vec();
                response
            });
        }
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"status") {
            let code = value.split(|&byte| byte == b' ').next()?;
            // What comes before the answer proper, or changes the protocol, is not a program's.
            let status = StatusCode::from_bytes(code).ok()?;
            *response.status_mut() = Some(status).filter(|status| status.as_u16() >= 200)?;
            continue;
        }
        let name = HeaderName::from_bytes(name).ok()?;
        if !is_of_the_connection(&name) {
            response
                .headers_mut()
                .append(name, HeaderValue::from_bytes(value).ok()?);
        }
    }
    None
}

/// What the server and the client have between them: RFC 9110, 7.6.1, and the length, which the
/// server knows better.
fn is_of_the_connection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "keep-alive"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_head_and_a_body() {
        let response = answer(b"Status: 404 Not Here\r\nContent-Type: text/html\nX-A:b\n\n<p>\n\n");
        let response = response.expect("it is one");
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()["content-type"], "text/html");
        assert_eq!(response.headers()["x-a"], "b");
        assert_eq!(response.body(), b"<p>\n\n");
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for output in [
            &b""[..],
            b"\n",
            b"no colon\n\n",
            b"X: y\n",
            b"Status: 99\n\n",
            b"Status: 101\n\n",
            b"Status: \n\n",
            b"A b: c\n\n",
            b"X: \x01\n\n",
        ] {
            assert!(
                answer(output).is_none(),
                "{:?}",
                String::from_utf8_lossy(output)
            );
        }
        assert!(answer("A: b\n".repeat(1000).as_bytes()).is_none());
    }

    #[test]
    fn programs_do_not_speak_for_the_connection() {
        let response = answer(b"Content-Length: 5\nTransfer-Encoding: chunked\nX: y\n\nbody");
        let response = response.expect("it is one");
        assert_eq!(response.headers().len(), 1);
    }
}
